"""TFRecord files of other programs as sources."""

from common.data import foreign_records, sources
from common.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf


def write_records(path, examples):
    with tf.python_io.TFRecordWriter(str(path)) as writer:
        for features in examples:
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def numbers(*values):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def content(*values):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def test_the_notes_tfrecords_are_found(tmp_path):
    pixels = np.arange(784, dtype=np.uint8)
    for name, labels in {"mnist_train.tfrecords": (3, 0), "mnist_test.tfrecords": (3,)}.items():
        one_hot = [numbers(*(int(i == label) for i in range(10))) for label in labels]
        write_records(tmp_path / name, [{"img_raw": content(pixels.tobytes()), "label": each} for each in one_hot])
    source = sources.find(tmp_path)
    assert source.class_names == ("0", "3")
    assert [(e.label, e.part) for e in source.examples] == [("3", "test"), ("3", "train"), ("0", "train")]
    assert len(source.notices) == 2 and "read as squares, 28×28 pixels, grey" in source.notices[0]
    image = foreign_records.picture(source.examples[2].path, source.examples[2].record)
    assert (image == pixels.reshape(28, 28, 1)).all()


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"label": numbers(1)}, "no image_raw or img_raw"),
        ({"img_raw": content(b"12345"), "label": numbers(1)}, "no image_raw or img_raw of height × width"),
        ({"img_raw": content(b"1234")}, "has no label"),
        ({"img_raw": content(b"1234"), "label": numbers(1, 1)}, "has no label, or several"),
        ({"img_raw": content(b"1234"), "label": content(b"")}, "has no label"),
    ],
)
def test_records_of_another_form_are_refused(tmp_path, features, message):
    write_records(tmp_path / "x.tfrecord", [features])
    with pytest.raises(UserError, match=message):
        sources.find(tmp_path / "x.tfrecord")


def test_other_files_beside_records_are_none(tmp_path):
    for label in (0, 1):
        write_records(tmp_path / f"{label}.tfrecord", [{"img_raw": content(bytes(784)), "label": numbers(label)}])
    for name in ("._0.tfrecord", "0.tfrecord.index", "0.tfrecord.gz"):
        (tmp_path / name).write_bytes(b"no records")
    assert sources.find(tmp_path).class_names == ("0", "1")


def test_records_of_nothing_are_refused(tmp_path):
    write_records(tmp_path / "x.tfrecord", [])
    with pytest.raises(UserError, match="x.tfrecord holds no tf.train.Example"):
        sources.find(tmp_path / "x.tfrecord")


def test_records_of_something_else_are_refused(tmp_path):
    with tf.python_io.TFRecordWriter(str(tmp_path / "x.tfrecord")) as writer:
        writer.write(b"\x0f no example")
    with pytest.raises(UserError, match="x.tfrecord is not a file of tf.train.Example, at byte 0"):
        sources.find(tmp_path / "x.tfrecord")


@pytest.mark.parametrize("damage", [lambda c: c[:-20], lambda c: c[:60] + b"x" + c[61:], lambda c: b"<html>" * 9])
def test_damaged_records_are_named(tmp_path, damage):
    path = tmp_path / "x.tfrecord"
    write_records(path, [{"img_raw": content(bytes(784)), "label": numbers(i)} for i in range(3)])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match="x.tfrecord cannot be read after .* bring it again"):
        sources.find(path)
