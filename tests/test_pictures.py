"""Reading pictures in every form that users bring."""

import struct
import subprocess
import sys
from pathlib import Path

from common.data import pictures
from common.errors import UserError

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "avif", "tiff"])
def test_exif_turn_is_applied(tmp_path, ending):
    image = Image.new("RGB", (40, 20), "white")
    image.paste("black", (0, 0, 10, 20))  # the left edge
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90° clockwise to show
    image.save(tmp_path / f"turned.{ending}", exif=exif)
    turned = pictures.read(tmp_path / f"turned.{ending}")
    assert type(turned) is Image.Image  # not one that holds the file's bytes
    grey = np.asarray(turned.convert("L"))
    assert grey.shape == (40, 20) and grey[:8].max() < 50 and grey[15:].min() > 200  # now the top edge


@pytest.mark.parametrize(
    ("mode", "color"),
    [("RGBA", (0,) * 4), ("LA", (0, 0)), ("P", None), ("L", 255), ("1", 1), ("I;16", 65535), ("CMYK", (0,) * 4)],
)
def test_every_mode_becomes_rgb_with_white_paper(tmp_path, mode, color):
    path = tmp_path / ("picture.tiff" if mode in ("CMYK", "I;16") else "picture.png")
    if mode == "P":
        image = Image.new("P", (8, 8))
        image.info["transparency"] = 0
        image.save(path, transparency=0)
    else:
        Image.new(mode, (8, 8), color).save(path)
    read = pictures.read(path)
    assert read.mode == "RGB" and np.asarray(read).min() > 250


def test_cmyk_jpeg_keeps_its_colours(tmp_path):
    Image.new("CMYK", (16, 16), (255, 0, 255, 0)).save(tmp_path / "green.jpg")  # no red, no blue
    red, green, blue = np.asarray(pictures.read(tmp_path / "green.jpg")).mean(axis=(0, 1))
    assert red < 60 and blue < 120 and green > 150


def test_sixteen_bit_grey_keeps_its_range(tmp_path):
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    grey = np.asarray(pictures.read(tmp_path / "ramp.png"))[..., 0].ravel()
    np.testing.assert_allclose(grey, np.linspace(0, 255, 64), atol=1)


@pytest.mark.parametrize(("bits", "white_is_0"), [(12, False), (16, False), (16, True)])
def test_short_greys_of_a_tiff_keep_their_range(tmp_path, bits, white_is_0):
    values = np.linspace(0, 2**bits - 1, 64).astype("<u2")
    values = values[::-1] if white_is_0 else values
    packed = "".join(f"{value:012b}" for value in values)
    pixels = values.tobytes() if bits == 16 else int(packed, 2).to_bytes(len(packed) // 8, "big")
    tags = {256: 64, 257: 1, 258: bits, 259: 1, 262: 1 - white_is_0, 273: 8, 277: 1, 278: 1, 279: len(pixels)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    (tmp_path / "ramp.tiff").write_bytes(struct.pack("<2sHI", b"II", 42, 8 + len(pixels)) + pixels + directory)
    grey = np.asarray(pictures.read(tmp_path / "ramp.tiff"))[..., 0].ravel()
    np.testing.assert_allclose(grey, np.linspace(0, 255, 64), atol=1)


@pytest.mark.parametrize("ending", ["heic", "avif", "webp"])
def test_modern_formats_are_read(tmp_path, ending):
    Image.new("RGB", (64, 48), (200, 40, 90)).save(tmp_path / f"photo.{ending}")
    image = pictures.read(tmp_path / f"photo.{ending}")
    assert image.size == (64, 48) and image.mode == "RGB"
    np.testing.assert_allclose(np.asarray(image).mean(axis=(0, 1)), (200, 40, 90), atol=6)


def test_large_jpeg_is_decoded_small_but_whole(tmp_path):
    ramp = np.broadcast_to(np.linspace(0, 255, 6000).astype(np.uint8), (4000, 6000))
    Image.fromarray(ramp).save(tmp_path / "large.jpg")
    image = pictures.read(tmp_path / "large.jpg")
    assert max(image.size) <= 3000 and image.width / image.height == pytest.approx(1.5, rel=0.01)
    row = np.asarray(image)[image.height // 2, :, 0].astype(float)
    np.testing.assert_allclose(row, np.linspace(0, 255, image.width), atol=4)


def test_wrong_file_ending_does_not_matter(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "picture.jpg", format="PNG")
    assert pictures.read(tmp_path / "picture.jpg").size == (8, 8)


def test_huge_picture_is_refused(tmp_path, monkeypatch):
    Image.new("L", (100, 100)).save(tmp_path / "huge.png")
    monkeypatch.setattr(pictures, "MAX_PIXELS", 9999)
    with pytest.raises(UserError, match="huge.png has 100×100 pixels, more than 9,999"):
        pictures.read(tmp_path / "huge.png")
    monkeypatch.setattr(pictures, "MAX_PIXELS", 10000)
    assert pictures.read(tmp_path / "huge.png").size == (100, 100)


@pytest.mark.parametrize("white", [1, 255, 5000, 2_000_000_000])
@pytest.mark.parametrize(("kind", "name"), [(np.int32, "a.tiff"), (np.float32, "a.tiff"), (np.float32, "a.pfm")])
def test_32_bit_greys_keep_their_range(tmp_path, kind, name, white):
    ramp = (np.linspace(0, 1, 64).reshape(8, 8) * white).astype(kind)
    Image.fromarray(ramp).save(tmp_path / name)
    grey = np.asarray(pictures.read(tmp_path / name))[..., 0]
    np.testing.assert_allclose(grey, ramp / white * 255.0, atol=1)


def test_a_float_picture_may_hold_what_is_no_number(tmp_path):
    values = np.array([[np.nan, np.inf, -np.inf, -1.0, 3.0]], np.float32)
    Image.fromarray(values).save(tmp_path / "odd.tiff")
    assert np.asarray(pictures.read(tmp_path / "odd.tiff"))[0, :, 0].tolist() == [0, 255, 0, 0, 255]


def test_a_very_long_picture_is_reduced_too(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "LARGE", 2000)
    Image.new("L", (4000, 10), 200).save(tmp_path / "long.png")
    image = pictures.read(tmp_path / "long.png")
    assert image.size == (1000, 3) and np.asarray(image).min() == 200


def test_sixteen_bit_pgm_keeps_its_range(tmp_path):
    (tmp_path / "dark.pgm").write_bytes(b"P5 2 1 65535\n" + np.array([257, 25700], ">u2").tobytes())
    assert np.asarray(pictures.read(tmp_path / "dark.pgm"))[0, :, 0].tolist() == [1, 100]


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_broken_exif_is_one_line_or_no_matter(tmp_path, ending):
    Image.new("RGB", (8, 8), "white").save(tmp_path / f"odd.{ending}", exif=b"Exif\0\0broken", dpi=(72, 72))
    try:
        assert pictures.read(tmp_path / f"odd.{ending}").size == (8, 8)
    except UserError as error:
        assert "cannot be read" in str(error) and "\n" not in str(error)


@pytest.mark.parametrize("mode", ["RGB", "P", "I;16", "RGBA"])
def test_a_large_picture_is_reduced_as_a_whole(tmp_path, monkeypatch, mode):
    monkeypatch.setattr(pictures, "ENOUGH", 20)
    monkeypatch.setattr(pictures, "STRIP", 700)  # pixels: seven rows, of which reduced rows of three take six
    ramp = np.broadcast_to(np.linspace(0, 255, 61).astype(np.uint8)[:, None], (61, 100))
    image = Image.fromarray(np.uint16(257) * ramp) if mode == "I;16" else Image.fromarray(ramp).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 3  # orientation: upside down
    image.save(tmp_path / "large.png", exif=exif)
    grey = np.asarray(pictures.read(tmp_path / "large.png").convert("L")).astype(float)
    assert grey.shape == (21, 34)
    expected = [ramp[i : i + 3].mean() for i in range(0, 61, 3)][::-1]
    np.testing.assert_allclose(grey, np.broadcast_to(np.array(expected)[:, None], (21, 34)), atol=1.5)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc to see the memory of a process")
@pytest.mark.parametrize(("mode", "most"), [("I;16", 0.25), ("RGBA", 0.35), ("P", 0.2), ("F", 0.4)])
def test_memory_is_bounded(tmp_path, mode, most):
    """In GiB, for a file of few bytes and as many pixels as may be, above what importing takes."""
    path = tmp_path / ("large.tiff" if mode == "F" else "large.png")
    Image.new(mode, (7000, 7000)).save(path, compression="tiff_deflate")
    code = (
        "import re, sys; from common.data import pictures; "
        "used = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]); before = used(); "
        "pictures.read(sys.argv[1]); print((used() - before) / 2**20)"
    )
    command = [sys.executable, "-c", code, str(path)]
    used = float(subprocess.run(command, capture_output=True, check=True, text=True, cwd=ROOT).stdout)
    assert 0.01 < used < most
