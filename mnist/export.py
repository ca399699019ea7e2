"""Writes an MNIST network for other programs: TensorFlow Serving, LiteRT, ONNX Runtime, NumPy.

    python mnist/export.py                          # all forms, to exports/mnist/convnet/
    python mnist/export.py --to onnx tflite --int8  # these; --int8 is LiteRT in whole numbers of 8 bits
    python mnist/export.py --checkpoint checkpoints/mnist/pretrained

Takes the run that was started last, or the last one of a --network or --dataset; without any, the network that comes
with the repository. Each form is loaded again, and answers all test images. docs/export.md says what is in the folder.
"""

import sys
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at mnist/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import command_line
from common.app import export
from common.data import datasets
from mnist.forward import NETWORKS, forward

NOTE = """
A network that learnt ink wants it white on black, fitted to 20×20 pixels, with its centre of mass in the middle of
28×28. `mnist/picture_to_input.py` of the kit brings photos into that form.
"""


def main():
    args = export.parser(__doc__, NETWORKS, datasets.MNIST).parse_args()
    return export.export("mnist", args, forward, NETWORKS, datasets.MNIST, note=NOTE)


if __name__ == "__main__":
    command_line.run(main)
