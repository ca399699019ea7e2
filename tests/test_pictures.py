"""Reading pictures in every form that users bring."""

from common.data import pictures
from common.errors import UserError

import numpy as np
import pytest
from PIL import Image


def test_exif_turn_is_applied(tmp_path):
    image = Image.new("RGB", (40, 20), "white")
    image.paste("black", (0, 0, 10, 20))  # the left edge
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90° clockwise to show
    image.save(tmp_path / "turned.png", exif=exif)
    grey = np.asarray(pictures.read(tmp_path / "turned.png").convert("L"))
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
    with pytest.raises(UserError, match="huge.png has 100×100 pixels"):
        pictures.read(tmp_path / "huge.png")
