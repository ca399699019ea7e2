"""Says which of CIFAR-10's ten classes a photo shows, with a network that cifar10/backward.py trained.

    python cifar10/app.py photo.jpg holidays/     # pictures, folders, globs
    python cifar10/app.py --serve                 # a page to drop photos on, in the browser

Asks the network that was trained last on pictures of your own; without such, the most accurate one on CIFAR-10's
validation images, which may be the one that comes with the repository. Or that of a --network or --dataset. The one
that comes with it knows airplane, automobile, bird, cat, deer, dog, frog, horse, ship and truck,
and calls whatever else it sees one of these.
"""

import sys
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at cifar10/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from cifar10.picture_to_input import reader
from common import command_line
from common.app import answers, exported
from common.data import datasets


def main():
    args = answers.parser(__doc__, datasets.CIFAR10).parse_args()
    return answers.answer("cifar10", args, lambda: network(args), reader, tta=True)


def network(args):
    if args.engine:
        return exported.find("cifar10", args)
    from cifar10.forward import NETWORKS, forward
    from common.app import trained  # here: an exported network needs no TensorFlow

    return trained.find("cifar10", args, forward, NETWORKS)


if __name__ == "__main__":
    command_line.run(main)
