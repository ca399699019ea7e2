"""The MNIST networks: forward(x, train, regularizer) gives the logits, by the name of the network.

Parameters: fully_connected 397,510; lenet5 1,663,370; convnet 82,266.
"""

from common import layers

import tensorflow.compat.v1 as tf

IMAGE_SIZE = 28  # pixels, both ways
NUM_CHANNELS = 1
NUM_CLASSES = 10


def forward(x, train, regularizer, network="convnet"):
    """Builds a network in the current graph.

    x: float32 [batch, 28, 28, 1], 0 (paper) to 1 (ink); any batch size.
    train: a Python bool: batch statistics and dropout, or moving averages and none.
    regularizer: factor of the L2 terms ½Σw² that go to the collection "losses"; None adds none.
    Returns the logits, float32 [batch, 10].
    """
    return NETWORKS[network](x, train, regularizer)


def fully_connected(x, train, regularizer):
    """784-500-10."""
    x = layers.flatten(x)
    x = layers.relu(layers.dense(x, 500, regularizer, "hidden"))
    return layers.dense(x, NUM_CLASSES, regularizer, "logits")


def lenet5(x, train, regularizer):
    """Two 5×5 convolutions with pooling, 512 units with dropout: after LeCun et al., 1998, with modern parts."""
    for name, channels in (("conv1", 32), ("conv2", 64)):
        x = layers.max_pool(layers.relu(layers.conv2d(x, channels, 5, regularizer, name)))
    x = layers.relu(layers.dense(layers.flatten(x), 512, regularizer, "hidden"))
    x = layers.dropout(x, 0.5, train, "dropout")
    return layers.dense(x, NUM_CLASSES, regularizer, "logits")


def convnet(x, train, regularizer):
    """Three stages of two 3×3 convolutions with batch normalisation, each halving the map: 28, 14, 7, 4 pixels."""
    for stage, channels in (("stage1", 16), ("stage2", 32), ("stage3", 64)):
        with tf.variable_scope(stage):
            x = layers.conv2d(x, channels, 3, regularizer, "conv1", use_bias=False)
            x = layers.relu(layers.batch_norm(x, train, "norm1"))
            x = layers.max_pool(layers.conv2d(x, channels, 3, regularizer, "conv2", use_bias=False))
            x = layers.relu(layers.batch_norm(x, train, "norm2"))
    return layers.dense(layers.flatten(x), NUM_CLASSES, regularizer, "logits")


NETWORKS = {"convnet": convnet, "lenet5": lenet5, "fully_connected": fully_connected}
