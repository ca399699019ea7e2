"""Data sets: each task's own, its relatives, drawn images for machines that cannot get a real one, and packed pictures.

A family, such as MNIST at the end, is a dict from names to loaders; the first is the task's own. A loader takes the
folder that keeps data, looks into its subfolder of that name, and downloads what is not there. It raises
download.DataUnavailable where no mirror answers, UserError where a file is not as it must be.
"""

import functools
import hashlib
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

from common.data import cifar10_files, download, generated, mnist_files, records
from common.errors import UserError

import numpy as np
import psutil

COPIES = 2  # of images that are in memory: NumPy's and TensorFlow's
VALIDATION_IMAGES = 5000  # the last ones of the training files, held out to choose with


class Split(NamedTuple):
    """images: uint8 [n, height, width, channels], an array or records.Images; labels: integers [n]."""

    images: np.ndarray
    labels: np.ndarray


class DataSet(NamedTuple):
    """One data set. `title` stands beside every figure measured on it; `digest` tells its content from any other.

    Of packed pictures: reading: how the app reads a picture for it, a name that the task knows. folder: where they are.
    source: where they came from.
    """

    name: str
    title: str
    class_names: tuple
    digest: str
    train: Split
    validation: Split
    test: Split
    reading: str = ""
    folder: str = ""
    source: str = ""


def load_or_generate(family, name, data_dir):
    """The data set of a name. With None, the family's own; where that cannot be had, says why, and draws one."""
    if name:
        return family[name](data_dir)
    try:
        return next(iter(family.values()))(data_dir)
    except download.DataUnavailable as error:
        data = family["generated"](data_dir)
        paragraph = (
            f"{error}. Until then, {data.title} are used instead: every figure is about these drawings, not about real "
            "images, and the checkpoints go to a folder of their own."
        )
        print(textwrap.fill(paragraph, 100, break_long_words=False, break_on_hyphens=False), file=sys.stderr)
        return data


def load(family, name, data_dir, folder=""):
    """The data set of a name, or in a packed folder of data_dir or elsewhere.

    folder: where it was packed. Raises UserError where there is none of this name.
    """
    if name in family:
        return family[name](data_dir)
    for place in filter(None, [Path(data_dir) / name, folder, name]):
        if records.is_packed(place):
            return packed(place, in_memory=0)  # a tester needs one part of it, now and then
    raise UserError(
        f"there is no data set {name!r} in {data_dir}{f' or {folder}' if folder else ''}; pack the pictures again, or "
        f"name another: {', '.join(family)}"
    )


def check_name(family, name):
    """Raises UserError for a name that is no data set of the family, and no file or folder."""
    wanted = f"choose from {', '.join(family)}, or give a folder with one sub-folder a class, a table or TFRecords"
    if name not in family and any(name in others for others in FAMILIES.values()):  # the code's folder, perhaps
        raise UserError(f"the data set {name!r} is of another task; {wanted}, such as ./{name}")
    if name not in family and not Path(name).exists():
        raise UserError(f"there is no data set {name!r}, and no such file; {wanted}")


def packed(folder, in_memory=None):
    """The data set in a folder that packing.pack() made. in_memory: bytes; if it takes more, images stay on the disk.

    Without it, half of the memory that is free. Raises UserError where a file is damaged.
    """
    limit = psutil.virtual_memory().available / 2 if in_memory is None else in_memory
    told = records.read(folder)
    splits = [records.part(folder, told, name) for name in records.PARTS]
    if COPIES * sum(images.nbytes for images, _ in splits) <= limit:
        splits = [(images[:], labels) for images, labels in splits]
    splits = [Split(*split) for split in splits]
    where = str(Path(folder).resolve()), told.source
    return DataSet(told.name, told.title, told.class_names, told.digest, *splits, told.reading, *where)


def _mnist_like(name, data_dir):
    source = mnist_files.SOURCES[name]
    train, test = mnist_files.read(name, data_dir / name)
    return _data_set(name, source.title, source.class_names, train, test)


def _cifar10(data_dir):
    train, test, unofficial = cifar10_files.read(data_dir / "cifar10")
    title = "CIFAR-10"
    if unofficial:
        title = "CIFAR-10 (unofficial copy)"
        said = f"warning: {unofficial} is whole, but not the official file"
        print(f"{said}: accuracies are not comparable with published ones", file=sys.stderr)
    return _data_set("cifar10", title, cifar10_files.CLASS_NAMES, train, test)


def _generated(title, class_names, draw, data_dir):
    return _data_set("generated", title, class_names, draw(30_000, seed=1), draw(5_000, seed=2))


def _data_set(name, title, class_names, train, test):
    images, labels = train
    digest = hashlib.sha256()
    for array in (*train, *test):
        digest.update(array)
    held_out = len(labels) - VALIDATION_IMAGES
    return DataSet(
        name,
        title,
        class_names,
        digest.hexdigest(),
        Split(images[:held_out], labels[:held_out]),
        Split(images[held_out:], labels[held_out:]),
        Split(*test),
    )


MNIST = {name: functools.partial(_mnist_like, name) for name in mnist_files.SOURCES} | {
    "generated": functools.partial(_generated, "generated digits", mnist_files.DIGITS, generated.digits)
}
CIFAR10 = {
    "cifar10": _cifar10,
    "generated": functools.partial(_generated, "generated shapes", generated.SHAPES, generated.shapes),
}
FAMILIES = {"mnist": MNIST, "cifar10": CIFAR10}  # by the task
