"""The CIFAR-10 networks: forward(x, train, regularizer) gives the logits, by the name of the network.

Each is a file in networks/, with its recipe.
"""

from cifar10.networks import (
    airbench,
    airbench_mini,
    airbench_slim,
    bn_convnet,
    complex,
    global_average,
    simple,
    three_layer_convnet,
    tutorial,
    two_layer_fc,
)

import numpy as np

IMAGE_SIZE = 32  # pixels, both ways
NUM_CHANNELS = 3
NUM_CLASSES = 10

NETWORKS = {
    "airbench_slim": airbench_slim,
    "airbench": airbench,
    "airbench_mini": airbench_mini,
    "two_layer_fc": two_layer_fc,
    "three_layer_convnet": three_layer_convnet,
    "simple": simple,
    "complex": complex,
    "global_average": global_average,
    "bn_convnet": bn_convnet,
    "tutorial": tutorial,
}


def forward(x, train, regularizer, network="airbench_slim", **initial):
    """Builds a network in the current graph.

    x: float32 [batch, 32, 32, 3], standardised; any batch size. In training, crops of crop_size(network).
    train: a Python bool: batch statistics, or moving averages.
    regularizer: a function of weights, such as layers.l2(1e-4), whose terms go to the collection "losses"; or None.
    initial: what initial_values() gives, where training starts; later a checkpoint overwrites it.
    Returns the logits, float32 [batch, 10].
    """
    return NETWORKS[network].network(x, train, regularizer, **initial)


def crop_size(network):
    """Side of the squares that a network trains on, pixels: a tester or an app still gives it the whole image."""
    return getattr(NETWORKS[network], "CROP", IMAGE_SIZE)


def initial_values(network, images, mean, std):
    """What a network wants to know of the images before it starts: keyword arguments of forward().

    images: uint8 [n, 32, 32, 3]. mean, std: of the channels, 0–255.
    """
    module = NETWORKS[network]
    return module.initial((images - np.float32(mean)) / np.float32(std)) if hasattr(module, "initial") else {}
