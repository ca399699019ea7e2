"""Two 5×5 convolutions with pooling and 1,024 units with dropout, TensorFlow's "deep MNIST for experts".

3,274,634 parameters. Adam, 12,001 steps. Headline of the notes: 99.2 %.

    python mnist/backward.py --network deep    # 99.19 % of the test images after 387 s

(benchmarks/accuracy/reproduce.py: one run, two Zen 4 cores.)
"""

from common.graph import layers
from mnist.networks.mnist_recipe import MnistRecipe

import tensorflow.compat.v1 as tf

RECIPE = MnistRecipe(
    batch_size=50, epochs=12_001 * 50 / 55_000, optimizer="adam", learning_rate=1e-4, moving_average_decay=0.999,
    save_steps=1000,
)


def network(x, train, regularizer, classes):
    own = {"initializer": tf.initializers.truncated_normal(stddev=0.1), "bias": 0.1}
    x = layers.max_pool(layers.relu(layers.conv2d(x, 32, 5, regularizer, "conv1", **own)))
    x = layers.max_pool(layers.relu(layers.conv2d(x, 64, 5, regularizer, "conv2", **own)))
    x = layers.relu(layers.dense(layers.flatten(x), 1024, regularizer, "hidden", **own))
    return layers.dense(layers.dropout(x, 0.5, train, "dropout"), classes, regularizer, "logits", **own)
