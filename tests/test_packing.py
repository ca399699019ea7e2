"""Pictures that users bring, packed: what is left out, how they are split, and shards that are not as they were."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from cifar10.picture_to_input import reader
from common.data import datasets, packing, records, shards, splits
from common.errors import UserError
from mnist.picture_to_input import READERS

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from conftest import ROOT, environment
from PIL import Image, ImageDraw

SIZE = 16  # pixels
TEXTURES = np.random.default_rng(7).integers(0, 256, [400, 12, 12, 3], np.uint8)


def folder_of(root, counts, start=0):
    """A folder with so many pictures of each class: {class: count}. No two of them are alike."""
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.fromarray(TEXTURES[start + i]).save(root / name / f"{i}.png")
        start += count
    return root


def pack(source, data_dir, size=SIZE):
    return packing.pack(source, data_dir, "whole", reader("whole", size), size)


def counts_of(folder):
    return records.read(folder).counts


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


def test_pictures_that_look_alike_are_in_one_part(tmp_path, capsys):
    source = tmp_path / "s"
    for name, first in (("a", 0), ("b", 60)):
        (source / name).mkdir(parents=True)
        for i in range(first, first + 30):
            photo = Image.fromarray(TEXTURES[i, :5, :5]).resize((60, 60), Image.Resampling.BICUBIC)  # smooth, as photos
            photo.save(source / name / f"{i}.png")
            photo.save(source / name / f"{i} copy.png")
            photo.point(lambda p: 0.9 * p + 9).save(source / name / f"{i} again.jpg", quality=95)
    data = datasets.packed(pack(source, tmp_path / "data"))
    assert "180 pictures look like another, 60 to the pixel; what looks alike is in one part" in capsys.readouterr().err
    parts = {}
    for part in records.PARTS:
        for shard in (tmp_path / "data").glob(f"*/{part}-*.tfrecord"):
            for content in tf.python_io.tf_record_iterator(str(shard)):
                feature = tf.train.Example.FromString(content).features.feature["source"]
                name = Path(os.fsdecode(feature.bytes_list.value[0])).stem.split(" ")[0]
                parts.setdefault(name, []).append(part)
    assert len(parts) == 60 and all(len(each) == 3 and len(set(each)) == 1 for each in parts.values())
    assert len(data.test.labels) == len(data.validation.labels) == 18


def test_classes_of_which_all_look_alike_are_split_too(tmp_path, capsys):
    for name in "ab":
        (tmp_path / "s" / name).mkdir(parents=True)
        smooth = np.asarray(Image.fromarray(TEXTURES[ord(name), :5, :5]).resize((60, 60), Image.Resampling.BICUBIC))
        for i in range(10):
            Image.fromarray(smooth // 2 + np.uint8(i)).save(tmp_path / "s" / name / f"{i}.png")
            shutil.copy(tmp_path / "s" / name / f"{i}.png", tmp_path / "s" / name / f"{i} copy.png")
    folder = pack(tmp_path / "s", tmp_path / "data")
    assert counts_of(folder) == {"a": [16, 2, 2], "b": [16, 2, 2]}
    data = datasets.packed(folder)
    train, test = ({image.tobytes() for image in split.images} for split in (data.train, data.test))
    assert len(test) == 2 and not train & test  # the same pixels are in one part


def parts_of(group, given):
    """How many pictures of one class are for training, validation and testing."""
    none = np.zeros(len(group), int)
    parts = splits.split(none, np.array(group), np.arange(len(group), dtype=np.uint64), np.array(given))
    return np.bincount(parts, minlength=3).tolist()


def test_a_large_group_leaves_each_other_part_a_picture():
    assert parts_of([0] * 28 + [1, 2], [-1] * 30) == [28, 1, 1]


def test_alike_pictures_beside_a_given_test_part_are_split():
    assert parts_of([0] * 20 + [1, 2, 3, 4, 5], [0] * 20 + [2] * 5) == [18, 2, 5]


def test_the_same_picture_in_two_classes_is_told(tmp_path, capsys):
    source = folder_of(tmp_path / "s", {"a": 20, "b": 20})
    shutil.copy(source / "a/3.png", source / "b/same.png")
    pack(source, tmp_path / "data")
    assert "1 pictures are in two classes: same.png" in capsys.readouterr().err


def test_different_drawings_are_not_taken_for_duplicates():
    random = np.random.default_rng(1)
    images = np.zeros([300, 28, 28, 1], np.uint8)
    for image in images:
        canvas = Image.new("L", (28, 28))
        ImageDraw.Draw(canvas).line([tuple(random.integers(3, 25, 2)) for _ in range(4)], fill=255, width=3)
        image[..., 0] = canvas
    group = splits.groups(images, np.arange(300, dtype=np.uint64))
    assert len(set(group)) >= 298


def test_a_given_split_is_kept(tmp_path, capsys):
    source = folder_of(tmp_path / "s/train", {"a": 20, "b": 20}).parent
    folder_of(source / "test", {"a": 4, "b": 5}, start=50)
    shutil.copy(source / "train/a/0.png", source / "test/a/same.png")
    folder = pack(source, tmp_path / "data")
    assert counts_of(folder) == {"a": [18, 2, 5], "b": [18, 2, 5]}
    assert "what looks alike is in one part, but for 1 times" in capsys.readouterr().err
    shutil.rmtree(source / "train/b")
    with pytest.raises(UserError, match="1 classes have no picture to train on: b"):
        pack(source, tmp_path / "data")


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


FIRST = "train-00000-of-00002.tfrecord"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: cut(folder / FIRST), f"{FIRST} is cut short"),
        (lambda folder: flip(folder / FIRST), f"{FIRST} is damaged at byte"),
        (lambda folder: swap(folder, FIRST, "train-00001-of-00002.tfrecord"), f"{FIRST} is damaged"),
        (lambda folder: (folder / "test-00000-of-00001.tfrecord").unlink(), "cannot be read: No such file"),
        (lambda folder: (folder / "test-00000-of-00001.tfrecord").write_bytes(b""), "test-00000.* cannot be read"),
        (lambda folder: flip(folder / "train.index.npy"), "train.index.npy is missing or damaged"),
        (lambda folder: (folder / "test.index.npy").unlink(), "test.index.npy is missing or damaged"),
        (lambda folder: cut(folder / "dataset.json"), "dataset.json is damaged"),
        (lambda folder: (folder / "dataset.json").write_text("{}"), "dataset.json is damaged"),
    ],
)
@pytest.mark.parametrize("in_memory", [None, 0])
def test_a_damaged_shard_is_an_error_that_names_it(tmp_path, monkeypatch, damage, message, in_memory):
    monkeypatch.setattr(shards, "SHARD_BYTES", 8 * SIZE * SIZE * 3)
    folder = pack(folder_of(tmp_path / "s", {"a": 10, "b": 10}), tmp_path / "data")
    damage(folder)
    with pytest.raises(UserError, match=message) as error:
        datasets.packed(folder, in_memory).train.images[:]
    assert "to pack the pictures again" in str(error.value) and "\n" not in str(error.value)


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def swap(folder, one, other):
    (folder / one).rename(folder / "x")
    (folder / other).rename(folder / one)
    (folder / "x").rename(folder / other)


PROGRAM = "import sys; from cifar10 import backward; from common import command_line; command_line.run(backward.main)"


def packing_program(source, data_dir):
    command = [sys.executable, "-c", PROGRAM, "--dataset", source, "--data-dir", data_dir, "--only-pack"]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return subprocess.Popen(command, cwd=ROOT, env=environment(), **pipes)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_packing_that_is_stopped_leaves_nothing_that_is_taken_for_whole(tmp_path, number):
    source, data = folder_of(tmp_path / "s", {"a": 100, "b": 100}), tmp_path / "data"
    large = Image.fromarray(np.tile(TEXTURES[0], (80, 80, 1)))
    for i in range(100):
        large.save(source / "b" / f"large {i}.jpg")
    process = packing_program(source, data)
    while not list(data.glob(".packing-*/pixels")):
        time.sleep(0.01)
        assert process.poll() is None
    time.sleep(0.1)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else -9) and "Traceback" not in err
    assert not list(data.glob("*/dataset.json"))
    if number == signal.SIGINT:
        assert not list(data.glob(".packing-*"))
    for path in source.glob("b/large*"):
        path.unlink()
    folder = pack(source, data)
    assert not list(data.glob(".packing-*")) and len(datasets.packed(folder).test.labels) == 20


def test_two_that_pack_at_once_make_one_data_set(tmp_path):
    source = folder_of(tmp_path / "s", {"a": 50, "b": 50})
    both = [packing_program(source, tmp_path / "data") for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert all("10 to test" in out for out, _ in outputs)
    [folder] = (tmp_path / "data").glob("s-*")
    assert json.loads((folder / "dataset.json").read_text())["counts"] == {"a": [40, 5, 5], "b": [40, 5, 5]}


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, small_disk):
    source = folder_of(tmp_path / "s", {"a": 10, "b": 10})
    needed = 20 * SIZE * SIZE * 3
    for room in (0, needed, 3 * needed):  # for nothing; the pixels; a part of the shards
        filler = small_disk / "filler"
        filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - room))
        with pytest.raises(UserError, match="cannot write .*: No space left on device"):
            pack(source, small_disk / "data")
        assert not list((small_disk / "data").glob("[!.]*")) and not list((small_disk / "data").glob(".packing-*"))
        filler.unlink()
    assert counts_of(pack(source, small_disk / "data")) == {"a": [8, 1, 1], "b": [8, 1, 1]}
