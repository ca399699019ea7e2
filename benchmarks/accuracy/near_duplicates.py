"""Measures which near-duplicates of photos packing finds: the share that is put into one part with the original.

    python benchmarks/accuracy/near_duplicates.py clothing/

Each photo below the folder comes with one that was changed: saved anew as JPEG, made half as large, lighter, cropped or
mirrored. Also counts the photos that are grouped without any change: true duplicates, or mistaken ones.
"""

import argparse
import hashlib
import io
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from benchmarks import runner
from cifar10.picture_to_input import whole
from common import command_line
from common.data import pictures, splits

import numpy as np
from PIL import Image, ImageOps


def saved_anew(image, quality):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


CHANGES = {
    "saved anew as JPEG, quality 75": lambda image: saved_anew(image, 75),
    "saved anew as JPEG, quality 30": lambda image: saved_anew(image, 30),
    "half as large": lambda image: image.resize([side // 2 for side in image.size], Image.Resampling.BICUBIC),
    "lighter by a tenth": lambda image: image.point(lambda value: 1.1 * value),
    "two pixels less at each edge": lambda image: ImageOps.crop(image, 2),
    "mirrored": ImageOps.mirror,
}


def groups(images):
    """The number of each image's group, as packing has it."""
    digests = [int.from_bytes(hashlib.blake2b(image, digest_size=8).digest(), "big") for image in images]
    return splits.groups(np.stack(images), np.array(digests, np.uint64))


def main():
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sizes", nargs="+", type=command_line.positive(int), default=[32, 64], help="pixels (32 64)")
    args = parser.parse_args()
    photos = [pictures.read(path, path) for path in pictures.expand([args.folder])]
    titles = [f"{size}×{size}" for size in args.sizes]
    print(f"{runner.machine()}; {len(photos):,} photos; commit {', '.join(runner.commit_and_date())}\n")
    print(f"| found when packed at | {' | '.join(titles)} |\n| --- |{' --- |' * len(titles)}")
    before = {size: [whole(photo, size)[0, 0] for photo in photos] for size in args.sizes}
    for name, change in CHANGES.items():
        shares = []
        for size in args.sizes:
            both = groups(before[size] + [whole(change(photo), size)[0, 0] for photo in photos])
            shares.append(f"{np.mean(both[: len(photos)] == both[len(photos) :]):.1%}")
        print(f"| {name} | {' | '.join(shares)} |", flush=True)
    alone = [np.unique(groups(before[size]), return_counts=True)[1] for size in args.sizes]
    print(f"| grouped without a change | {' | '.join(f'{sizes[sizes > 1].sum()} photos' for sizes in alone)} |")


if __name__ == "__main__":
    command_line.run(main)
