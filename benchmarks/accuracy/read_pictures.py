"""Measures how well the apps read pictures, and what each step from picture to digit is worth.

    python benchmarks/accuracy/read_pictures.py mnist FOLDER     # pictures in FOLDER/<class>/; each step off once
    python benchmarks/accuracy/read_pictures.py cifar10 FOLDER
    python benchmarks/accuracy/read_pictures.py drawn            # MNIST's validation digits, drawn as photos
    python benchmarks/accuracy/read_pictures.py numbers          # --segment, on numbers of five of MNIST's test digits

Each prints the share that is right; a picture that cannot be read is wrong. Of a number a digit counts if it stands at
its place, and none does if the answer has more or fewer than five.
"""

import argparse
import contextlib
import importlib
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from benchmarks import runner
from benchmarks.accuracy import drawn
from common import command_line
from common.app import classifier, trained
from common.data import datasets, pictures
from common.errors import UserError
from common.training import checkpoints, runs
from mnist import ink, picture_to_input

import numpy as np

LARGE = 32  # pixels: longer sides above this are pictures, others have been shrunk already


def resized(image):
    """As the notes do it: 28×28, inverted, and what is brighter than 50 is white."""
    inverted = 255 - np.asarray(image.convert("L").resize([picture_to_input.IMAGE_SIZE] * 2))
    return np.where(inverted > 50, 255, 0).astype(np.uint8)[None, None, ..., None]


ALL, TOGETHER = "all steps", "three of these together"
KINDS = [*drawn.KINDS, *drawn.COMBINED, TOGETHER]
STEPS = {  # what is switched off: a function of a module, and what takes its place
    ALL: None,
    "one shade of paper": (ink, "paper", lambda grey: np.full_like(grey, np.median(grey))),
    "no light ink on dark paper": (ink, "dark_on_light", lambda grey: grey),
    "ruled lines left in": (ink, "ruling", lambda value, widest: (np.zeros_like(value), False, False)),
    "scraps of paper left in": (ink, "scrap_of_paper", lambda smooth, value, noise: None),
    "no second look": (picture_to_input, "nearer", lambda image, mask: None),
    "dirt left in": (picture_to_input, "strokes", lambda value, several=False: value > picture_to_input.SURE),
    "stroke width as it is": (picture_to_input, "with_stroke_width", lambda mask: mask.astype(np.float32)),
    "box in the middle": (picture_to_input, "centre_of_mass", lambda small: [(side - 1) / 2 for side in small.shape]),
    "no steps: resized, inverted": (picture_to_input, "digit", resized),
}


def load(task, args):
    forward = importlib.import_module(f"{task}.forward")
    checkpoint = checkpoints.named(args.checkpoint or command_line.CHECKPOINT_DIR / task / runs.PRETRAINED)
    run = runs.read(checkpoint.parent, forward.NETWORKS)
    print(f"{run.title}, step {checkpoints.step(checkpoint)}")
    network = trained.Network(forward.forward, run, checkpoint, runner.CPU)
    return classifier.Classifier(network, tta=task == "cifar10")


def right(network, paths, views):
    """Whether each picture's answer is the name of its folder: bool [pictures]. One that fails is wrong."""
    answers = classifier.classify(network, paths, views)
    return np.array([not isinstance(a, UserError) and a.text == path.parent.name for path, a in answers])


def each_step():
    """Yields what is switched off: nothing, then each step in turn."""
    for name, change in STEPS.items():
        with mock.patch.object(*change) if change else contextlib.nullcontext():
            yield name


def digits(args):
    network = load("mnist", args)
    paths = pictures.expand([args.folder])
    large = np.array([max(pictures.read(path).size) > LARGE for path in paths])
    for name in each_step():
        is_right = right(network, paths, picture_to_input.digit)
        print(f"{name:40} {is_right.mean():.1%} of {len(paths)}, {is_right[large].mean():.1%} of {large.sum()} large")
        if name == ALL:
            print(*(f"  wrong: {path}" for path, ok in zip(paths, is_right, strict=True) if not ok), sep="\n")


def objects(args):
    network = load("cifar10", args)
    paths = pictures.expand([args.folder])
    is_right = right(network, paths, importlib.import_module("cifar10.picture_to_input").reader("", 32))
    print(f"{is_right.mean():.1%} of {len(paths)}")


def drawn_digits(args):
    network = load("mnist", args)
    validation = datasets.MNIST["mnist"](args.data_dir).validation
    print("| % right of {} | {} |\n| --- |{}".format(args.count, " | ".join(STEPS), " --- |" * len(STEPS)))
    rows = []
    for kind in args.kinds:
        random = np.random.default_rng(1)
        chosen = random.integers(len(validation.labels), size=args.count)
        images = []
        for image, label in zip(validation.images[chosen, :, :, 0], validation.labels[chosen], strict=True):
            kinds = random.choice(drawn.KINDS, size=3, replace=False) if kind == TOGETHER else kind.split(", ")
            images.append(drawn.digit(random, image, label, set(kinds)))
        rows.append([100 * share(network, images, validation.labels[chosen]) for _ in each_step()])
        print(f"| {kind} |" + "".join(f" {value:.1f} |" for value in rows[-1]), flush=True)
    print("| mean |" + "".join(f" {value:.1f} |" for value in np.mean(rows, axis=0)))


def share(network, images, labels):
    """How many of the images are read as their labels say, 0 to 1. One that fails is wrong."""

    def views(image):
        try:
            return picture_to_input.digit(image)
        except UserError:
            return None

    with ThreadPoolExecutor() as pool:
        inputs = list(pool.map(views, images))
    usable = [i for i, one in enumerate(inputs) if one is not None]
    if not usable:
        return 0.0
    answers = network.classify([images[i] for i in usable], [inputs[i] for i in usable])
    return np.sum(np.array([int(a.text) for a in answers]) == labels[usable]) / len(labels)


def numbers(args):
    network = load("mnist", args)
    test = datasets.MNIST["mnist"](args.data_dir).test
    random = np.random.default_rng(1)
    count = whole = 0
    for _ in range(args.count):
        chosen = random.integers(len(test.labels), size=5)
        truth = "".join(map(str, test.labels[chosen]))
        image = drawn.number(random, test.images[chosen, :, :, 0])
        try:
            text = network.classify([image], [picture_to_input.digits(image)])[0].text
        except UserError:
            continue
        count += sum(a == b for a, b in zip(truth, text, strict=True)) if len(text) == 5 else 0
        whole += text == truth
    print(f"{count / 5 / args.count:.2%} of {5 * args.count} digits, {whole / args.count:.1%} of {args.count} numbers")


MEASURED = {"mnist": digits, "cifar10": objects, "drawn": drawn_digits, "numbers": numbers}


def main():
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=list(MEASURED))
    parser.add_argument("folder", nargs="?", type=Path, help="of pictures, in subfolders named like the classes")
    parser.add_argument("--checkpoint", type=Path, help="instead of the network of the repository")
    parser.add_argument(
        "--count", type=command_line.positive(int), default=200, help="of numbers, or of each kind (%(default)s)"
    )
    every = [*KINDS, *drawn.TINY]
    parser.add_argument(
        "--kinds", nargs="+", choices=every, default=KINDS, metavar="KIND", help="of drawn (all but the tiny ones)"
    )
    command_line.add_data_dir(parser)
    args = parser.parse_args()
    if (args.what in ("drawn", "numbers")) == bool(args.folder):
        parser.error("mnist and cifar10 take a folder of pictures, drawn and numbers take none")
    MEASURED[args.what](args)


if __name__ == "__main__":
    command_line.run(main)
