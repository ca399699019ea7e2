"""Tests the checkpoints of cifar10/backward.py as they come in, on the 10,000 images that training never saw.

    python cifar10/test.py           # beside the trainer, from another terminal; ends when the trainer has finished
    python cifar10/test.py --once    # the newest checkpoint only
    python cifar10/test.py --tta     # test-time augmentation: the mean of six views of each image

Tests the run that was started last, or the last one of a --network or --dataset.
"""

import sys
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at cifar10/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from cifar10.forward import NETWORKS, forward
from common import command_line
from common.data import datasets
from common.training import testing


def main():
    args = testing.parser(__doc__, NETWORKS, datasets.CIFAR10).parse_args()
    testing.test_checkpoints("cifar10", args, forward, NETWORKS, datasets.CIFAR10)


if __name__ == "__main__":
    command_line.run(main)
