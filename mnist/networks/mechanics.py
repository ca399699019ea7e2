"""784-128-32-10, the network of TensorFlow's tutorial "mechanics 101", with its name scopes.

104,938 parameters. Plain gradient descent; evaluates the training, validation and test sets every 1,000 steps.
"""

from common import layers
from mnist.networks.recipe import Recipe

import tensorflow.compat.v1 as tf

RECIPE = Recipe(
    batch_size=100, epochs=2000 * 100 / 55_000, optimizer="sgd", learning_rate=0.01, evaluate="all",
    moving_average_decay=0.99, save_steps=1000,
)


def network(x, train, regularizer):
    by_fan_in = tf.initializers.lecun_normal()  # truncated, of standard deviation 1/√fan_in
    x = layers.flatten(x)
    x = layers.relu(layers.dense(x, 128, regularizer, "hidden1", initializer=by_fan_in))
    x = layers.relu(layers.dense(x, 32, regularizer, "hidden2", initializer=by_fan_in))
    return layers.dense(x, 10, regularizer, "softmax_linear", initializer=by_fan_in)
