"""A fixed whitening layer and three blocks of two 3×3 convolutions with batch normalisation and GELU.

1,972,514 parameters. After Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024, whose widths it has.

    python cifar10/backward.py --network airbench    # 89.76 % of the test images (JPEG copy) after 44 min

(benchmarks/accuracy/defaults.py cifar10 --networks airbench --seeds 1: one run in float32, two Zen 4 cores. With --tta
90.47 %.)
"""

from cifar10.networks.cifar10_recipe import Cifar10Recipe
from common.graph import layers

import numpy as np
import tensorflow.compat.v1 as tf

SMALLEST = 9  # pixels, both ways: less would be pooled away
RECIPE = Cifar10Recipe(
    batch_size=256, epochs=16.0, learning_rate=1.0, learning_rate_decay=0.785, warmup_steps=100, regularizer=5e-4,
    label_smoothing=0.2, bias_scale=16.0, padding=2, mirror=1, cutout=12, moving_average_decay=0.998, save_steps=200,
)


def network(x, train, regularizer, classes, widths=(64, 256, 256), whitening=None):
    """widths: channels of the blocks; of 32 pixels their maps have 31, 15 and 7. whitening: as initial() gives it."""
    x = whiten(x, whitening)
    for block, channels in enumerate(widths, start=1):
        with tf.variable_scope(f"block{block}"):
            x = layers.max_pool(conv2d(x, channels, regularizer, "conv1", layers.before_pooling(x)), "VALID")
            x = layers.gelu(layers.batch_norm(x, train, "norm1"))
            x = conv2d(x, channels, regularizer, "conv2")
            x = layers.gelu(layers.batch_norm(x, train, "norm2"))
    x = tf.reduce_max(x, axis=[1, 2])
    return layers.dense(x, classes, regularizer, "logits") / 8  # or the first steps only shrink the logits


def conv2d(x, channels, regularizer, name, padding="SAME"):
    return layers.conv2d(x, channels, 3, regularizer, name, bias=None, padding=padding, initializer=layers.dirac)


def whiten(x, kernels):
    """The first layer: 2×2 patches, 24 channels out of 3. Nothing of it is trained, so its large map needs no gradient.

    The biases stay as they start: at 0, or at those of the checkpoint that the run starts from. They are averaged all
    the same, because older checkpoints hold averages of them.
    """
    with tf.variable_scope("whiten"):
        initializer = tf.initializers.he_normal() if kernels is None else tf.constant_initializer(kernels)
        channels = x.shape.as_list()[-1]
        w = tf.get_variable(
            "weights", [2, 2, channels, 8 * channels], initializer=initializer, trainable=False,
            collections=[tf.GraphKeys.GLOBAL_VARIABLES, tf.GraphKeys.MODEL_VARIABLES],
        )
        x = tf.nn.conv2d(x, tf.cast(w, x.dtype), strides=1, padding="VALID")
        return layers.gelu(layers.add_biases(x, tf.stop_gradient(layers.biases(8 * channels))))


def initial(images):
    """What the first layer starts from: kernels that make the channels of 2×2 patches uncorrelated, of variance 1.

    float32 [2, 2, 3, 24] of 3 channels: the 12 eigenvectors of the patches' covariance, each divided by the root of its
    eigenvalue, and their negatives: the activation that follows keeps one sign (Page, "How to train your ResNet 8",
    2019).
    images: float32 [n, height, width, channels], standardised.
    """
    _, height, width, channels = images.shape
    covariance = np.zeros([4 * channels] * 2)
    count = max(1, 100_000 // (height * width))  # images at a time: what fits the processor's cache is faster
    for first in range(0, len(images), count):
        part = images[first : first + count]
        patches = [part[:, y : y + height - 1, x : x + width - 1] for y in (0, 1) for x in (0, 1)]
        patches = np.concatenate(patches, axis=-1).reshape(-1, 4 * channels)
        covariance += patches.T @ patches
    values, vectors = np.linalg.eigh(covariance / (len(images) * (height - 1) * (width - 1)))
    kernels = (vectors / np.sqrt(values + 5e-4)).reshape(2, 2, channels, -1)
    return {"whitening": np.concatenate([kernels, -kernels], axis=-1).astype(np.float32)}
