"""Folders, tables and TFRecords that users bring: which pictures are found, and of which class."""

import os

from common.data import foreign_records, sources
from common.errors import UserError

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from PIL import Image


def picture(path, shade=0, ending="PNG"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (shade % 256, shade // 256, 99)).save(path, ending)
    return path


def found(source):
    """{path below the source's folder: (class, part)}"""
    result = sources.find(source)
    return {os.path.relpath(e.path, result.root): (e.label, e.part) for e in result.examples}, result


def test_sub_folders_are_classes_as_people_count(tmp_path):
    for name in ("10", "2", "1", "ғ", "dog breeds", "Dog", "dog", ".hidden"):
        picture(tmp_path / name / "deeper" / "a.png")
    picture(tmp_path / "dog/.thumbnail.png")
    picture(tmp_path / "beside.png")
    examples, source = found(tmp_path)
    assert source.class_names == ("1", "2", "10", "Dog", "dog", "dog breeds", "ғ")
    assert len(examples) == 7 and examples["dog/deeper/a.png"] == ("dog", None)
    assert source.notices == [
        "7 classes have sub-folders, whose pictures are taken as theirs: 1, 2, 10, …",
        "1 pictures beside the sub-folders were left out: beside.png",
    ]


@pytest.mark.parametrize("validation", ["val", "Validation", "valid", None])
def test_a_folder_that_is_split_keeps_its_split(tmp_path, validation):
    for part in filter(None, ("train", validation, "TEST")):
        for name in "ab":
            picture(tmp_path / part / name / "x.png")
    examples, source = found(tmp_path)
    parts = {"train/a/x.png": "train", "TEST/b/x.png": "test"}
    parts |= {f"{validation}/a/x.png": "validation"} if validation else {}
    assert source.class_names == ("a", "b")
    assert {path: examples[path][1] for path in parts} == parts


def test_classes_may_be_called_like_parts(tmp_path):
    for name in ("train", "plane"):
        picture(tmp_path / name / "x.png")
    assert found(tmp_path)[1].class_names == ("plane", "train")


def test_what_is_beside_the_parts_is_told(tmp_path):
    for part in ("train", "test", "raw", "__MACOSX"):
        for name in "ab":
            picture(tmp_path / part / name / "x.png")
    examples, source = found(tmp_path)
    assert source.class_names == ("a", "b") and {part for _, part in examples.values()} == {"train", "test"}
    assert source.notices == ["1 folders beside test, train were left out: raw"]


def test_a_class_without_files_is_refused(tmp_path):
    for name in "ab":
        picture(tmp_path / name / "x.png")
    (tmp_path / "c" / "deeper").mkdir(parents=True)
    with pytest.raises(UserError, match="1 sub-folders have no file: c; fill them, or take them away"):
        sources.find(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "image,label\na.png,cat\nsub/b.png,big dog\n"),
        ("t.csv", "kids,Label,sender,FILE\nno,cat,1,a.png\nyes,big dog,2,sub/b.png\n"),
        ("t.csv", "a.png,cat\nsub/b.png,big dog\n"),
        ("t.csv", "\ufeff\"a\",\"cat\"\r\n\"b\",\"big dog\"\r\n"),
        ("t.csv", "image;label\na.png;cat\nb.png;big dog\n"),
        ("t.csv", "cat,a.png\nbig dog,b\n"),
        ("t.tsv", "path\tclass\n./a.png\tcat\nsub\\b.png\tbig dog\n"),
        ("t.txt", "a.png\tcat\n\nb.png\tbig dog\n"),
        ("t.txt", 'a.png cat\nsub/b.png "big dog"\n'),
        ("t.csv", "size,FILE,Class\n3,a.png,cat\n4,b,big dog\n"),
    ],
)  # fmt: skip
def test_the_dialects_of_tables(tmp_path, name, text):
    picture(tmp_path / "a.png")
    picture(tmp_path / "sub/b.png")
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    examples, source = found(tmp_path / name)
    assert {path: label for path, (label, _) in examples.items()} == {"a.png": "cat", "sub/b.png": "big dog"}
    assert source.notices == [] and source.name == "t"


def test_the_notes_label_file_and_names_with_spaces(tmp_path):
    for name in ("0_5.jpg", "1_0.jpg", "my own.jpg"):
        picture(tmp_path / "pictures" / name, ending="JPEG")
    (tmp_path / "labels.txt").write_text("0_5.jpg 5\n1_0.jpg 0\nmy own.jpg 5\n")
    labels = {path: label for path, (label, _) in found(tmp_path / "labels.txt")[0].items()}
    assert labels == {"pictures/0_5.jpg": "5", "pictures/1_0.jpg": "0", "pictures/my own.jpg": "5"}


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "utf-8"])
def test_a_table_in_another_encoding(tmp_path, encoding):
    for name in ("ä.png", "b.png"):
        picture(tmp_path / name)
    (tmp_path / "t.csv").write_bytes("image,label\nä.png,Bär\nb.png,Hund\n".encode(encoding))
    assert sorted(label for label, _ in found(tmp_path / "t.csv")[0].values()) == ["Bär", "Hund"]


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ("cats/1.png", "set/cats/1.png"),
        ("1", None),  # or which?
        ("3.png", "set/dogs/3.png"),
        ("cats/3.png", None),  # gone: that of another folder is not taken for it
        ("/home/me/set/dogs/3", "set/dogs/3.png"),
        ("set/both", None),  # .jpg or .png?
        ("set/both.png", "set/both.png"),
    ],
)
def test_which_file_a_name_means(tmp_path, named, meant):
    for name in ("cats/1.png", "cats/2.png", "dogs/1.png", "dogs/3.png", "both.png", "both.jpg"):
        picture(tmp_path / "set" / name)
    (tmp_path / "t.csv").write_text(f"set/cats/2.png,b\n{named},a\nset/dogs/1.png,a\n")
    labels = found(tmp_path / "t.csv")[0]
    assert set(labels) - {"set/cats/2.png", "set/dogs/1.png"} == ({meant} if meant else set())


def test_a_picture_that_is_there_is_taken_before_one_of_the_same_name(tmp_path):
    for name in ("train/1.png", "train/2.png", "test/1.png"):
        picture(tmp_path / name)
    rows = [f"{tmp_path}/test/1.png,a", "../test/1.png,a", "2.png,b", f"{tmp_path}/train/1.png,b"]
    (tmp_path / "train/t.csv").write_text("\n".join(rows))
    labels = {path: label for path, (label, _) in found(tmp_path / "train/t.csv")[0].items()}
    assert {"2.png": "b", "1.png": "b"}.items() < labels.items() and set(labels.values()) == {"a", "b"}


def test_which_column_is_the_label_is_not_guessed(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text("image_id,healthy,rust\na,1,0\n")
    with pytest.raises(UserError, match="t.csv has 3 columns; which one is the label"):
        sources.find(tmp_path / "t.csv")


def test_commas_within_labels_between_semicolons(tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    (tmp_path / "t.csv").write_text("a.png;cat, grey\nb.png;cat, black\n")
    assert sorted(label for label, _ in found(tmp_path / "t.csv")[0].values()) == ["cat, black", "cat, grey"]


def test_names_with_spaces_between_spaces(tmp_path):
    for name in ("my cat.png", "my dog.png"):
        picture(tmp_path / name)
    (tmp_path / "t.txt").write_text("my cat.png 0\nmy dog.png 1\n")
    assert {path: label for path, (label, _) in found(tmp_path / "t.txt")[0].items()} == {
        "my cat.png": "0", "my dog.png": "1"
    }  # fmt: skip


def test_what_a_table_and_its_folder_lack_is_counted_with_examples(tmp_path):
    for name in ("a.png", "b.png", "c.png", "d.png", "twice.png"):
        picture(tmp_path / name)
    rows = ["a,x", "b,y", "gone1,x", "gone2,x", "gone3,y", "gone4,y", "c,", "twice,x", "twice,y", "a,x"]
    (tmp_path / "t.csv").write_text("\n".join(["image,label", *rows]))
    examples, source = found(tmp_path / "t.csv")
    assert {p: e[0] for p, e in examples.items()} == {"a.png": "x", "b.png": "y", "twice.png": "x"}
    assert source.notices == [
        "4 rows name a picture that is missing, or several: gone1, gone2, gone3, …",
        "1 rows have no label: c",
        "1 rows contradict an earlier one, which was taken: twice",
        "2 pictures have no row: c.png, d.png",
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "needs two classes or more.*found none"),
        (lambda folder: picture(folder / "images/a.png"), "found only 'images'"),
        (lambda folder: picture(folder / "a.png"), "found 1 pictures, and no sub-folder"),
        (lambda folder: (picture(folder / "images/a.png"), (folder / "t.csv").touch()), "name the table: .*t.csv"),
    ],
)
def test_less_than_two_classes_are_refused(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(UserError, match=message):
        sources.find(tmp_path)


@pytest.mark.parametrize("text", ["", "image,label\n", "a.png\nb.png\n", "image,label\nx,1\ny,2\n", "\0\0,\0\n\0,b"])
def test_tables_that_are_none_are_refused(tmp_path, text):
    picture(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match="t.csv"):
        sources.find(tmp_path / "t.csv")


@pytest.mark.parametrize("name", ["nowhere", "x.png"])
def test_what_is_no_source_is_refused(tmp_path, name):
    picture(tmp_path / "x.png")
    with pytest.raises(UserError, match=f"{name} is not.* a folder with one sub-folder a class, a table"):
        sources.find(tmp_path / name)


def test_hostile_names_are_found_and_printable(tmp_path):
    names = ["new\nline", "b" * 255, os.fsdecode(b"not \xff utf-8"), "\x1b[31mred", "a..b"]
    for name in names:
        picture(tmp_path / name / "x.png")
    classes = found(tmp_path)[1].class_names
    assert len(classes) == len(names) and all(name.isprintable() and len(name) <= 200 for name in classes)
    assert {"new\ufffdline", "a..b"} < set(classes)
    for name in classes:
        name.encode()


def test_classes_that_look_the_same_are_refused(tmp_path):
    for name in ("a\nb", "a\tb"):
        picture(tmp_path / name / "x.png")
    with pytest.raises(UserError, match="1 names of classes look the same"):
        sources.find(tmp_path)


def test_links_in_a_circle_end(tmp_path):
    picture(tmp_path / "a/x.png")
    picture(tmp_path / "b/x.png")
    (tmp_path / "a/again").symlink_to(tmp_path / "a")
    (tmp_path / "b/other").symlink_to(tmp_path)
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    assert sum(label == "a" for label, _ in found(tmp_path)[0].values()) == 1


@pytest.mark.parametrize("path", ["../photos", "photos.v2", "/", "..", "ф 1.csv"])
def test_a_source_has_a_name_that_fits_a_path(path):
    name = sources.name(path)
    assert name and not set(name) & set("/ \n") and name[0] not in ".-_"


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
