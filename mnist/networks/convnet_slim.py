"""One 5×5 convolution and two stages of two 3×3 convolutions with batch normalisation: for the first twenty seconds.

38,234 parameters. The large map of 28 pixels has a single convolution, so a step takes half as long as that of convnet.

    python mnist/backward.py --network convnet_slim
"""

from common.graph import layers
from mnist.networks import convnet
from mnist.networks.mnist_recipe import MnistRecipe

import tensorflow.compat.v1 as tf

RECIPE = MnistRecipe(
    batch_size=128, epochs=2.75, learning_rate=0.4, schedule="triangular", warmup_steps=30, regularizer=1e-3,
    label_smoothing=0.1, degrees=10.0, scale=0.1, shear=0.15, shift=2.0, moving_average_decay=0.99, save_steps=200,
)


def network(x, train, regularizer, classes):
    with tf.variable_scope("first"):
        x = layers.max_pool(layers.conv2d(x, 16, 5, regularizer, "conv", bias=None))
        x = layers.relu(layers.batch_norm(x, train, "norm"))
    return convnet.network(x, train, regularizer, classes, (32, 32))
