"""TFRecords that others wrote: pictures as bytes of pixels, with a label, in tf.train.Example."""

import re
from pathlib import Path

from common import graph_mode  # noqa: F401 (before tensorflow)
from common.data.records import FRAME
from common.errors import UserError

import numpy as np
import tensorflow.compat.v1 as tf
from google.protobuf.message import DecodeError

PIXELS = ("image_raw", "img_raw")  # names of the feature: ours, and that of the notes


def files(path):
    """The TFRecords files that a path names: itself, or those in its folder."""
    if path.is_dir():
        return sorted(p for p in path.iterdir() if _is_records(p) and p.is_file())
    return [path] if _is_records(path) and path.is_file() else []


def _is_records(path):
    return re.search(r"\.tfrecords?(-\d+-of-\d+)?$", path.name) and not path.name.startswith(".")


def scan(path):
    """Yields (first byte, name of the class) of each example in a TFRecords file.

    A label is a number, a list with a 1 at its place, or a name. Raises UserError for a file that is damaged, or whose
    examples have no picture or label.
    """
    start = 0
    try:
        for content in tf.python_io.tf_record_iterator(str(path)):
            feature = tf.train.Example.FromString(content).features.feature
            _picture(feature, path, start)
            yield start, _label(feature["label"], path, start)
            start += FRAME[0] + len(content) + FRAME[1]
    except tf.errors.OpError as error:
        raise UserError(f"{path} cannot be read after {start} bytes ({error.message}); bring it again") from None
    except (DecodeError, ValueError):
        raise UserError(f"{path} is not a file of tf.train.Example, at byte {start}") from None


def _label(feature, path, start):
    numbers, names = list(feature.int64_list.value), list(feature.bytes_list.value)
    if len(names) == 1 and names[0].strip():
        return names[0].decode(errors="replace")
    if len(numbers) == 1:
        return str(numbers[0])
    if numbers.count(1) == 1 and set(numbers) == {0, 1}:
        return str(numbers.index(1))
    raise UserError(f"{path}: the example at byte {start} has no label, or several")


def guessed(path):
    """A notice on how the pictures of a file are read that says no sizes; or None."""
    for content in tf.python_io.tf_record_iterator(str(path)):
        feature = tf.train.Example.FromString(content).features.feature
        if not feature["height"].int64_list.value:
            height, width, channels = _picture(feature, path, 0).shape
            kind = "grey" if channels == 1 else "in colour"
            return f"{path} says no height and width: its pictures are read as squares, {height}×{width} pixels, {kind}"
        return None
    return None


def picture(path, start):
    """The pixels of the example that starts at a byte of a TFRecords file, uint8 [height, width, channels]."""
    with Path(path).open("rb") as file:
        file.seek(start)
        length = int.from_bytes(file.read(8), "little")
        file.seek(start + FRAME[0])
        return _picture(tf.train.Example.FromString(file.read(length)).features.feature, path, start)


def _picture(feature, path, start):
    """Its size is what height, width and channels or depth say; else, it is a square, grey if that fits."""
    pixels = next((feature[name].bytes_list.value[0] for name in PIXELS if feature[name].bytes_list.value), b"")
    sizes = [feature[name].int64_list.value for name in ("height", "width", "channels")]
    sizes[2] = sizes[2] or feature["depth"].int64_list.value
    if all(sizes):
        shapes = [tuple(size[0] for size in sizes)]
    else:
        shapes = [(side, side, channels) for channels in (1, 3) for side in [round((len(pixels) / channels) ** 0.5)]]
    shape = next((s for s in shapes if min(s) > 0 and s[2] in (1, 3) and np.prod(s) == len(pixels)), None)
    if not shape:
        names = " or ".join(PIXELS)
        wanted = f"no {names} of height × width × 1 or 3 bytes; encoded pictures, as JPEG, belong in files of their own"
        raise UserError(f"{path}: the example at byte {start} has {wanted}")
    return np.frombuffer(pixels, np.uint8).reshape(shape)
