"""Pictures in TFRecords: shards of tf.train.Example, an index of where each picture is, and reading them by place.

A packed data set is a folder: dataset.json, and of each part (train, validation, test) shards and an index.
"""

import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError, writing

import msgspec
import numpy as np
import tensorflow.compat.v1 as tf

PARTS = ("train", "validation", "test")
SHARD_BYTES = 100_000_000  # of pixels, at most
FRAME = (12, 4)  # bytes before and after what a TFRecords file holds of an example: length, checksums
INDEX = np.dtype(  # of each picture: where its example is, with its frame; where in it the pixels are; its checksum
    [("shard", "<u2"), ("start", "<i8"), ("length", "<u4"), ("pixels", "<u4"), ("crc32", "<u4"), ("label", "<u2")]
)
DATASET = "dataset.json"


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
    size: int  # pixels, both ways
    channels: int
    counts: dict[str, list[int]]
    left_out: dict[str, int]
    shards: dict[str, list[str]]
    indexes: dict[str, str]  # SHA-256 of each part's index
    digest: str
    stamp: str

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


def write(folder, part, rows, images, labels, sources):
    """Writes the pictures at some rows as shards and an index. Returns (names of the shards, SHA-256 of the index).

    images: uint8 [n, height, width, channels]. labels: int [n]. sources: of each where it came from, bytes. Raises
    UserError where that fails, as on a full disk.
    """
    per_shard = max(1, SHARD_BYTES // int(np.prod(images.shape[1:])))
    count = -(-len(rows) // per_shard)
    names = [f"{part}-{i:05}-of-{count:05}.tfrecord" for i in range(count)]
    index = np.zeros(len(rows), INDEX)
    for shard, name in enumerate(names):
        start = 0
        try:
            with tf.python_io.TFRecordWriter(str(folder / name)) as writer:  # closed, or the file would not be whole
                for i, row in enumerate(rows[shard * per_shard : (shard + 1) * per_shard], shard * per_shard):
                    pixels = images[row].tobytes()
                    example = _example(images.shape[1:], pixels, int(labels[row]), sources[row])
                    writer.write(example)
                    length = len(example) + sum(FRAME)
                    index[i] = shard, start, length, FRAME[0] + example.index(pixels), 0, labels[row]
                    start += length
        except tf.errors.OpError as error:
            raise UserError(f"cannot write {folder / name}: {error.message.rpartition('; ')[2]}") from None
        with (folder / name).open("rb") as file:  # again, as only the writer knows the frames
            for row in index[shard * per_shard : i + 1]:
                row["crc32"] = zlib.crc32(file.read(row["length"]))
    path = folder / f"{part}.index.npy"
    with writing(path):
        np.save(path, index, allow_pickle=False)
    return names, sha256(path)


def _example(shape, pixels, label, source):
    height, width, channels = (_whole(number) for number in shape)
    features = {"height": height, "width": width, "channels": channels, "label": _whole(label)}
    features |= {"image_raw": _bytes(pixels), "source": _bytes(source)}
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def _whole(number):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[number]))


def _bytes(content):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[content]))


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
    except (OSError, KeyError):
        whole = False
    if not whole:
        raise UserError(f"{path} is missing or damaged; {_again(path)}")
    index = np.load(path, allow_pickle=False)
    shards = [Path(folder) / shard for shard in packed.shards[name]]
    return Images(shards, index, (packed.size, packed.size, packed.channels)), index["label"].astype(np.int32)
