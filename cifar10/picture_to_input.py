"""From a photo that somebody brings to the pixels that the network knows."""

import functools

import numpy as np
from PIL import Image


def reader(reading, size):
    """How a picture becomes an input of size × size pixels: a function of a Pillow image, by the name in run.json."""
    return functools.partial(whole if reading == WHOLE else views, size=size)


WHOLE = "whole"  # how pictures of one's own are read


def whole(image, size):
    """The whole photo, squeezed to a square: uint8 [1, 1, size, size, 3]. image: Pillow image, RGB."""
    return _scaled(image, size, [(0, 0, *image.size)])


def views(image, size):
    """Views of a photo, each scaled to what the network takes: uint8 [1, views, size, size, 3].

    The whole photo, squeezed to a square, and squares of its shorter side: at both ends and in the middle of its longer
    side. image: Pillow image, RGB.
    """
    short = min(image.size)
    boxes = [(0, 0, *image.size)]
    for share in (0, 0.5, 1):
        left, top = ((side - short) * share for side in image.size)
        boxes.append((left, top, left + short, top + short))
    return _scaled(image, size, boxes)


def _scaled(image, size, boxes):
    return np.stack([np.asarray(image.resize((size, size), Image.Resampling.BOX, box)) for box in boxes])[np.newaxis]
