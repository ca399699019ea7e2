"""784-500-10 with ReLU.

397,510 parameters. Plain gradient descent with a rate that falls by 1 % an epoch, and moving averages. Headline of the
notes: about 98 %.

    python mnist/backward.py --network fully_connected    # 98.05 % of the test images after 57 s

(benchmarks/accuracy/reproduce.py: one run, two Zen 4 cores.)
"""

from common.graph import layers
from mnist.networks.mnist_recipe import MnistRecipe

import tensorflow.compat.v1 as tf

RECIPE = MnistRecipe(
    batch_size=200, epochs=60.0, optimizer="sgd", learning_rate=0.1, learning_rate_decay=0.99, regularizer=1e-4,
    moving_average_decay=0.99, save_steps=1000,
)


def network(x, train, regularizer, classes):
    normal = tf.initializers.truncated_normal(stddev=0.1)
    x = layers.flatten(x)
    x = layers.relu(layers.dense(x, 500, regularizer, "hidden", initializer=normal))
    return layers.dense(x, classes, regularizer, "logits", initializer=normal)
