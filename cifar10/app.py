"""Says which of CIFAR-10's ten classes a photo shows, with a network that cifar10/backward.py trained.

    python cifar10/app.py photo.jpg holidays/     # pictures, folders, globs
    python cifar10/app.py --serve                 # a page to drop photos on, in the browser

Asks the network that was trained last on real images, or the last one of a --network or --dataset; where nothing has
been trained yet, the one that comes with the repository. It knows airplane, automobile, bird, cat, deer, dog, frog,
horse, ship and truck, and calls whatever else it sees one of these.
"""

import sys
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at cifar10/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from cifar10.forward import IMAGE_SIZE, NETWORKS, forward
from common import answers, command_line, datasets

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


def main():
    args = answers.parser(__doc__, NETWORKS, datasets.CIFAR10).parse_args()
    return answers.run("cifar10", args, forward, NETWORKS, views, tta=True)


if __name__ == "__main__":
    command_line.run(main)
