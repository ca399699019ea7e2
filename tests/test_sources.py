"""Folders that users bring: which pictures are found, of which class; what is no source; and names."""

import os

from common.data import sources
from common.errors import UserError

import pytest
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


@pytest.mark.parametrize("name", ["nowhere", "x.png"])
def test_what_is_no_source_is_refused(tmp_path, name):
    picture(tmp_path / "x.png")
    with pytest.raises(UserError, match=f"{name} is not.* a folder with one sub-folder a class, a table"):
        sources.find(tmp_path / name)


def test_a_path_that_json_cannot_name_is_refused(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    picture(folder / "a" / "x.png")
    picture(folder / "b" / "y.png")
    with pytest.raises(UserError, match="caf\ufffd is not in UTF-8; rename it"):
        sources.find(folder)


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
