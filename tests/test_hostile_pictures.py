"""Pictures that are damaged, that lie, that have no end: each is an answer or one line, and nothing is lost."""

import csv
import io
import json
import shutil

from benchmarks.faults import hostile
from cifar10.picture_to_input import views
from common.app import classifier
from common.data import pictures
from common.errors import UserError
from mnist import app

import numpy as np
import pytest
from helpers import draw_seven
from PIL import Image

TERRIBLE = "\x1b[31mred\nline \udcff\u202e"  # what turns a terminal red, a line break, no UTF-8, right to left


def outcome(path):
    """ "read", or the one line that tells why not."""
    try:
        assert min(pictures.read(path).size) > 0
    except UserError as error:
        assert str(error).isprintable() and str(error).startswith(str(path))
        return str(error).removeprefix(f"{path} ")
    return "read"


def test_every_hostile_file_is_read_or_told_in_one_line(tmp_path):
    outcomes = {}
    for name, data in hostile.files():
        path = tmp_path / "picture.png"
        path.write_bytes(data)
        outcomes[name] = outcome(path)
    assert all(outcomes[name].startswith("cannot be read") for name in outcomes if name.startswith("cut-0.6.j"))
    assert "pixels, more than 50,000,000" in outcomes["declared.png"] and "120,000,000" in outcomes["declared.jpg"]
    assert "holds more than 32 MB" in outcomes["text.png"] and "too large" in outcomes["ztxt.png"]
    assert outcomes["1x20000.png"] == outcomes["20000x1.jpg"] == outcomes["exif.heic"] == "read"
    assert outcomes["svg.png"].startswith("is not a picture") and outcomes["eps.png"].startswith("is not a picture")


def test_what_is_no_ordinary_file_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    for path in hostile.odd(tmp_path):
        try:
            assert pictures.read(path).size == hostile.image().size
        except UserError as error:
            assert str(error).isprintable()
            assert not str(path).endswith("zero.png") or str(error) == f"{path} is not a file"


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-2] + data[data.rindex(b"\xff\xda") : -2] * 4000 + b"\xff\xd9",  # a JPEG of so many scans
        lambda data: b"P6 1500 1500 100\n" + bytes(3 * 1500**2),  # of 101 levels: Pillow counts it by the pixel
    ],
)
def test_a_picture_that_takes_long_is_cut_off(monkeypatch, damage):
    data = hostile.encoded(hostile.image(1000, 1000), "jpg", progressive=True)
    monkeypatch.setattr(pictures, "SECONDS", 0.2)
    with pytest.raises(UserError, match="^it takes more than 0.2 seconds to decode"):
        pictures.read(io.BytesIO(damage(data)), "it")
    assert pictures.read(io.BytesIO(data), "it").size == (1000, 1000)


@pytest.mark.parametrize(("ending", "options"), [("jpg", {"progressive": True}), ("webp", {}), ("avif", {})])
def test_formats_that_take_more_memory_have_fewer_pixels(monkeypatch, ending, options):
    kind = "progressive JPEG" if options else ending.upper()
    monkeypatch.setitem(pictures.FEWER_PIXELS, kind, 96 * 128 - 1)
    with pytest.raises(UserError, match="^it has 96×128 pixels, more than 12,287$"):
        pictures.read(io.BytesIO(hostile.encoded(hostile.image(), ending, **options)), "it")


def test_an_avif_that_hides_its_size_gets_no_more_memory(monkeypatch):
    monkeypatch.setattr(pictures, "AVIF_MEMORY", 40_000_000)  # bytes
    side, data = (4000).to_bytes(4, "big"), hostile.encoded(Image.new("RGB", [4000] * 2), "avif", speed=10)
    small = (90).to_bytes(4, "big")
    assert pictures.read(io.BytesIO(hostile.encoded(hostile.image(90, 90), "avif")), "it").size == (90, 90)
    lying = data.replace(side * 2, small * 2)
    with pytest.raises(UserError, match="^it is damaged, larger than it says"):
        pictures.read(io.BytesIO(lying), "it")


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_an_avif_comes_whole_from_the_other_process(mode):
    data = hostile.encoded(hostile.image(61, 47, mode), "avif", quality=100)
    read = np.asarray(pictures.read(io.BytesIO(data), "it").convert("L")).astype(int)
    np.testing.assert_allclose(read, np.asarray(hostile.image(61, 47, "L")), atol=6)


def test_a_tiff_that_is_cut_while_it_is_read_does_not_end_the_program():
    """Of a file with a number libtiff maps the bytes into memory, and those that are gone end the process."""

    class File(io.BytesIO):
        def fileno(self):
            pytest.fail("was asked for its number")

    file = File(hostile.encoded(hostile.image(), "tiff", compression="tiff_lzw"))
    assert pictures.read(file, "it").size == hostile.image().size


def test_the_library_of_a_format_says_nothing_beside_the_line(tmp_path, capfd):
    data = bytearray(hostile.encoded(hostile.image(), "tiff", compression="tiff_lzw"))
    data[8:200] = b"\xff" * 192
    (tmp_path / "damaged.tiff").write_bytes(data)
    [(_, error)] = classifier.classify(None, [tmp_path / "damaged.tiff"], lambda image: views(image, 32))
    assert "cannot be read" in str(error) and capfd.readouterr() == ("", "")


def test_names_have_no_power_over_the_terminal_and_stay_true_in_json_and_csv(call, trained, tmp_path):
    good, bad = tmp_path / f"{TERRIBLE}.png", tmp_path / f"bad {TERRIBLE}.png"
    draw_seven(tmp_path / "seven.png").rename(good)
    bad.write_bytes(b"")
    status, out, err = call(app.main, *trained[1], good, bad)
    shown = r"\x1b[31mred\nline \udcff\u202e.png"
    assert status == 1 and f"error: {tmp_path}/bad {shown} is not a picture" in err and f"{tmp_path}/{shown}  " in out
    assert len(out.splitlines()) == 3 and len(err.splitlines()) == 1
    assert all(line.isprintable() for line in (out + err).splitlines())
    _, out, _ = call(app.main, *trained[1], "--json", good, bad)
    assert [row["picture"] for row in json.loads(out)] == [str(good), str(bad)]
    _, out, _ = call(app.main, *trained[1], "--csv", good, bad)
    names = [row["picture"] for row in csv.DictReader(io.StringIO(out))]
    assert [name.replace(r"\udcff", "\udcff") for name in names] == [str(good), str(bad)]


def test_the_longest_name_gets_an_annotated_picture(call, trained, tmp_path):
    path = tmp_path / ("字" * 85)  # 255 bytes
    draw_seven(tmp_path / "seven.png").rename(path)
    status, _, err = call(app.main, *trained[1], path, path.parent / ".." / tmp_path.name / path.name)
    assert status == 0 and not err


def test_links_to_themselves_do_not_end_the_program(call, trained, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "loop.png").symlink_to("loop.png")
    draw_seven(folder / "7.png")
    for named in ([folder], [folder / "7.png", folder / "loop.png"]):
        status, out, err = call(app.main, *trained[1], "--output-dir", tmp_path / "out", *named)
        assert status == 1 and "1 of 2 pictures" in out
        assert err == f"error: {folder}/loop.png cannot be read: Too many levels of symbolic links\n"


@pytest.mark.parametrize("sheet", [[], ["--sheet"]])
def test_full_disk_is_one_line_and_leaves_no_empty_picture(call, trained, tmp_path, small_disk, sheet):
    path, out_dir = draw_seven(tmp_path / "7.png"), small_disk / "annotated"
    out_dir.mkdir()
    (small_disk / "filler").write_bytes(bytes(shutil.disk_usage(small_disk).free))
    status, _, err = call(app.main, *trained[1], "--output-dir", out_dir, *sheet, path)
    name = "sheet.png" if sheet else "7.png"
    assert status == 1 and err == f"error: cannot write {out_dir / name}: No space left on device\n"
    assert not list(out_dir.iterdir())
