"""The CIFAR-10 networks: forward(x, train, regularizer) gives the logits, by the name of the network.

Parameters: airbench_slim 1,529,890; airbench 1,972,514.

Both are after Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024.
"""

from common import layers

import numpy as np
import tensorflow.compat.v1 as tf

IMAGE_SIZE = 32  # pixels, both ways
NUM_CHANNELS = 3
NUM_CLASSES = 10


def forward(x, train, regularizer, network="airbench_slim", whitening=None):
    """Builds a network in the current graph.

    x: float32 [batch, 32, 32, 3], standardised; any batch size.
    train: a Python bool: batch statistics, or moving averages.
    regularizer: factor of the L2 terms ½Σw² that go to the collection "losses"; None adds none.
    whitening: initial kernels of the first layer, by whitening_kernels(); None: random ones, for a checkpoint to
    overwrite.
    Returns the logits, float32 [batch, 10].
    """
    widths = NETWORKS[network]
    x = whiten(x, whitening)
    for block, channels in enumerate(widths, start=1):
        with tf.variable_scope(f"block{block}"):
            x = layers.max_pool(conv2d(x, channels, regularizer, "conv1"), "VALID")
            x = layers.gelu(layers.batch_norm(x, train, "norm1"))
            x = conv2d(x, channels, regularizer, "conv2")
            x = layers.gelu(layers.batch_norm(x, train, "norm2"))
    x = tf.reduce_max(x, axis=[1, 2])
    return layers.dense(x, NUM_CLASSES, regularizer, "logits") / 8  # or the first steps only shrink the logits


NETWORKS = {  # channels of the three blocks, whose maps are 31, 15 and 7 pixels wide
    "airbench_slim": (64, 192, 256),
    "airbench": (64, 256, 256),  # the widths of the paper
}


def conv2d(x, channels, regularizer, name):
    return layers.conv2d(x, channels, 3, regularizer, name, use_bias=False, initializer=layers.dirac)


def whiten(x, kernels):
    """The first layer: 2×2 patches to 24 channels by kernels that are not trained; its biases are."""
    with tf.variable_scope("whiten"):
        initializer = tf.initializers.he_normal() if kernels is None else tf.constant_initializer(kernels)
        w = tf.get_variable("weights", [2, 2, NUM_CHANNELS, 24], initializer=initializer, trainable=False)
        x = tf.nn.conv2d(x, w, strides=1, padding="VALID")
        return layers.gelu(tf.nn.bias_add(x, layers.biases(24)))


def whitening_kernels(images):
    """Kernels that make the channels of 2×2 patches uncorrelated, of variance 1: float32 [2, 2, 3, 24].

    The 12 eigenvectors of the patches' covariance, each divided by the root of its eigenvalue, and their negatives, as
    the activation that follows keeps one sign (Page, "How to train your ResNet 8", 2019). images: float32 [n, 32, 32,
    3], standardised.
    """
    size = 2
    patches = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))  # [n, 31, 31, 3, 2, 2]
    patches = patches.transpose(0, 1, 2, 4, 5, 3).reshape(-1, size * size * NUM_CHANNELS)
    values, vectors = np.linalg.eigh(patches.T @ patches / len(patches))
    kernels = (vectors / np.sqrt(values + 5e-4)).reshape(size, size, NUM_CHANNELS, -1)
    return np.concatenate([kernels, -kernels], axis=-1).astype(np.float32)
