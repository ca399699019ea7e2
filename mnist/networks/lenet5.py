"""Two 5×5 convolutions with pooling and 512 units with dropout: after LeCun et al., 1998, with modern parts.

1,663,370 parameters. Plain gradient descent with a rate that falls by 1 % an epoch, and moving averages.

    python mnist/backward.py --network lenet5    # 98.52 % of the test images after 12 min

(benchmarks/accuracy/reproduce.py: one run, two Zen 4 cores.)
"""

from common.graph import layers
from mnist.networks.mnist_recipe import MnistRecipe

import tensorflow.compat.v1 as tf

RECIPE = MnistRecipe(
    batch_size=100, epochs=30.0, optimizer="sgd", learning_rate=0.005, learning_rate_decay=0.99, regularizer=1e-4,
    moving_average_decay=0.99, save_steps=1000,
)


def network(x, train, regularizer, classes):
    normal = tf.initializers.truncated_normal(stddev=0.1)
    for name, channels in (("conv1", 32), ("conv2", 64)):
        x = layers.max_pool(layers.relu(layers.conv2d(x, channels, 5, regularizer, name, initializer=normal)))
    x = layers.relu(layers.dense(layers.flatten(x), 512, regularizer, "hidden", initializer=normal))
    x = layers.dropout(x, 0.5, train, "dropout")
    return layers.dense(x, classes, regularizer, "logits", initializer=normal)
