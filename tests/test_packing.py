"""Pictures that users bring, packed: what becomes of them, and what is left out."""

import os
from pathlib import Path

from common.data import datasets, packing, records, shards
from common.errors import UserError
from mnist.picture_to_input import READERS

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from packing_helpers import SIZE, TEXTURES, counts_of, folder_of, pack
from PIL import Image, ImageDraw


def test_a_folder_becomes_a_data_set(tmp_path, capsys):
    source = folder_of(tmp_path / "my photos", {"2": 20, "10": 30})
    folder = pack(source, tmp_path / "data")
    assert folder.parent == tmp_path / "data" and folder.name.startswith("my_photos-")
    out, err = capsys.readouterr()
    assert out.startswith("my_photos: 2 classes, 16×16 pixels; 40 pictures to train, 5 to validate, 5 to test, in")
    assert err == ""
    data = datasets.packed(folder)
    assert data.class_names == ("2", "10") and data.title == "my_photos" and data.reading == "whole"
    assert counts_of(folder) == {"2": [16, 2, 2], "10": [24, 3, 3]}
    expected = {}
    for label, name in enumerate(data.class_names):
        for path in (source / name).iterdir():
            image = np.asarray(Image.open(path).resize((SIZE, SIZE), Image.Resampling.BOX))
            expected[image.tobytes()] = label
    packed = {}
    for split in (data.train, data.validation, data.test):
        packed |= {image.tobytes(): int(label) for image, label in zip(split.images, split.labels, strict=True)}
    assert packed == expected
    assert not list((tmp_path / "data").glob(".packing-*"))


def test_the_shards_are_tfrecords_of_examples(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_BYTES", 5 * SIZE * SIZE * 3)
    folder = pack(folder_of(tmp_path / "s", {"a": 10, "b": 10}), tmp_path / "data")
    paths = sorted(folder.glob("train-*.tfrecord"))
    assert [s.name for s in paths] == [f"train-0000{i}-of-00004.tfrecord" for i in range(4)]
    data = datasets.packed(folder)
    examples = [
        tf.train.Example.FromString(content).features.feature
        for path in paths for content in tf.python_io.tf_record_iterator(str(path))
    ]  # fmt: skip
    assert [e["label"].int64_list.value[0] for e in examples] == data.train.labels.tolist()
    for example, image in zip(examples, data.train.images, strict=True):
        sizes = [example[name].int64_list.value[0] for name in ("height", "width", "channels")]
        assert (np.frombuffer(example["image_raw"].bytes_list.value[0], np.uint8).reshape(sizes) == image).all()
        source = os.fsdecode(example["source"].bytes_list.value[0])
        assert (tmp_path / "s" / source).is_file()


def test_packing_again_is_skipped_while_nothing_changed(tmp_path, capsys, monkeypatch):
    source, data = folder_of(tmp_path / "s", {"a": 10, "b": 10}), tmp_path / "data"
    first = pack(source, data)
    before = {path: path.stat().st_mtime_ns for path in first.iterdir()}
    told = capsys.readouterr().out
    assert pack(source, data) == first
    assert capsys.readouterr().out == told and before == {path: path.stat().st_mtime_ns for path in first.iterdir()}
    monkeypatch.chdir(source)
    assert pack(Path(), data) == first
    assert before == {path: path.stat().st_mtime_ns for path in first.iterdir()}
    os.utime(source / "a/0.png", (1, 1))  # the same pixels: the same place
    assert pack(source, data) == first and pack(source, data) == first
    assert pack(source, data, size=8) != first
    folder_of(source, {"c": 5}, start=50)
    more = pack(source, data)
    assert more != first and first.exists()
    assert pack(first, data) == first  # what is packed needs no packing


def test_more_pictures_leave_most_of_the_others_where_they_were(tmp_path):
    source, data = folder_of(tmp_path / "s", {"a": 100, "b": 100}), tmp_path / "data"
    before = {i.tobytes() for i in datasets.packed(pack(source, data)).test.images}
    folder_of(source, {"c": 20}, start=210)
    Image.fromarray(TEXTURES[399]).save(source / "a/more.png")
    after = {i.tobytes() for i in datasets.packed(pack(source, data)).test.images}
    assert len(before - after) <= 1


def test_what_cannot_be_read_is_left_out_and_listed(tmp_path, capsys):
    source = folder_of(tmp_path / "s", {"a": 12, "b": 12})
    (source / "a/notes.txt").write_text("nothing")
    (source / "a/cut.png").write_bytes((source / "a/1.png").read_bytes()[:60])
    (source / "b/empty.jpg").touch()
    os.mkfifo(source / "b/pipe")
    (source / "b/gone.png").symlink_to("nowhere.png")
    folder = pack(source, tmp_path / "data")
    err = capsys.readouterr().err
    assert err.startswith("left out: 5 of 29 pictures (2 × is not a picture that can be read, 1 × ")
    lines = (folder / "left-out.txt").read_text().splitlines()
    names = {Path(line.split(" ")[0]).name for line in lines}
    assert names == {"notes.txt", "cut.png", "empty.jpg", "pipe", "gone.png"}
    assert any("pipe is not a file" in line for line in lines)
    assert sum(records.read(folder).left_out.values()) == 5
    for path in (source / "b").glob("[0-9]*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(UserError, match="class 'b' has no picture that can be used; .*b/.* is not a picture"):
        pack(source, tmp_path / "data")
    assert [p.name for p in (tmp_path / "data").iterdir() if p.is_dir()] == [folder.name]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_picture_without_permission_is_left_out(tmp_path, capsys):
    source = folder_of(tmp_path / "s", {"a": 12, "b": 12})
    (source / "a/1.png").chmod(0)
    pack(source, tmp_path / "data")
    assert "left out: 1 of 24 pictures (1 × cannot be read)" in capsys.readouterr().err


def test_small_classes_are_told(tmp_path, capsys):
    source = folder_of(tmp_path / "s", {"a": 30, "one": 1, "two": 2, "three": 3})
    folder = pack(source, tmp_path / "data")
    assert counts_of(folder) == {"a": [24, 3, 3], "one": [1, 0, 0], "two": [1, 0, 1], "three": [1, 1, 1]}
    assert capsys.readouterr().err.splitlines() == [
        "2 classes have no picture for validation, and need one more that looks different: one, two",
        "1 classes have no picture for test, and need one more that looks different: one",
    ]
    with pytest.raises(UserError, match="no class has a picture for validation; each needs three or more"):
        pack(folder_of(tmp_path / "few", {"a": 2, "b": 1}), tmp_path / "data")


def test_classes_that_differ_in_case_only_and_a_thousand_of_them(tmp_path):
    names = {"A": 3, "a": 3} | {f"class {i}": 1 for i in range(1000)}
    for i, name in enumerate(names):
        (tmp_path / "s" / name).mkdir(parents=True)
        for j in range(names[name]):
            noise = np.random.default_rng([i, j]).integers(0, 256, [8, 8, 3], np.uint8)
            Image.fromarray(noise).save(tmp_path / "s" / name / f"{j}.png")
    data = datasets.packed(pack(tmp_path / "s", tmp_path / "data", size=8))
    assert len(data.class_names) == 1002 and data.class_names[:2] == ("A", "a")
    assert data.train.labels.max() == 1001 and len(data.train.labels) == 1002


def test_mnist_packs_what_its_app_sees(tmp_path):
    for name, bar in {"minus": (10, 45, 90, 55), "one": (45, 10, 55, 90)}.items():
        (tmp_path / "s" / name).mkdir(parents=True)
        for i in range(4):
            image = Image.new("L", (100, 100), 240)
            ImageDraw.Draw(image).rectangle([bar[0] + i, *bar[1:3], bar[3] + 2 * i], fill=20)
            image.save(tmp_path / "s" / name / f"{i}.png")
    for reading in READERS:
        folder = packing.pack(tmp_path / "s", tmp_path / "data", reading, READERS[reading], 28)
        images = datasets.packed(folder).train.images
        assert images.shape[1:] == (28, 28, 1)
        assert (images[:, 0, 0, 0] == (240 if reading == "plain" else 0)).all()
        assert images.max() == (240 if reading == "plain" else 255)


def test_tfrecords_of_others_are_packed(tmp_path):
    features = [
        {
            "img_raw": tf.train.Feature(bytes_list=tf.train.BytesList(value=[texture[..., 0].tobytes()])),
            "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[int(i % 3 == c) for c in range(3)])),
        }
        for i, texture in enumerate(TEXTURES[:30])
    ]
    with tf.python_io.TFRecordWriter(str(tmp_path / "train.tfrecords")) as writer:
        for each in features:
            writer.write(tf.train.Example(features=tf.train.Features(feature=each)).SerializeToString())
    data = datasets.packed(packing.pack(tmp_path / "train.tfrecords", tmp_path / "data", "plain", READERS["plain"], 28))
    assert data.class_names == ("0", "1", "2") and data.title == "train"
    assert [len(s.labels) for s in (data.train, data.validation, data.test)] == [24, 3, 3]
    resized = [Image.fromarray(t[..., 0]).resize((28, 28), Image.Resampling.BOX) for t in TEXTURES[:30]]
    assert {image.tobytes() for image in data.train.images} < {image.tobytes() for image in resized}
