"""Written numbers, cut into their digits."""

from common.errors import UserError
from mnist import picture_to_input

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from test_digits import FIVE, ink_of, overlap, photo, seen


def written(text, gap=1.5):
    """A number in a font whose digits stand apart by a gap, and each digit alone."""
    font = ImageFont.load_default(120)
    step = round(120 * 0.6 * gap)
    image = Image.new("RGB", (step * len(text) + 160, 260), (235, 235, 235))
    alone = []
    for i, character in enumerate(text):
        ImageDraw.Draw(image).text((80 + step * i, 60), character, (40, 40, 60), font)
        one = Image.new("RGB", (260, 260), (235, 235, 235))
        ImageDraw.Draw(one).text((80, 60), character, (40, 40, 60), font)
        alone.append(one)
    return image, alone


def test_a_number_is_cut_into_its_digits_from_left_to_right():
    image, alone = written("9021048")
    found = picture_to_input.digits(image)
    assert found.shape == (7, 1, 28, 28, 1) and found.dtype == np.uint8
    for one, expected in zip(found, alone, strict=True):
        assert overlap(one[0, ..., 0] / 255.0, seen(expected)) > 0.8


def test_a_digit_that_ends_at_the_edge_of_a_narrow_strip_is_kept():
    pixels = np.asarray(written("70215")[0]).copy()
    rows = np.flatnonzero((pixels.min(axis=-1) < 128).any(axis=1))
    strip = pixels[rows[0] - 10 : rows[-1] + 10]
    strip[-15:, :170] = strip[-15, :170]  # the foot of the 7
    assert len(picture_to_input.digits(Image.fromarray(strip))) == 5


def test_a_number_without_the_flag_is_told_apart_from_a_digit():
    with pytest.raises(UserError, match="too wide for a digit; with --segment"):
        picture_to_input.digit(written("90210", gap=1.05)[0])


def test_dashes_and_dots_of_a_number_are_no_digits():
    with_dash, _ = written("555-01.9:")
    without, _ = written("555019")
    found, expected = picture_to_input.digits(with_dash), picture_to_input.digits(without)
    assert len(found) == 6
    assert all(overlap(a / 255.0, b / 255.0) > 0.8 for a, b in zip(found, expected, strict=True))


def test_what_is_too_low_or_too_wide_is_no_digit_however_much_ink_it_has():
    image, _ = written("55")
    expected = picture_to_input.digits(image)
    draw = ImageDraw.Draw(image)
    draw.rectangle([20, 150, 52, 182], fill=(40, 40, 60))  # a blot, a third as high as the digits
    assert (picture_to_input.digits(image) == expected).all()
    wide = Image.new("RGB", (1100, 260), (235, 235, 235))
    wide.paste(image, (0, 0))
    ImageDraw.Draw(wide).rectangle([450, 90, 1000, 160], fill=(40, 40, 60))  # a bar, nearly as high
    assert len(picture_to_input.digits(wide)) == 2


def test_digits_that_touch_are_cut_apart():
    image, _ = written("2345", gap=1.2)
    draw = ImageDraw.Draw(image)
    draw.line([(120, 170), (200, 170)], fill=(40, 40, 60), width=6)  # joins the first two
    assert len(picture_to_input.digits(image)) == 4


def test_strokes_of_one_digit_in_a_number_stay_together():
    image = Image.new("RGB", (640, 360), (230, 230, 230))
    draw = ImageDraw.Draw(image)
    for left in (0, 300):
        for stroke in FIVE:
            draw.line([(x + left, y) for x, y in stroke], fill=(40, 40, 40), width=22, joint="curve")
    found = picture_to_input.digits(image)
    expected = seen(photo(ink_of(*FIVE)))
    assert len(found) == 2 and all(overlap(one[0, ..., 0] / 255.0, expected) > 0.8 for one in found)


@pytest.mark.parametrize("seed", range(30))
def test_any_picture_is_a_number_or_is_not(seed):
    random = np.random.default_rng(seed)
    size = random.integers(1, [200, 6] if seed % 2 else [200, 200])
    image = Image.fromarray(random.integers(0, 2, [*size[::-1], 1], dtype=np.uint8).repeat(3, axis=2) * 255)
    try:
        _, views, *size = picture_to_input.digits(image).shape
        assert views in (1, 2) and size == [28, 28, 1]
    except UserError as error:
        assert str(error).startswith("shows no")


def test_a_page_of_text_is_no_number():
    random = np.random.default_rng(0)
    image = Image.new("RGB", (900, 200), "white")
    for x in range(20, 880, 20):
        ImageDraw.Draw(image).line([(x, 40), (x + random.integers(-4, 5), 150)], fill="black", width=5)
    with pytest.raises(UserError, match="shows no number of up to 30 digits: 43"):
        picture_to_input.digits(image)
