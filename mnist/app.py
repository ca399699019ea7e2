"""Says which digit a picture shows, with a network that mnist/backward.py trained.

    python mnist/app.py digit.png photo.jpg
"""

import sys
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at mnist/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import batches, checkpoints, command_line, datasets, device, pictures, runs
from common.command_line import UserError
from mnist.forward import IMAGE_SIZE, NETWORKS, NUM_CHANNELS, forward

import numpy as np
import tensorflow.compat.v1 as tf
from PIL import Image

INK_SIZE = 20  # pixels: MNIST's digits fit a square of this size
INK_LEVEL = 0.3  # a pixel is ink from this share of the darkest ink's contrast to the paper


def network_input(image, path):
    """Turns a picture into what MNIST's makers made of theirs: white on black, fit to 20×20, centred by mass in 28×28.

    image: Pillow image, RGB. Returns uint8 [28, 28, 1]. Raises UserError, which names the path, if there is no ink.
    """
    from scipy import ndimage

    grey = np.asarray(image.convert("L"), np.float32)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    paper = np.median(border)  # the digit seldom touches the border, so most of that is paper
    ink = np.abs(grey - paper)  # dark on light or light on dark
    if ink.max() < 25:  # of 255
        raise UserError(f"{path} shows no digit: nothing stands out from its background")
    ink = ((ink / ink.max() - INK_LEVEL) / (1 - INK_LEVEL)).clip(0)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = INK_SIZE / max(ink.shape)
    size = [max(1, round(side * scale)) for side in ink.shape]
    small = Image.fromarray(ink).resize(size[::-1], Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC)
    small = np.asarray(small).clip(0)

    middle = (IMAGE_SIZE - 1) / 2
    canvas = np.zeros([IMAGE_SIZE, IMAGE_SIZE], np.float32)
    ...
