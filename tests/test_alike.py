"""Packed pictures that look alike, and how all are split into parts."""

import os
import shutil
from pathlib import Path

from common.data import datasets, records, splits
from common.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from packing_helpers import TEXTURES, counts_of, folder_of, pack
from PIL import Image, ImageDraw


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
