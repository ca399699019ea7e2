"""What the tests of packed pictures share: pictures of which no two are alike, and their packing."""

from cifar10.picture_to_input import reader
from common.data import packing, records

import numpy as np
from PIL import Image

SIZE = 16  # pixels
FIRST = "train-00000-of-00002.tfrecord"
TEXTURES = np.random.default_rng(7).integers(0, 256, [400, 12, 12, 3], np.uint8)


def folder_of(root, counts, start=0):
    """A folder with so many pictures of each class: {class: count}. No two of them are alike."""
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.fromarray(TEXTURES[start + i]).save(root / name / f"{i}.png")
        start += count
    return root


def pack(source, data_dir, size=SIZE):
    return packing.pack(source, data_dir, "whole", reader("whole", size), size)


def counts_of(folder):
    return records.read(folder).counts


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
