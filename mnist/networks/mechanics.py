"""784-128-32-10, the network of TensorFlow's tutorial "mechanics 101", with its name scopes.

104,938 parameters. Plain gradient descent; evaluates the training, validation and test sets every 1,000 steps.

    python mnist/backward.py --network mechanics    # 89.66 % of the test images after 3 s

(benchmarks/accuracy/reproduce.py: one run, two Zen 4 cores.)
"""

from common.graph import layers
from mnist.networks.mnist_recipe import MnistRecipe

import tensorflow.compat.v1 as tf

RECIPE = MnistRecipe(
    batch_size=100, epochs=2000 * 100 / 55_000, optimizer="sgd", learning_rate=0.01, evaluate="all",
    moving_average_decay=0.99, save_steps=1000,
)


def network(x, train, regularizer, classes):
    x = layers.relu(dense(layers.flatten(x), 128, regularizer, "hidden1"))
    x = layers.relu(dense(x, 32, regularizer, "hidden2"))
    return dense(x, classes, regularizer, "softmax_linear")


def dense(x, units, regularizer, name):
    normal = tf.initializers.truncated_normal(stddev=x.shape.as_list()[-1] ** -0.5)  # 1/√fan_in
    return layers.dense(x, units, regularizer, name, initializer=normal)
