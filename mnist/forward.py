"""The MNIST networks: forward(x, train, regularizer) gives the logits, by the name of the network.

Each is a file in networks/, with its recipe.
"""

from mnist.networks import convnet, deep, fully_connected, lenet5, mechanics, softmax

IMAGE_SIZE = 28  # pixels, both ways
NUM_CHANNELS = 1
NUM_CLASSES = 10

NETWORKS = {
    "convnet": convnet,
    "softmax": softmax,
    "fully_connected": fully_connected,
    "mechanics": mechanics,
    "deep": deep,
    "lenet5": lenet5,
}


def forward(x, train, regularizer, network="convnet"):
    """Builds a network in the current graph.

    x: float32 [batch, 28, 28, 1], 0 (paper) to 1 (ink); any batch size.
    train: a Python bool: batch statistics and dropout, or moving averages and none.
    regularizer: a function of weights, such as layers.l2(1e-4), whose terms go to the collection "losses"; or None.
    Returns the logits, float32 [batch, 10].
    """
    return NETWORKS[network].network(x, train, regularizer)
