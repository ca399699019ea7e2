"""Tables of pictures and labels as sources: dialects, names, and what is refused."""

from common.data import sources
from common.errors import UserError

import pytest
from test_sources import found, picture


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


@pytest.mark.parametrize("text", ["0,12.png\n1,0.png\n", "image,label\n12.png,0\n0.png,1\n"])
def test_a_cell_that_may_be_a_name_without_ending_is_none_where_others_have_theirs(tmp_path, text):
    for name in ("0", "12", "image"):
        picture(tmp_path / f"{name}.png")
    (tmp_path / "t.csv").write_text(text)
    examples, source = found(tmp_path / "t.csv")
    assert examples == {"12.png": ("0", None), "0.png": ("1", None)}
    assert source.notices == ["1 pictures have no row: image.png"]


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


@pytest.mark.parametrize("text", ["", "image,label\n", "a.png\nb.png\n", "image,label\nx,1\ny,2\n", "\0\0,\0\n\0,b"])
def test_tables_that_are_none_are_refused(tmp_path, text):
    picture(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match="t.csv"):
        sources.find(tmp_path / "t.csv")
