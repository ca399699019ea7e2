"""Tables of pictures and their labels: .csv, .tsv and .txt, with or without a header, in the dialects there are."""

import csv
import os
import unicodedata
from collections import Counter, defaultdict

from common.errors import UserError

ENDINGS = (".csv", ".tsv", ".txt")
PICTURE_COLUMNS = (
    "image", "file", "path", "filename", "file_name", "filepath", "image_path", "image_name", "picture", "img",
)  # fmt: skip
LABEL_COLUMNS = ("label", "class", "category", "target", "class_name", "label_name")


def read(path, files):
    """The classes of pictures that a table names: ({file: label}, {what is wrong: names of pictures}).

    files: paths of the pictures in its folder. Raises UserError for a file that is no table.
    """
    find_file = _Files(path.parent, files)
    rows = [row for row in _rows(path, find_file) if any(field.strip() for field in row)]
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
    if not rows[start:]:
        raise UserError(f"{path} has no row that names a picture")
    if missing and not labels:
        raise UserError(f"{path} names no picture that is there, such as {missing[0]!r}; they must be in its folder")
    return labels, {
        "rows name a picture that is missing, or several": missing,
        "rows have no label": unlabelled,
        "rows contradict an earlier one, which was taken": contradicting,
        "pictures have no row": without,
    }


def _rows(path, find_file):
    """The rows of a table, lists of strings. Separated by what gives every row the same number of columns.

    If several do, by that which makes names of pictures.
    """
    content = path.read_bytes()
    for encoding in ["utf-16"] if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ["utf-8-sig", "cp1252", "latin-1"]:
        try:
            lines = content.decode(encoding).splitlines(keepends=True)
            break
        except UnicodeDecodeError:
            continue
    else:
        raise UserError(f"{path} is not a text file")
    found = []
    try:
        for delimiter in "\t" if path.suffix.lower() == ".tsv" else ",;\t ":
            rows = [row for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True) if row]
            [(width, count)] = Counter(map(len, rows[:100])).most_common(1) or [(0, 0)]
            if (width == 2 or width > 2 and delimiter != " ") and count >= 0.9 * len(rows[:100]):
                found.append(rows)
    except csv.Error as error:
        raise UserError(f"{path} is not a table: {error}") from None
    if found:
        return max(found, key=lambda rows: sum(any(map(find_file, row)) for row in rows[:100]))
    return [line.strip().rsplit(None, 1) for line in lines if line.strip()]  # names with spaces in them


def _columns(path, rows, find_file):
    """Which columns hold pictures and labels, and which row is the first: by their names, or by what is in them."""
    width = max(map(len, rows), default=0)
    if width < 2:
        raise UserError(f"{path} needs two columns or more: a picture and its label in each row")
    header = [field.strip().casefold() for field in rows[0]]
    # A label such as 7 may be 7.png without its ending: that counts only where no name has one.
    whole = any(find_file(field, whole=True) for row in rows[:100] for field in row)

    def is_file(field):
        return find_file(field, whole) is not None

    named = not any(map(is_file, rows[0])) and any(name in header for name in PICTURE_COLUMNS + LABEL_COLUMNS)

    def column(names):
        return next((header.index(name) for name in names if name in header), None) if named else None

    picture, label = column(PICTURE_COLUMNS), column(LABEL_COLUMNS)
    if picture is None:
        found = [sum(is_file(row[i]) for row in rows[:100] if i < len(row)) for i in range(width)]
        picture = max((i for i in range(width) if i != label), key=lambda i: found[i])
    if label is None:
        if width > 2:
            raise UserError(f"{path} has {width} columns; which one is the label? Call it 'label' in a first row")
        label = 1 - picture
    return picture, label, int(named)


class _Files:
    """The files that tables mean: by path, or by the end of it where that is of one file; with or without ending."""

    def __init__(self, root, files):
        self._root, self._by_path, self._by_name = root, {}, defaultdict(list)
        for file in files:
            path = self._key(os.path.relpath(file, root))
            self._by_path[path] = file
            for key in {path, os.path.splitext(path)[0]}:  # noqa: PTH122 (a hundred thousand of them)
                self._by_name[os.path.basename(key)].append((key, file, key == path))  # noqa: PTH119

    @staticmethod
    def _key(name):
        return os.path.normpath(unicodedata.normalize("NFC", name.replace("\\", "/")))

    def __call__(self, name, whole=False):
        """The path of a file, or None. whole: a name without its ending means none."""
        if not name.strip():
            return None
        key = self._key(name.strip())
        if key in self._by_path:
            return self._by_path[key]
        there = os.path.join(self._root, name.strip())  # noqa: PTH118 (also takes what is no path)
        if os.path.isfile(there):  # noqa: PTH113
            return self._by_path.get(self._key(os.path.relpath(there, self._root)), there)
        named = self._by_name.get(os.path.basename(key), ())  # noqa: PTH119
        named = [(path, file) for path, file, is_whole in named if is_whole or not whole]
        found = {file for path, file in named if f"/{path}".endswith(f"/{key}") or key.endswith(f"/{path}")}
        return found.pop() if len(found) == 1 else None
