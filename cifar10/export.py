"""Writes a CIFAR-10 network for other programs: TensorFlow Serving, LiteRT, ONNX Runtime, NumPy.

    python cifar10/export.py                          # all forms, to exports/cifar10/airbench_slim/
    python cifar10/export.py --to onnx tflite --int8  # these; --int8 is LiteRT in whole numbers of 8 bits
    python cifar10/export.py --checkpoint checkpoints/cifar10/pretrained

Takes the run that was started last, or the last one of a --network or --dataset; without any, the network that comes
with the repository. Each form is loaded again, and answers all test images. docs/export.md says what is in the folder.
"""

import sys
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at cifar10/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from cifar10.forward import NETWORKS, forward
from cifar10.photos import photos
from common import command_line
from common.app import export
from common.data import datasets


def main():
    args = export.parser(__doc__, NETWORKS, datasets.CIFAR10).parse_args()
    return export.export("cifar10", args, forward, NETWORKS, datasets.CIFAR10, photos)


if __name__ == "__main__":
    command_line.run(main)
