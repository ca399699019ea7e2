"""Packs the pictures that a user brings, once, into a data set to train on: data/NAME-DIGEST/.

Each picture goes through the very function that the app uses.
"""

import hashlib
import os
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from common.command_line import shown
from common.data import prepared, records, shards, sources, splits
from common.data.download import locked
from common.errors import UserError, writing

import msgspec
import numpy as np

VERSION = 2  # of what packing does with a picture: another one packs again
MOST_CLASSES = 2**16 - 1  # a label has 16 bits
LEFT_OUT = "left-out.txt"


def pack(source, data_dir, reading, read, size):
    """Packs a folder, a table or TFRecords, if they were not packed as they are now. Returns the packed folder.

    A packed folder is returned as it is. Prints what is in it.

    reading: the name, for run.json, of the function `read`. That gives what a network takes of a Pillow image, uint8
    [items, views, size, size, channels]; the first view of the first item is packed.
    Tells what was left out. Raises UserError where a class has nothing left, and where a disk is full.
    """
    if records.is_packed(source):
        return _said(Path(source))
    found = sources.find(source)
    if len(found.class_names) > MOST_CLASSES:
        raise UserError(f"{source} has {len(found.class_names):,} classes, more than {MOST_CLASSES:,}")
    with locked(data_dir, "packing"):
        stamp = _stamp(found, reading, size)
        for path in sorted(data_dir.glob(f"*/{records.DATASET}")):
            if _stamp_of(path.parent) == stamp:
                return _said(path.parent)
        for leftover in data_dir.glob(".packing-*/"):  # of one that was killed: the lock is ours
            shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=".packing-", dir=data_dir) as temporary:
            return _said(_pack(found, stamp, Path(temporary), reading, read, size))


def _said(folder):
    """The packed folder, once what is in it is printed."""
    packed = records.read(folder)
    train, validation, test = (sum(counts) for counts in zip(*packed.counts.values(), strict=True))
    print(
        f"{packed.title}: {len(packed.class_names):,} classes, {packed.size}×{packed.size} pixels; {train:,} pictures "
        f"to train, {validation:,} to validate, {test:,} to test, in {shown(folder)}"
    )
    return folder


def _stamp(found, reading, size):
    """Tells a source as it is now from any other: names, labels, sizes and times of its files."""
    root = os.path.realpath(found.root)
    digest = hashlib.sha256(repr((VERSION, reading, size, root, found.name, found.class_names)).encode())
    for example in found.examples:
        try:
            status = os.stat(example.path)  # noqa: PTH116 (a hundred thousand of them)
            facts = status.st_size, status.st_mtime_ns, os.access(example.path, os.R_OK)
        except OSError as error:
            facts = error.errno
        place = os.path.relpath(example.path, found.root)
        digest.update(repr((place, example[1:], facts)).encode(errors="surrogateescape"))
    return digest.hexdigest()


def _stamp_of(folder):
    try:
        return records.read(folder).stamp
    except UserError:  # damaged, and told where it is used
        return None


def _pack(found, stamp, temporary, reading, read, size):
    images, rows, digests, left_out = prepared.read_all(found.examples, temporary / "pixels", read)
    for line in found.notices:
        print(line, file=sys.stderr)
    reasons = Counter(prepared.kind(reason) for _, reason in left_out)
    if left_out:
        told = ", ".join(f"{count:,} × {kind}" for kind, count in reasons.most_common())
        print(f"left out: {len(left_out):,} of {len(found.examples):,} pictures ({told})", file=sys.stderr)
    examples = [found.examples[row] for row in rows]
    numbers = {name: number for number, name in enumerate(found.class_names)}
    labels = np.array([numbers[example.label] for example in examples], int)
    for name, number in numbers.items():
        if number not in labels:
            path, reason = next(each for each in left_out if each[0].label == name)
            raise UserError(f"class {name!r} has no picture that can be used; {sources.printable(path.path)} {reason}")
    group = splits.groups(images, digests)
    given = np.array([records.PARTS.index(e.part) if e.part else -1 for e in examples])
    parts = splits.split(labels, group, digests, given)
    counts = np.zeros([len(numbers), len(records.PARTS)], int)
    np.add.at(counts, (labels, parts), 1)
    _tell(found.class_names, examples, labels, group, digests, parts, counts)

    folder = temporary / "set"
    folder.mkdir()
    names = [os.fsencode(os.path.relpath(example.path, found.root)) for example in examples]
    digest = hashlib.sha256(repr((found.class_names, images.shape[1:])).encode())
    written = {}
    for number, part in enumerate(records.PARTS):
        of_part = np.flatnonzero(parts == number)
        of_part = of_part[np.argsort(digests[of_part], kind="stable")]  # mixed, but always in the same order
        written[part] = shards.write(folder, part, of_part, images, labels, names)
        for array in digests[of_part], labels[of_part]:
            digest.update(array.astype("<u8"))
    packed = records.Packed(
        title=found.name,
        source=os.path.realpath(found.path),
        root=os.path.realpath(found.root),
        reading=reading,
        class_names=found.class_names,
        size=size,
        channels=images.shape[-1],
        counts=dict(zip(found.class_names, counts.tolist(), strict=True)),
        left_out=dict(reasons),
        shards={part: files for part, (files, _) in written.items()},
        indexes={part: index for part, (_, index) in written.items()},
        digest=digest.hexdigest(),
        stamp=stamp,
    )
    lines = [f"{sources.printable(example.path)} {reason}\n" for example, reason in left_out]
    with writing(folder):
        (folder / records.DATASET).write_bytes(msgspec.json.format(msgspec.json.encode(packed), indent=1) + b"\n")
        (folder / LEFT_OUT).write_text("".join(lines), "utf-8")
    place = temporary.parent / packed.name
    if place.exists():  # the same pictures, as files that were copied or touched
        shutil.rmtree(place)
    folder.rename(place)
    return place


def _tell(class_names, examples, labels, group, digests, parts, counts):
    """Tells what a user should know of the split."""
    _, group_sizes = np.unique(group, return_counts=True)
    alike = int(group_sizes[group_sizes > 1].sum())
    if alike:
        same = len(digests) - len(np.unique(digests))
        pairs = np.unique(np.stack([group, parts], axis=1), axis=0)
        torn = len(pairs) - len(group_sizes)
        where = f"in one part, but for {torn} times" if torn else "in one part"
        told = f"{alike:,} pictures look like another, {same:,} to the pixel; what looks alike is {where}"
        print(told, file=sys.stderr)
    first = {}
    twice = [
        sources.printable(os.path.basename(examples[i].path))  # noqa: PTH119
        for i in range(len(examples)) if labels[first.setdefault(digests[i], i)] != labels[i]
    ]  # fmt: skip
    if twice:
        print(sources.told("pictures are in two classes", twice), file=sys.stderr)
    for number, part in enumerate(records.PARTS):
        lacking = [name for name, count in zip(class_names, counts, strict=True) if not count[number]]
        if lacking and part == "train":
            raise UserError(sources.told("classes have no picture to train on", lacking))
        if len(lacking) == len(class_names):
            raise UserError(f"no class has a picture for {part}; each needs three or more that do not look alike")
        if lacking:
            what = f"classes have no picture for {part}, and need one more that looks different"
            print(sources.told(what, lacking), file=sys.stderr)
