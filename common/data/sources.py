"""What a user brings to train on: a folder with one sub-folder a class, a table of pictures with labels, TFRecords."""

import os
import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from common.data import foreign_records, pictures, tables
from common.errors import UserError

PARTS = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
CONTROLS = r"\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069"  # of terminals, and of the direction of writing
UNPRINTABLE = re.compile(rf"[{CONTROLS}\ud800-\udfff]")
LONGEST_NAME = 200  # characters, of a class


class Example(NamedTuple):
    """A picture: its file, the name of its class, its part if it is given, the byte of its record in a TFRecords."""

    path: str
    label: str
    part: str | None = None
    record: int | None = None


class Source(NamedTuple):
    """name: fit for a path. path: what the user named. root: its folder, or itself if it is one. class_names: as people
    count. notices: lines on what was left out.
    """

    name: str
    path: str
    root: str
    examples: list
    class_names: tuple
    notices: list


def find(source):
    """The pictures of a folder, a table or TFRecords, and their classes. Reads no picture.

    Hidden files and folders are left out. A folder that is split into train, test and perhaps val keeps its split.
    Raises UserError where there are not two classes, and where one has no file.
    """
    path = Path(source)
    try:
        str(path.resolve()).encode()  # JSON is to name it
    except UnicodeEncodeError:
        raise UserError(f"{printable(path.resolve())} is not in UTF-8; rename it") from None
    if path.is_dir():
        examples, notices = _records(path) if foreign_records.files(path) else _folder(path)
    elif path.suffix.lower() in tables.ENDINGS and path.is_file():
        examples, notices = _table(path)
    elif foreign_records.files(path):
        examples, notices = _records(path)
    else:
        what = "is not" if path.exists() else "is not there; give"
        wanted = f"a folder with one sub-folder a class, a table ({', '.join(tables.ENDINGS)}) or TFRecords"
        raise UserError(f"{source} {what} {wanted}")
    shown = {label: printable(label) for label in {example.label for example in examples}}
    examples = [example._replace(label=shown[example.label]) for example in examples]
    names = tuple(sorted(set(shown.values()), key=counting))
    if len(names) < len(shown):
        twice = [name for name, count in Counter(shown.values()).items() if count > 1]
        raise UserError(f"{source}: {told('names of classes look the same when they are printed', twice)}; rename one")
    if len(names) < 2:
        found = f"only {names[0]!r}" if names else "none"
        hint = next((f"; name the table: {p}" for p in _tables(path)), "")
        if path.is_dir() and not names and _inside(path)[1]:
            found = f"{len(_inside(path)[1]):,} pictures, and no sub-folder"
        raise UserError(f"{source} needs two classes or more, one sub-folder or label each; found {found}{hint}")
    root = path if path.is_dir() else path.parent
    return Source(name(path), str(path), str(root), examples, names, notices)


def name(source):
    """What a source is called, from its path: up to 60 letters, digits, dots and dashes."""
    path = Path(source).resolve()
    known = path.suffix.lower() in tables.ENDINGS or foreign_records.files(path) == [path]
    return re.sub(r"[^\w.-]+", "_", printable(path.stem if known else path.name)).strip("._-")[:60] or "pictures"


def counting(name):
    """The key that sorts names as people count: 2 before 10."""
    return [int(part) if i % 2 else part.casefold() for i, part in enumerate(re.split(r"(\d+)", name))], name


def printable(name):
    """A name in one line that every terminal shows, of 200 characters at most."""
    text = unicodedata.normalize("NFC", os.fsencode(name).decode(errors="replace"))
    return UNPRINTABLE.sub("\ufffd", text)[:LONGEST_NAME]


def told(what, names):
    """A line that counts names, with the first three of them."""
    shown = ", ".join(printable(name) for name in names[:3]) + (", …" if len(names) > 3 else "")
    return f"{len(names):,} {what}: {shown}"


def _tables(path):
    return sorted(p for p in path.iterdir() if p.suffix.lower() in tables.ENDINGS) if path.is_dir() else []


def _files(folder, notices):
    """Yields the paths of the files in a folder and below it, sorted, each folder once though links lead there."""
    seen = set()

    def tell(error):
        notices.append(f"{printable(error.filename)} cannot be read: {error.strerror}")

    for place, folders, names in os.walk(folder, followlinks=True, onerror=tell):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else sorted(name for name in folders if not pictures.hidden(name))
        if real not in seen:
            yield from (os.path.join(place, name) for name in sorted(names) if not pictures.hidden(name))  # noqa: PTH118
        seen.add(real)


def _inside(folder):
    """The names of the folders, and of the pictures, in a folder."""
    names = sorted(name for name in os.listdir(folder) if not pictures.hidden(name))  # noqa: PTH208
    folders = [name for name in names if (folder / name).is_dir()]
    return folders, [n for n in names if Path(n).suffix.lower() in pictures.ENDINGS and n not in folders]


def _folder(folder):
    """(examples, notices) of a folder with one sub-folder a class, or of one that is split into such folders."""
    notices, examples, beside = [], [], []
    names, _ = _inside(folder)
    parts = {name: PARTS[name.casefold()] for name in names if name.casefold() in PARTS}
    holding = {part for name, part in parts.items() if _inside(folder / name)[0]}  # sub-folders, the classes
    if "train" not in holding or len(set(parts.values())) < 2:
        parts = {"": None}
    elif len(names) > len(parts):
        others = [name for name in names if name not in parts]
        notices.append(told(f"folders beside {', '.join(parts)} were left out", others))
    classes = set()
    for place, part in parts.items():
        names, pictures_there = _inside(folder / place)
        beside += pictures_there
        classes |= set(names)
        for name in names:
            examples += [Example(path, name, part) for path in _files(folder / place / name, notices)]
    nested = {e.label for e in examples if Path(e.path).parent.name != e.label}
    deeper = [name for name in sorted(classes, key=counting) if name in nested]
    if deeper:
        notices.append(told("classes have sub-folders, whose pictures are taken as theirs", deeper))
    if beside:
        notices.append(told("pictures beside the sub-folders were left out", sorted(beside)))
    empty = sorted(classes - {example.label for example in examples}, key=counting)
    if empty:
        why = "".join(f"; {notice}" for notice in notices if "cannot be read" in notice)
        raise UserError(f"{folder}: {told('sub-folders have no file', empty)}; fill them, or take them away{why}")
    return examples, notices


def _table(path):
    """(examples, notices) of a table: each row names a picture and its class."""
    notices = []
    files = [f for f in _files(path.parent, notices) if Path(f).suffix.lower() in pictures.ENDINGS]
    labels, wrong = tables.read(path, files)
    notices += [told(what, names) for what, names in wrong.items() if names]
    return [Example(file, label) for file, label in sorted(labels.items())], notices


def _records(path):
    """(examples, notices) of TFRecords that others wrote; their files' names say train, test or val."""
    examples, notices = [], []
    for file in foreign_records.files(path):
        words = re.split(r"[^a-z]+", file.stem.casefold())
        part = next((PARTS[word] for word in words if word in PARTS), None)
        examples += [Example(str(file), label, part, start) for start, label in foreign_records.scan(file)]
        notices += filter(None, [foreign_records.guessed(file)])
    if not examples:
        raise UserError(f"{path} holds no tf.train.Example; bring a file that does")
    if {example.part for example in examples} <= {None, "test", "validation"}:  # nothing is said to be for training
        examples = [example._replace(part=None) for example in examples]
    return examples, notices
