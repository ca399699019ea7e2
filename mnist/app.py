"""Says which digit a picture shows, with a network that mnist/backward.py trained.

    python mnist/app.py docs/digit.jpg photo.png       # pictures, folders, globs
    python mnist/app.py --segment postcode.jpg         # a written number: each of its digits, from left to right
    python mnist/app.py --serve                        # a page to draw on, in the browser

Asks the network that was trained last on pictures of your own; without such, the most accurate one on MNIST's
validation images, which may be the one that comes with the repository. Or that of a --network or --dataset.
"""

import sys
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at mnist/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import command_line
from common.app import answers, exported
from common.data import datasets
from mnist.picture_to_input import numbers, reader


def main():
    parser = answers.parser(__doc__, datasets.MNIST)
    parser.add_argument("--segment", action="store_true", help="read a number: several digits, in one row")
    args = parser.parse_args()
    return answers.answer("mnist", args, lambda: network(args), numbers if args.segment else reader)


def network(args):
    if args.engine:
        return exported.find("mnist", args)
    from common.app import trained  # here: an exported network needs no TensorFlow
    from mnist.forward import NETWORKS, forward

    return trained.find("mnist", args, forward, NETWORKS)


if __name__ == "__main__":
    command_line.run(main)
