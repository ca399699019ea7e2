"""The network of TensorFlow's CIFAR-10 tutorial, on 24×24 crops, with local response normalisation.

1,068,298 parameters. Plain gradient descent with a rate that falls to a tenth every 350 epochs, and moving averages.
L2 on the two hidden layers. Each image is standardised by itself, after the data set's mean and deviation. Headline of
the notes: 86 %.

    python cifar10/backward.py --network tutorial    # 78.52 % of the test images (JPEG copy) after 15 min

(benchmarks/accuracy/reproduce.py: one run, two Zen 4 cores; stopped at step 9,675 of 351,562.)
"""

from cifar10.networks.cifar10_recipe import Cifar10Recipe
from common.graph import layers

import tensorflow.compat.v1 as tf

CROP = SMALLEST = 24  # pixels, both ways
RECIPE = Cifar10Recipe(
    batch_size=128, epochs=1000.0, optimizer="sgd", learning_rate=0.1, schedule="staircase", learning_rate_decay=0.1,
    decay_epochs=350.0, regularizer=0.004, moving_average_decay=0.9999, save_steps=1000,
    mirror=1, brightness=63.0, contrast=0.8,
)


def network(x, train, regularizer, classes):
    """x: [batch, height, width, 3]; the middle is taken, 24×24 pixels."""
    top, left = ((side - CROP) // 2 for side in x.shape.as_list()[1:3])
    x = tf.cast(tf.image.per_image_standardization(x[:, top : top + CROP, left : left + CROP]), x.dtype)

    def normal(stddev):
        return tf.initializers.truncated_normal(stddev=stddev)

    x = layers.relu(layers.conv2d(x, 64, 5, None, "conv1", initializer=normal(0.05)))
    x = layers.local_response_norm(layers.max_pool(x, size=3))
    x = layers.relu(layers.conv2d(x, 64, 5, None, "conv2", initializer=normal(0.05), bias=0.1))
    x = layers.max_pool(layers.local_response_norm(x), size=3)
    x = layers.relu(layers.dense(layers.flatten(x), 384, regularizer, "local3", initializer=normal(0.04), bias=0.1))
    x = layers.relu(layers.dense(x, 192, regularizer, "local4", initializer=normal(0.04), bias=0.1))
    return layers.dense(x, classes, None, "softmax_linear", initializer=normal(1 / 192))
