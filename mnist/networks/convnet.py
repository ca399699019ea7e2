"""Three stages of two 3×3 convolutions with batch normalisation, each halving the map: 28, 14, 7, 4 pixels.

82,266 parameters. The default: Nesterov's momentum, distorted digits, and a learning rate that decays within 7 epochs.

    python mnist/backward.py    # 99.62 % of the test images after 69 s

(benchmarks/accuracy/defaults.py mnist --precision bfloat16 --seeds 6: the mean, two Zen 4 cores.)
"""

from common.graph import layers
from mnist.networks.mnist_recipe import MnistRecipe

import tensorflow.compat.v1 as tf

RECIPE = MnistRecipe(
    batch_size=256, epochs=7.0, learning_rate=0.6, learning_rate_decay=0.526, warmup_steps=50, regularizer=1e-3,
    label_smoothing=0.1, degrees=13.0, scale=0.13, shear=0.2, shift=2.6, moving_average_decay=0.998, save_steps=200,
)


def network(x, train, regularizer, classes, widths=(16, 32, 64)):
    """widths: channels of the stages."""
    for stage, channels in enumerate(widths, start=1):
        with tf.variable_scope(f"stage{stage}"):
            x = layers.conv2d(x, channels, 3, regularizer, "conv1", bias=None)
            x = layers.relu(layers.batch_norm(x, train, "norm1"))
            x = layers.max_pool(layers.conv2d(x, channels, 3, regularizer, "conv2", bias=None))
            x = layers.relu(layers.batch_norm(x, train, "norm2"))
    return layers.dense(layers.flatten(x), classes, regularizer, "logits")
