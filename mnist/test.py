"""Tests the checkpoints of mnist/backward.py as they come in, on the images that training never saw.

    python mnist/test.py           # beside the trainer, from another terminal; ends when the trainer has finished
    python mnist/test.py --once    # the newest checkpoint only
    python mnist/test.py --tta     # test-time augmentation: the mean of five views of each image
    python mnist/test.py --raw     # the weights themselves instead of their moving averages, to compare

Tests the run that was started last, or the last one of a --network or --dataset.
"""

import sys
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at mnist/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import command_line
from common.data import datasets
from common.training import testing
from mnist.forward import NETWORKS, forward


def main():
    args = testing.parser(__doc__, NETWORKS, datasets.MNIST).parse_args()
    testing.test_checkpoints("mnist", args, forward, NETWORKS, datasets.MNIST)


if __name__ == "__main__":
    command_line.run(main)
