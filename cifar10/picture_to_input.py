"""From a photo that somebody brings to the 32×32 pixels that the network knows."""

from cifar10.forward import IMAGE_SIZE

import numpy as np
from PIL import Image


def views(image):
    """Views of a photo, each scaled to what the network takes: uint8 [1, views, 32, 32, 3].

    The whole photo, squeezed to a square, and squares of its shorter side: at both ends and in the middle of its longer
    side. image: Pillow image, RGB.
    """
    short = min(image.size)
    boxes = [(0, 0, *image.size)]
    for share in (0, 0.5, 1):
        left, top = ((side - short) * share for side in image.size)
        boxes.append((left, top, left + short, top + short))
    size = (IMAGE_SIZE, IMAGE_SIZE)
    return np.stack([np.asarray(image.resize(size, Image.Resampling.BOX, box)) for box in boxes])[np.newaxis]
