"""The CIFAR-10 networks: forward(x, train, regularizer, …) gives the logits of a network.

Each is a file in networks/, with its recipe.
"""

from cifar10.networks import (
    airbench,
    airbench_medium,
    airbench_mini,
    airbench_slim,
    bn_convnet,
    complex_model,
    global_average,
    simple,
    three_layer_convnet,
    tutorial,
    two_layer_fc,
)
from common.errors import UserError

import numpy as np
import tensorflow.compat.v1 as tf

IMAGE_SIZE = 32  # pixels, both ways
NUM_CHANNELS = 3

NETWORKS = {
    "airbench_slim": airbench_slim,
    "airbench": airbench,
    "airbench_medium": airbench_medium,
    "airbench_mini": airbench_mini,
    "two_layer_fc": two_layer_fc,
    "three_layer_convnet": three_layer_convnet,
    "simple": simple,
    "complex": complex_model,
    "global_average": global_average,
    "bn_convnet": bn_convnet,
    "tutorial": tutorial,
}


def forward(x, train, regularizer, network, classes, **initial):
    """Builds a network in the current graph.

    x: [batch, height, width, 3], standardised; any batch size. In training, crops of crop_size(). Its type is that in
    which the network computes: float32, bfloat16 or float16.
    train: a Python bool: batch statistics, or moving averages.
    regularizer: a function of weights, such as layers.l2(1e-4), whose terms go to the collection "losses"; or None.
    network: one of NETWORKS. classes: how many there are.
    initial: what initial_values() gives, where training starts; later a checkpoint overwrites it.
    Returns the logits, float32 [batch, classes]. Raises UserError for images that are too small for the network.
    """
    check_size(network, min(x.shape.as_list()[1:3]))
    return tf.cast(NETWORKS[network].network(x, train, regularizer, classes, **initial), tf.float32)


def check_size(network, side):
    """Raises UserError for images whose shorter side, in pixels, is too small for a network."""
    smallest = getattr(NETWORKS[network], "SMALLEST", 1)
    if side < smallest:
        raise UserError(f"{network} needs images of {smallest}×{smallest} pixels or more, not {side}×{side}")


def crop_size(network, image_size):
    """Side of the squares that a network trains on, pixels: a tester or an app still gives it the whole image."""
    return getattr(NETWORKS[network], "CROP", image_size)


def initial_values(network, images, mean, std):
    """What a network wants to know of the images before it starts: keyword arguments of forward().

    images: uint8 [n, height, width, 3]. mean, std: of the channels, 0–255.
    """
    module = NETWORKS[network]
    return module.initial((images - np.float32(mean)) / np.float32(std)) if hasattr(module, "initial") else {}
