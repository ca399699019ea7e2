"""The files of the MNIST family: where they come from, and their IDX format."""

import math
import struct
from typing import NamedTuple

from common.data import download
from common.errors import UserError

import numpy as np


class Source(NamedTuple):
    """Where a data set of the MNIST family comes from. `md5`: of each file's content; of kmnist's, of the .gz."""

    title: str
    class_names: tuple
    mirrors: tuple
    md5: dict


DIGITS = tuple("0123456789")

SOURCES = {
    "mnist": Source(
        "MNIST",
        DIGITS,
        (
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ),
        {
            "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
            "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
            "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
            "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
        },
    ),
    "fashion": Source(  # https://github.com/zalandoresearch/fashion-mnist
        "Fashion-MNIST",
        ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        {
            "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
            "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
            "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
        },
    ),
    "kmnist": Source(  # https://github.com/rois-codh/kmnist
        "Kuzushiji-MNIST",
        ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        (
            "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        ),
        {
            "train-images-idx3-ubyte": "bdb82020997e1d708af4cf47b453dcf7",
            "train-labels-idx1-ubyte": "e144d726b3acfaa3e44228e80efcd344",
            "t10k-images-idx3-ubyte": "5c965bf0a639b31b8f53240b1b52f4d7",
            "t10k-labels-idx1-ubyte": "7320c461ea6c1c855c0b718fb2a4b134",
        },
    ),
}


def read(name, folder):
    """Reads the four files of SOURCES[name] from a folder, .gz or unpacked; downloads those that are not there.

    Returns (images, labels) of training and of testing: uint8 [n, 28, 28, 1] and [n].
    Raises DataUnavailable where no mirror answers, UserError where a file is not the official one.
    """
    source = SOURCES[name]
    files = {file: _read(folder, file, source) for file in source.md5}
    return [
        (files[f"{part}-images-idx3-ubyte"][..., np.newaxis], files[f"{part}-labels-idx1-ubyte"])
        for part in ("train", "t10k")
    ]


def parse_idx(content, path):
    """Parses the IDX format of MNIST's makers: two zero bytes, the type, the number of dimensions, their sizes, data.

    Returns a read-only uint8 array of the shape that the header tells. Raises UserError, which names the path, for any
    other type or odd sizes, and for content that is shorter or longer than its header says.
    """
    if len(content) < 4 or content[:3] != b"\0\0\x08":  # 8: unsigned bytes
        raise UserError(f"{path} is not an IDX file of unsigned bytes: it starts with {content[:4]!r}")
    dimensions = content[3]
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise UserError(f"{path} is truncated: its header needs {start} bytes, it has {len(content)}")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    expected = start + math.prod(shape)
    if len(content) != expected:
        kind = "truncated" if len(content) < expected else "too long"
        raise UserError(f"{path} is {kind}: {expected} bytes by its header, it has {len(content)}")
    try:
        return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
    except ValueError:  # some size is 0, and the others are huge, or more than NumPy has dimensions
        sizes = ", ".join(map(str, shape[:4]))
        raise UserError(f"{path} has impossible sizes, {sizes} …; delete it to download it again") from None


def _read(folder, file, source):
    """The array in folder/file or folder/file.gz, after a download if neither is there."""
    path = next((p for p in (folder / file, folder / f"{file}.gz") if p.exists()), None)
    if path is None:
        path = folder / f"{file}.gz"
        try:
            download.fetch(path, source.mirrors, lambda part: download.check_digest(part, source.md5[file]))
        except download.DataUnavailable as error:
            raise download.DataUnavailable(
                f"{source.title} is not in {folder} and {error}. Put its four files "
                f"({', '.join(f'{name}.gz' for name in source.md5)}) there"
            ) from None
    return parse_idx(download.check_digest(path, source.md5[file]), path)
