"""From a picture to MNIST's form, on pictures that are drawn with one difficulty each."""

import itertools

from common.errors import UserError
from mnist import picture_to_input

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

PAPER, INK = 230.0, 40.0


def ink_of(*strokes, size=(300, 360), width=22):
    """Strokes of a pen: float [height, width], 0 to 1. strokes: lists of points."""
    image = Image.new("L", size)
    for stroke in strokes:
        ImageDraw.Draw(image).line(stroke, fill=255, width=width, joint="curve")
    return np.asarray(image, float) / 255


def photo(ink, paper=PAPER):
    """Ink on paper as a picture. paper: a number or [height, width]."""
    grey = paper + (INK - paper) * ink
    return Image.fromarray(np.stack([grey.clip(0, 255).astype(np.uint8)] * 3, axis=-1))


def seen(image):
    return picture_to_input.digit(image)[0, 0, ..., 0] / 255.0


def overlap(a, b):
    """1: the same ink. 0: none in common. It may be a pixel apart, as a centre of mass may be between two pixels."""
    moved = [np.roll(a, shift, axis=(0, 1)) for shift in itertools.product((-1, 0, 1), repeat=2)]
    return max(np.minimum(one, b).sum() / np.maximum(one, b).sum() for one in moved)


SEVEN = [(80, 90), (220, 90), (140, 280)]
FIVE = [[(210, 80), (110, 80)], [(100, 100), (95, 170), (180, 170), (215, 220), (180, 280), (90, 275)]]
PLAIN = seen(photo(ink_of(SEVEN)))


@pytest.mark.parametrize("sharpness", [8, 20, 80])
@pytest.mark.parametrize("slope", [0, 0.6])
def test_a_shadow_darker_than_the_ink_is_no_ink(sharpness, slope):
    rows, columns = np.indices([360, 300])
    across = (columns - 150 + slope * (rows - 180)) / 300
    light = 1 - 0.65 / (1 + np.exp(-sharpness * across))  # of the paper: 230 on the left, 80 on the right
    image = photo(ink_of(SEVEN))
    image = Image.fromarray((light[..., None] * np.asarray(image)).astype(np.uint8))
    assert overlap(seen(image), PLAIN) > 0.85


def test_noise_and_fibres_change_little():
    random = np.random.default_rng(0)
    noisy = np.asarray(photo(ink_of(SEVEN)), float) + random.normal(scale=18, size=[360, 300, 3])
    assert overlap(seen(Image.fromarray(noisy.clip(0, 255).astype(np.uint8))), PLAIN) > 0.8


def test_specks_and_what_comes_in_from_the_border_are_left_out():
    image = photo(ink_of(SEVEN))
    draw = ImageDraw.Draw(image)
    for x, y in ((30, 40), (260, 200), (50, 320)):
        draw.ellipse([x, y, x + 5, y + 5], fill=(40, 40, 40))
    draw.rectangle([0, 0, 60, 360], fill=(60, 50, 40))  # the table beside the sheet, near the digit
    draw.line([(0, 345), (300, 345)], fill=(90, 90, 120), width=3)  # a ruled line
    assert overlap(seen(image), PLAIN) > 0.85


@pytest.mark.parametrize(("row", "column"), [(1600, 300), (0, 2700), (2640, 0)])
def test_a_digit_that_is_small_in_its_picture_is_as_sharp_as_a_large_one(row, column):
    large = np.zeros([3000, 3000])
    large[row : row + 360, column : column + 300] = ink_of(SEVEN)
    assert overlap(seen(photo(large)), PLAIN) > 0.85


def test_a_small_digit_is_found_in_a_narrow_strip():
    strip = np.zeros([3400, 120])  # 8.5 of the 240 pixels wide, which are 8
    strip[3270:3390, :100] = ink_of(SEVEN)[::3, ::3]
    assert overlap(seen(photo(strip)), PLAIN) > 0.8


def test_a_digit_that_cannot_be_read_from_nearer_is_read_as_it_was(monkeypatch):
    large = np.zeros([3000, 3000])
    large[1600:1960, 300:600] = ink_of(SEVEN)
    monkeypatch.setattr(picture_to_input, "nearer", lambda image, mask: Image.new("RGB", (100, 100), "white"))
    assert 0.6 < overlap(seen(photo(large)), PLAIN) < 0.85


def test_a_reading_that_fails_or_counts_otherwise_is_an_empty_view():
    def read(mask):
        if not mask.any():
            raise UserError("shows nothing")
        return [np.ones([9, 3], bool)] * int(mask.sum())

    one, two, nothing = np.array([[1]]), np.array([[2]]), np.array([[0]])
    for masks, items, empty in [
        ([one], 1, [False]), ([two, two], 2, [False, False]), ([one, two], 1, [False, True]),
        ([two, one], 2, [False, True]), ([nothing, one], 1, [False, True]), ([one, nothing], 1, [False]),
    ]:  # fmt: skip
        views = picture_to_input._views(masks, read)
        assert len(views) == items and (~views.any(axis=(0, 2, 3, 4))).tolist() == empty
    with pytest.raises(UserError, match="shows nothing"):
        picture_to_input._views([nothing, nothing], read)


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_a_bar_along_the_border_is_a_stroke_but_a_table_is_none(side):
    turns = ["top", "left", "bottom", "right"].index(side)
    table = photo(np.pad(ink_of(SEVEN), 30, mode="constant"))
    pixels = np.rot90(np.asarray(table), -turns).copy()
    pixels[:20] = 50
    assert overlap(seen(Image.fromarray(np.rot90(pixels, turns))), PLAIN) > 0.85

    bar = np.rot90(ink_of([(20, 11), (280, 11), (140, 340)], width=22), turns)  # 7, flush with the top
    assert overlap(seen(photo(bar)), seen(photo(np.pad(bar, 60)))) > 0.8


def test_a_page_edge_and_a_word_beside_the_digit_are_no_strokes_of_it():
    image = photo(ink_of(SEVEN, size=(600, 360)))
    draw = ImageDraw.Draw(image)
    draw.line([(560, 5), (565, 355)], fill=(90, 90, 90), width=4)  # does not reach the border
    draw.text((400, 260), "no. 3", (40, 40, 40), ImageFont.load_default(60))
    assert overlap(seen(image), PLAIN) > 0.85


def test_a_digit_that_reaches_the_border_is_no_dirt_but_the_speck_beside_it_is():
    ink = ink_of([(80, 90), (220, 90), (140, 400)])
    image = photo(ink)
    ImageDraw.Draw(image).ellipse([30, 200, 36, 206], fill=(40, 40, 40))
    assert overlap(seen(image), seen(photo(ink))) > 0.95


def test_a_small_digit_in_a_large_picture_is_found():
    image = Image.new("RGB", (1500, 1800), (int(PAPER),) * 3)
    image.paste(photo(ink_of(SEVEN)), (1000, 300))
    assert overlap(seen(image), PLAIN) > 0.5  # 40 pixels high at the size that is worked at, it may be a pixel lower


def test_every_stroke_of_a_broken_digit_is_kept():
    whole, without_bar = seen(photo(ink_of(*FIVE))), seen(photo(ink_of(*FIVE[1:])))
    gap = ink_of(*FIVE)
    gap[:, 150:158] = 0  # through all of it
    assert overlap(seen(photo(gap)), whole) > 0.8
    assert overlap(without_bar, whole) < 0.7  # without the bar it would be another picture


@pytest.mark.parametrize("width", [5, 12, 22, 44])
@pytest.mark.parametrize("scale", [0.5, 3])
def test_strokes_get_the_width_of_mnist_whatever_the_pen_and_the_resolution(width, scale):
    image = photo(ink_of(SEVEN, width=width))
    image = image.resize([round(side * scale) for side in image.size], Image.Resampling.BICUBIC)
    ink = seen(image)
    length = (140 + 206) / (190 + 22) * 20  # pixels of the two lines, when the digit is 20 pixels high
    assert ink.sum() / length == pytest.approx(picture_to_input.STROKE_WIDTH, rel=0.25)


@pytest.mark.parametrize("height", range(1, 7))
@pytest.mark.parametrize("width", range(1, 7))
def test_a_stroke_of_few_pixels_does_not_vanish(height, width):
    """To be as wide as MNIST's it would have to be thinner than a pixel."""
    ink = picture_to_input.with_stroke_width(np.ones([height, width], bool))
    assert ink.dtype == np.float32 and ink.max() > 0.5 and picture_to_input.as_mnist(ink).max() == 255


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_a_stem_of_few_pixels_is_in_the_middle(width):
    rows, columns, _ = np.nonzero(picture_to_input.as_mnist(np.ones([40, 2 * width], np.float32)))  # fit to 20 by width
    assert abs(rows.mean() - 14) <= 0.5 and abs(columns.mean() - 14) <= 0.5


@pytest.mark.parametrize("color", [(20, 30, 160), (190, 20, 30), (20, 120, 40)])
def test_coloured_ink_on_coloured_paper(color):
    image = Image.new("RGB", (300, 360), (245, 225, 130))
    ImageDraw.Draw(image).line(SEVEN, fill=color, width=22, joint="curve")
    assert overlap(seen(image), PLAIN) > 0.9


def test_the_centre_of_mass_is_that_of_mnist():
    """14.0 both ways: the mean over MNIST's images; each is moved by whole pixels, so off by half a pixel at most."""
    random = np.random.default_rng(0)
    centres = []
    for _ in range(60):
        ink = ink_of([(random.uniform(90, 210), y) for y in (60, 150, 220, 300)], width=30)
        image = seen(photo(ink))
        centres.append([image.sum(axis=axis) @ np.arange(28) / image.sum() for axis in (1, 0)])
    assert np.abs(np.array(centres) - 14.0).max() < 0.53  # the mass changes a little where 0 to 1 becomes 0 to 255
    np.testing.assert_allclose(np.mean(centres, axis=0), 14.0, atol=0.15)


@pytest.mark.slow
def test_mnists_digits_stay_where_they_are(real_mnist):
    for image in real_mnist.validation.images[:300, ..., 0]:
        rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        if max(image[box].shape) == 20:
            placed = picture_to_input.as_mnist(image[box] / 255.0)[..., 0]
            moved = [a[0] - np.flatnonzero(placed.any(axis=1 - i))[0] for i, a in enumerate((rows, columns))]
            assert np.abs(moved).max() <= 1 and overlap(placed / 255.0, image / 255.0) > 0.5, moved


def test_pictures_without_a_digit():
    random = np.random.default_rng(0)
    shade = np.linspace(120, 220, 360)[:, None] + random.normal(scale=2, size=[360, 300])
    for image in (photo(np.zeros([360, 300])), photo(np.zeros([360, 300]), shade), Image.new("RGB", (1, 1))):
        with pytest.raises(UserError, match="shows no ink"):
            picture_to_input.digit(image)
