"""Reading pictures from TFRecords: shards of tf.train.Example, and an index of where in them each picture is.

A packed data set is a folder: dataset.json, and of each part (train, validation, test) shards and an index.
"""

import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from common.errors import UserError

import msgspec
import numpy as np
from msgspec import Meta

PARTS = ("train", "validation", "test")
FRAME = (12, 4)  # bytes before and after what a TFRecords file holds of an example: length, checksums
INDEX = np.dtype(  # of each picture: where its example is, with its frame; where in it the pixels are; its checksum
    [("shard", "<u2"), ("start", "<i8"), ("length", "<u4"), ("pixels", "<u4"), ("crc32", "<u4"), ("label", "<u2")]
)
DATASET = "dataset.json"
Shard = Annotated[str, Meta(pattern=r"^[\w.-]+\Z")]  # becomes part of a path


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What dataset.json holds. digest: of classes, pictures and labels. stamp: of the source as it was packed.

    reading: how a picture becomes an input, a name that the task knows. counts: of each class, of each part.
    """

    title: str
    source: str  # what was packed
    root: str  # from where the names of its pictures count
    reading: str
    class_names: tuple[str, ...]
    size: Annotated[int, Meta(ge=1, le=1024)]  # pixels, both ways
    channels: Literal[1, 3]
    counts: dict[str, list[int]]
    left_out: dict[str, int]
    shards: dict[str, list[Shard]]
    indexes: dict[str, str]  # SHA-256 of each part's index
    digest: str
    stamp: str

    def __post_init__(self):
        if not set(PARTS) == self.shards.keys() == self.indexes.keys():
            raise ValueError(f"shards and indexes are not each of {', '.join(PARTS)}")
        if self.counts.keys() != set(self.class_names) or {*map(len, self.counts.values())} - {len(PARTS)}:
            raise ValueError("counts are not of each class, of each part")

    @property
    def name(self):
        """What the data set is called, whatever its folder is: no other pictures have it."""
        return f"{self.title}-{self.digest[:8]}"


class Images:
    """Pictures that stay in their shards: like an array uint8 [n, height, width, channels] that is read by index.

    Each that is read is checked; raises UserError, which names the file, for one that is not as it was written.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, shards, index, shape):
        """shards: paths. index: an array of INDEX. shape: of one picture."""
        self._paths, self._index = shards, index
        self.shape, self.nbytes = (len(index), *shape), len(index) * int(np.prod(shape))
        self._shards = [_mapped(path) for path in shards]
        ends = index["start"] + index["length"]
        for i, (path, content) in enumerate(zip(shards, self._shards, strict=True)):
            if len(content) < ends[index["shard"] == i].max(initial=0):
                raise UserError(f"{path} is cut short; {_again(path)}")

    def __len__(self):
        return len(self._index)

    def __getitem__(self, which):
        """The pictures at a slice or at an array of indices: uint8 [n, height, width, channels]."""
        rows = self._index[which]
        size = int(np.prod(self.shape[1:]))
        result = np.empty([len(rows), size], np.uint8)
        for i, (shard, start, length, pixels, crc32, _) in enumerate(rows.tolist()):
            example = self._shards[shard][start : start + length]
            if zlib.crc32(example) != crc32:
                raise UserError(f"{self._paths[shard]} is damaged at byte {start}; {_again(self._paths[shard])}")
            result[i] = example[pixels : pixels + size]
        return result.reshape(-1, *self.shape[1:])


def _mapped(path):
    try:
        return np.asarray(np.memmap(path, np.uint8, "r"))  # a plain array: slicing a memmap takes five times as long
    except (OSError, ValueError) as error:  # ValueError: it is empty
        raise UserError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}; {_again(path)}") from None


def _again(path):
    return f"delete {Path(path).parent} to pack the pictures again"


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def is_packed(folder):
    return (Path(folder) / DATASET).is_file()


def read(folder):
    """The Packed of a folder. Raises UserError where dataset.json is missing or damaged."""
    path = Path(folder) / DATASET
    try:
        return msgspec.json.decode(path.read_bytes(), type=Packed)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; {_again(path)}") from None
    except ValueError as error:  # msgspec's errors are ValueErrors
        raise UserError(f"{path} is damaged ({error}); {_again(path)}") from None


def part(folder, packed, name):
    """(Images, labels int32 [n]) of a part of a packed data set. Raises UserError where a file is not as it was."""
    path = Path(folder) / f"{name}.index.npy"
    try:
        whole = sha256(path) == packed.indexes[name]
    except OSError:
        whole = False
    if not whole:
        raise UserError(f"{path} is missing or damaged; {_again(path)}")
    index = np.load(path, allow_pickle=False)
    shards = [Path(folder) / shard for shard in packed.shards[name]]
    shape = packed.size, packed.size, packed.channels
    longer = index["pixels"].astype(int) + np.prod(shape) > index["length"]
    if (longer | (index["shard"] >= len(shards)) | (index["label"] >= len(packed.class_names))).any():
        raise UserError(f"{path.with_name(DATASET)} does not fit {path.name}; {_again(path)}")
    return Images(shards, index, shape), index["label"].astype(np.int32)
