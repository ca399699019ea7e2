"""Writing pictures as TFRecords, as records.py reads them."""

import zlib

from common import graph_mode  # noqa: F401 (before tensorflow)
from common.data.records import FRAME, INDEX, sha256
from common.errors import writing

import numpy as np
import tensorflow.compat.v1 as tf

SHARD_BYTES = 100_000_000  # of pixels, at most


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
        with (
            writing(folder / name, tf.errors.OpError),
            tf.python_io.TFRecordWriter(str(folder / name)) as writer,  # closed, or the file would not be whole
        ):
            for i, row in enumerate(rows[shard * per_shard : (shard + 1) * per_shard], shard * per_shard):
                pixels = images[row].tobytes()
                example = _example(images.shape[1:], pixels, int(labels[row]), sources[row])
                writer.write(example)
                length = len(example) + sum(FRAME)
                index[i] = shard, start, length, FRAME[0] + example.index(pixels), 0, labels[row]
                start += length
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
