"""What a user brings to train on: a folder with one sub-folder a class, a table of pictures with labels, TFRecords."""

import csv
import os
import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from common.data import pictures, records
from common.errors import UserError

PARTS = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
TABLES = (".csv", ".tsv", ".txt")
PICTURE_COLUMNS = (
    "image", "file", "path", "filename", "file_name", "filepath", "image_path", "image_name", "picture", "img",
)  # fmt: skip
LABEL_COLUMNS = ("label", "class", "category", "target", "class_name", "label_name")
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
LONGEST_NAME = 200  # characters, of a class


class Example(NamedTuple):
    """A picture: its file, the name of its class, its part if it is given, the byte of its record in a TFRecords."""

    path: str
    label: str
    part: str | None = None
    record: int | None = None


class Source(NamedTuple):
    """name: fit for a path. root: a folder. class_names: as people count. notices: lines on what was left out."""

    name: str
    root: str
    examples: list
    class_names: tuple
    notices: list


def find(source):
    """The pictures of a folder, a table or TFRecords, and their classes. Reads no picture.

    Hidden files and folders are left out. A folder that is split into train, test and perhaps val keeps its split.
    Raises UserError where there are not two classes.
    """
    path = Path(source)
    if path.is_dir():
        examples, notices = _records(path) if records.files(path) else _folder(path)
    elif path.suffix.lower() in TABLES and path.is_file():
        examples, notices = _table(path)
    elif records.files(path):
        examples, notices = _records(path)
    else:
        wanted = f"a folder with one sub-folder a class, a table ({', '.join(TABLES)}) or TFRecords"
        wrong = "is not" if path.exists() else "is no data set that the task knows, and there is no such file; give"
        raise UserError(f"{source} {wrong} {wanted}")
    shown = {label: printable(label) for label in {example.label for example in examples}}
    examples = [example._replace(label=shown[example.label]) for example in examples]
    names = tuple(sorted(set(shown.values()), key=counting))
    if len(names) < len(shown):
        twice = [name for name, count in Counter(shown.values()).items() if count > 1]
        raise UserError(f"{source}: {told('names of classes look the same when they are printed', twice)}; rename one")
    if len(names) < 2:
        found = f"only {names[0]!r}" if names else "none"
        hint = next((f"; name the table: {p}" for p in _tables(path)), "")
        raise UserError(f"{source} needs two classes or more, one sub-folder or label each; found {found}{hint}")
    root = path if path.is_dir() else path.parent
    return Source(name(path), str(root), examples, names, notices)


def name(source):
    """What a source is called, from its path: up to 60 letters, digits, dots and dashes."""
    path = Path(source).resolve()
    known = path.suffix.lower() in TABLES or records.files(path) == [path]
    return re.sub(r"[^\w.-]+", "_", printable(path.stem if known else path.name)).strip("._-")[:60] or "pictures"


def counting(name):
    """The key that sorts names as people count: 2 before 10."""
    return [int(part) if i % 2 else part.casefold() for i, part in enumerate(re.split(r"(\d+)", name))], name


def printable(name):
    """A name in one line that every terminal shows, of 200 characters at most."""
    name = os.fsencode(name).decode(errors="replace") if isinstance(name, str) else name.decode(errors="replace")
    return UNPRINTABLE.sub("\ufffd", name)[:LONGEST_NAME]


def told(what, names):
    """A line that counts names, with the first three of them."""
    shown = ", ".join(printable(name) for name in names[:3]) + (", …" if len(names) > 3 else "")
    return f"{len(names):,} {what}: {shown}"


def _tables(path):
    return sorted(p for p in path.iterdir() if p.suffix.lower() in TABLES) if path.is_dir() else []


def _files(folder, notices):
    """Yields the paths of the files in a folder and below it, sorted, each folder once though links lead there."""
    seen = set()

    def tell(error):
        notices.append(f"{printable(error.filename)} cannot be read: {error.strerror}")

    for place, folders, names in os.walk(folder, followlinks=True, onerror=tell):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if real not in seen:
            yield from (os.path.join(place, name) for name in sorted(names) if not name.startswith("."))  # noqa: PTH118
        seen.add(real)


def _subfolders(folder):
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _folder(folder):
    """(examples, notices) of a folder with one sub-folder a class, or of one that is split into such folders."""
    notices = []
    parts = {name: PARTS.get(name.casefold()) for name in _subfolders(folder)}
    if "train" not in parts.values() or None in parts.values() or len(parts) < 2:
        parts = {"": None}
    examples, beside = [], []
    for place, part in parts.items():
        for name in _subfolders(folder / place):
            examples += [Example(path, name, part) for path in _files(folder / place / name, notices)]
        beside += [
            entry.name for entry in os.scandir(folder / place)
            if entry.is_file() and Path(entry.name).suffix.lower() in pictures.ENDINGS and entry.name[0] != "."
        ]  # fmt: skip
    if beside:
        notices.append(told("pictures beside the sub-folders were left out", sorted(beside)))
    return examples, notices


def _table(path):
    """(examples, notices) of a table: each row names a picture and its class."""
    notices = []
    files = [f for f in _files(path.parent, notices) if Path(f).suffix.lower() in pictures.ENDINGS]
    find_file = _Files(path.parent, files)
    rows = [row for row in _rows(path) if any(field.strip() for field in row)]
    picture, label, start = _columns(path, rows, find_file)
    labels, missing, unlabelled, contradicting = {}, [], [], []
    for row in rows[start:]:
        name, given = (row[column].strip() if column < len(row) else "" for column in (picture, label))
        file = find_file(name)
        if not file:
            missing.append(name)
        elif not given:
            unlabelled.append(name)
        elif labels.setdefault(file, given) != given:
            contradicting.append(name)
    without = sorted(os.path.relpath(file, path.parent) for file in set(files) - set(labels))
    for what, names in {
        "rows name a picture that is missing": missing,
        "rows have no label": unlabelled,
        "rows contradict an earlier row, and were left out": contradicting,
        "pictures have no row": without,
    }.items():
        if names:
            notices.append(told(what, names))
    if rows and not labels:
        raise UserError(f"{path} names no picture that is there; {notices[0]}")
    return [Example(file, label) for file, label in sorted(labels.items())], notices


def _rows(path):
    """The rows of a table, lists of strings. Separated by what gives every row the same number of columns."""
    content = path.read_bytes()
    for encoding in ["utf-16"] if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ["utf-8-sig", "cp1252", "latin-1"]:
        try:
            lines = content.decode(encoding).splitlines(keepends=True)
            break
        except UnicodeDecodeError:
            continue
    else:
        raise UserError(f"{path} is not a text file")
    try:
        for delimiter in "\t" if path.suffix.lower() == ".tsv" else ",;\t ":
            rows = [row for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True) if row]
            widths = Counter(map(len, rows[:100])).most_common(1)
            if widths and widths[0][0] > 1 and widths[0][1] >= 0.9 * len(rows[:100]):
                return rows
    except csv.Error as error:
        raise UserError(f"{path} is not a table: {error}") from None
    return [line.strip().rsplit(None, 1) for line in lines if line.strip()]  # names with spaces in them


def _columns(path, rows, find_file):
    """Which columns hold pictures and labels, and which row is the first: by their names, or by what is in them."""
    width = max(map(len, rows), default=0)
    if width < 2:
        raise UserError(f"{path} needs two columns or more: a picture and its label in each row")
    header = [field.strip().casefold() for field in rows[0]]
    named = not any(map(find_file, rows[0])) and any(name in header for name in PICTURE_COLUMNS + LABEL_COLUMNS)

    def column(names):
        return next((header.index(name) for name in names if name in header), None) if named else None

    picture, label = column(PICTURE_COLUMNS), column(LABEL_COLUMNS)
    if picture is None:
        found = [sum(bool(find_file(row[i])) for row in rows[:100] if i < len(row)) for i in range(width)]
        picture = max((i for i in range(width) if i != label), key=lambda i: found[i])
    if label is None:
        label = next(i for i in range(width) if i != picture)
    return picture, label, int(named)


class _Files:
    """The files that tables mean: by path, or by name alone where that is of one file; with or without ending."""

    def __init__(self, root, files):
        self._root, self._by_path, self._by_name = root, {}, {}
        for file in files:
            relative = self._key(os.path.relpath(file, root))
            name = os.path.basename(relative)  # noqa: PTH119 (a hundred thousand of them)
            for key in {relative, os.path.splitext(relative)[0]}:  # noqa: PTH122
                self._by_path.setdefault(key, file)
            for key in {name, os.path.splitext(name)[0]}:  # noqa: PTH122
                self._by_name[key] = None if key in self._by_name else file

    @staticmethod
    def _key(name):
        return os.path.normpath(unicodedata.normalize("NFC", name.replace("\\", "/")))

    def __call__(self, name):
        """The path of a file, or None."""
        if not name.strip():
            return None
        key = self._key(name.strip())
        file = self._by_path.get(key) or self._by_name.get(os.path.basename(key))  # noqa: PTH119
        elsewhere = os.path.join(self._root, name.strip())  # noqa: PTH118 (also takes what is no path)
        return file or (elsewhere if os.path.isfile(elsewhere) else None)  # noqa: PTH113


def _records(path):
    """(examples, notices) of TFRecords that others wrote; their files' names say train, test or val."""
    examples = []
    for file in records.files(path):
        words = re.split(r"[^a-z]+", file.stem.casefold())
        part = next((PARTS[word] for word in words if word in PARTS), None)
        examples += [Example(str(file), label, part, start) for start, label in records.scan(file)]
    if {example.part for example in examples} <= {None, "test", "validation"}:  # nothing is said to be for training
        examples = [example._replace(part=None) for example in examples]
    return examples, []
