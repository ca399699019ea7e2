"""Pictures to TFRecords and back: many small files become one that is read from front to end.

Writes four photos of docs/examples/cifar10 as TFRecords. Each record is a `tf.train.Example`: the bytes of the JPEG
file, and its label. Reads them back in a graph, as batches, by a `tf.data` pipeline without the queues and threads of
early TensorFlow. Prints the records, the batches of two epochs, and what a reader says of a file that was cut.
"""

import sys
import tempfile
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at examples/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import graph_mode  # noqa: F401 (before tensorflow)

import tensorflow.compat.v1 as tf

PICTURES = sorted(Path(__file__).resolve().parents[1].glob("docs/examples/cifar10/*.jpg"))
SIDE = 32  # pixels


def example(path, label):
    """The tf.train.Example of a picture: a dict of lists of bytes, integers or floats."""
    feature = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[path.read_bytes()])),
        "name": tf.train.Feature(bytes_list=tf.train.BytesList(value=[path.stem.encode()])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature))


def parse(record):
    """A string tensor → image float32 [SIDE, SIDE, 3] 0–255, its name, its label int64."""
    features = {
        "image": tf.FixedLenFeature([], tf.string),
        "name": tf.FixedLenFeature([], tf.string),
        "label": tf.FixedLenFeature([], tf.int64),
    }
    parsed = tf.parse_single_example(record, features)
    image = tf.image.decode_jpeg(parsed["image"], channels=3, dct_method="INTEGER_ACCURATE")  # as Pillow's
    return tf.image.resize(image, [SIDE, SIDE], method="area"), parsed["name"], parsed["label"]


with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "photos.tfrecords"
    with tf.io.TFRecordWriter(str(file)) as writer:  # closed at the end: one left open would be cut
        for label, path in enumerate(PICTURES):
            writer.write(example(path, label).SerializeToString())
    print(f"written: {len(PICTURES)} records, {file.stat().st_size:,} bytes; the files have")
    print(" ", *[f"{path.name} {path.stat().st_size:,}" for path in PICTURES])

    files = tf.placeholder(tf.string, [None])
    photos = tf.data.TFRecordDataset(files).map(parse).shuffle(4, seed=1).batch(3).repeat(2)
    iterator = tf.data.make_initializable_iterator(photos)
    images, names, labels = iterator.get_next()  # each run takes the next batch
    with tf.Session() as session:
        session.run(iterator.initializer, {files: [str(file)]})
        while True:
            try:
                found = session.run([images, names, labels])
            except tf.errors.OutOfRangeError:  # after the last batch
                break
            print("batch", found[0].shape)
            for image, name, label in zip(*found, strict=True):
                print(f"  {label} {name.decode():10}  mean of the pixels {image.mean():.2f}")

        cut = Path(folder) / "cut.tfrecords"
        cut.write_bytes(file.read_bytes()[:-100])
        session.run(iterator.initializer, {files: [str(cut)]})
        try:
            session.run(images)
        except tf.errors.DataLossError as error:
            print("100 bytes less:", type(error).__name__)
