"""The MNIST networks: forward(x, train, regularizer, …) gives the logits of a network.

Each is a file in networks/, with its recipe.
"""

from mnist.networks import convnet, convnet_slim, convnet_wide, deep, fully_connected, lenet5, mechanics, softmax

import tensorflow.compat.v1 as tf

IMAGE_SIZE = 28  # pixels, both ways
NUM_CHANNELS = 1

NETWORKS = {
    "convnet": convnet,
    "convnet_slim": convnet_slim,
    "convnet_wide": convnet_wide,
    "softmax": softmax,
    "fully_connected": fully_connected,
    "mechanics": mechanics,
    "deep": deep,
    "lenet5": lenet5,
}


def forward(x, train, regularizer, network, classes):
    """Builds a network in the current graph.

    x: [batch, height, width, 1], 0 (paper) to 1 (ink); any batch size. Its type is that in which the
    network computes: float32, bfloat16 or float16.
    train: a Python bool: batch statistics and dropout, or moving averages and none.
    regularizer: a function of weights, such as layers.l2(1e-4), whose terms go to the collection "losses"; or None.
    network: one of NETWORKS. classes: how many there are.
    Returns the logits, float32 [batch, classes].
    """
    return tf.cast(NETWORKS[network].network(x, train, regularizer, classes), tf.float32)
