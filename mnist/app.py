"""Says which digit a picture shows, with a network that mnist/backward.py trained.

    python mnist/app.py docs/digit.jpg photo.png

Asks the network that was trained last on real digits, or the last one of a --network or --dataset.
"""

import sys
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at mnist/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import answers, command_line, datasets
from common.command_line import UserError
from mnist.forward import IMAGE_SIZE, NETWORKS, NUM_CHANNELS, forward

import numpy as np
from PIL import Image

INK_SIZE = 20  # pixels: MNIST's digits fit a square of this size
INK_LEVEL = 0.3  # a pixel is ink from this share of the darkest ink's contrast to the paper


def network_input(image):
    """Turns a picture into what MNIST's makers made of theirs: white on black, fit to 20×20, centred by mass in 28×28.

    image: Pillow image, RGB. Returns uint8 [1, 28, 28, 1]: one view of it. Raises UserError if there is no ink.
    """
    grey = np.asarray(image.convert("L"), np.float32)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    paper = np.median(border)  # the digit seldom touches the border, so most of that is paper
    ink = np.abs(grey - paper)  # dark on light or light on dark
    if ink.max() < 25:  # of 255
        raise UserError("shows no digit: nothing stands out from its background")
    ink = ((ink / ink.max() - INK_LEVEL) / (1 - INK_LEVEL)).clip(0)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = INK_SIZE / max(ink.shape)
    size = [max(1, round(side * scale)) for side in ink.shape]
    small = Image.fromarray(ink).resize(size[::-1], Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC)
    small = np.asarray(small).clip(0)

    # Where the centre of mass falls on the middle of the canvas, as far as the digit then still fits.
    top, left = (
        int(np.clip(round((IMAGE_SIZE - 1) / 2 - centre), 0, IMAGE_SIZE - side))
        for centre, side in zip(_centre_of_mass(small), small.shape, strict=True)
    )
    canvas = np.zeros([IMAGE_SIZE, IMAGE_SIZE, NUM_CHANNELS])
    canvas[top : top + small.shape[0], left : left + small.shape[1], 0] = small / small.max() * 255
    return canvas.astype(np.uint8)[np.newaxis]


def _centre_of_mass(image):
    rows, columns = np.indices(image.shape)
    return (rows * image).sum() / image.sum(), (columns * image).sum() / image.sum()


def main():
    args = answers.parser(__doc__, NETWORKS, datasets.MNIST).parse_args()
    return answers.run("mnist", args, forward, NETWORKS, network_input)


if __name__ == "__main__":
    command_line.run(main)
