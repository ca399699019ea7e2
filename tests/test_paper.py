"""Ruled paper, scraps of paper and tables around a digit are no ink."""

from common.errors import UserError
from mnist import ink as ink_module
from mnist import picture_to_input

import numpy as np
import pytest
from PIL import Image
from test_digits import INK, PAPER, PLAIN, SEVEN, ink_of, overlap, photo, seen


@pytest.mark.parametrize("upright", [False, True], ids=["ruled", "squared"])
@pytest.mark.parametrize("slope", [0.0, 0.05])
def test_ruled_paper_is_no_ink(upright, slope):
    rows, columns = np.indices([360, 300])
    lines = (rows + slope * columns) % 40 < 2
    if upright:
        lines |= (columns - slope * rows) % 40 < 2
    assert overlap(seen(photo(ink_of(SEVEN), np.where(lines, 130, PAPER))), PLAIN) > 0.85


FOUR = [[(150, 0), (60, 200), (250, 200)], [(180, 0), (180, 360)]]
SEVEN_BY_RULER = [[(0, 40), (300, 40)], [(300, 40), (120, 360)], [(0, 190), (300, 190)]]


@pytest.mark.parametrize("strokes", [FOUR, SEVEN_BY_RULER], ids=["4", "7"])
@pytest.mark.parametrize("width", [6, 22, 36])
@pytest.mark.parametrize("turned", [False, True])
def test_a_stroke_from_edge_to_edge_of_a_tight_picture_is_no_ruled_line(strokes, width, turned):
    ink = ink_of(*strokes, width=width)
    if turned:
        ink = ink.T
    assert overlap(seen(photo(ink)), seen(photo(np.pad(ink, 40)))) > 0.8


def test_lines_that_may_be_strokes_are_in_a_second_view():
    rows, _ = np.indices([360, 300])
    paler, as_dark = (np.where(rows % 60 < 3, shade, PAPER) for shade in (170, INK))
    assert picture_to_input.digit(photo(ink_of(SEVEN), paler)).shape[1] == 1
    views = picture_to_input.digit(photo(ink_of(SEVEN), as_dark))[0, ..., 0] / 255.0
    assert len(views) == 2 and overlap(views[0], PLAIN) > 0.85 > overlap(views[1], PLAIN)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("shade", [60, 150, 190])
def test_blank_ruled_paper_shows_no_digit(squared, shade):
    rows, columns = np.indices([360, 300])
    lines = (rows % 40 < 2) | squared & (columns % 40 < 2)
    for read in (picture_to_input.digit, picture_to_input.digits):
        with pytest.raises(UserError, match="shows no ink"):
            read(photo(np.zeros([360, 300]), np.where(lines, shade, PAPER)))


NINE = [[(110 + 70 * np.cos(a), 110 + 70 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 40)], [(185, 20), (185, 300)]]
LIGHTER, DARKER = [(120, 250), (170, 250), (225, 250)], [(225, 110), (170, 40)]  # what a scrap lies on


def pasted(ink, scrap, around, angle=0):
    """Ink on a scrap of paper that lies on something else, larger."""
    size = (700, 900)
    image = Image.new("RGB", size, (around,) * 3)
    piece = photo(ink, scrap).rotate(angle, expand=True, fillcolor=(around,) * 3, resample=Image.Resampling.BICUBIC)
    image.paste(piece, (200, 300))
    return image


@pytest.mark.parametrize(
    ("strokes", "scrap", "around"),
    # The strokes of the 4 end at the paper's edge: on a dark table they would go on.
    [(strokes, *s) for strokes in ([SEVEN], NINE) for s in LIGHTER + DARKER] + [(FOUR, *s) for s in LIGHTER],
)
@pytest.mark.parametrize("angle", [0, 12])
def test_a_scrap_of_paper_is_no_ink(strokes, scrap, around, angle):
    ink = ink_of(*strokes, width=16)
    expected = seen(photo(np.pad(ink, 40)).rotate(angle, expand=True, fillcolor=(int(PAPER),) * 3))
    assert overlap(seen(pasted(ink, scrap, around, angle)), expected) > 0.7


@pytest.mark.parametrize("width", [30, 80])
def test_a_thick_straight_stroke_is_no_scrap_of_paper(width):
    ink = ink_of([(150, 60), (150, 300)], width=width)
    image = photo(ink)
    assert ink_module.scrap_of_paper(*ink_module.ink_and_noise(ink_module.grey_of(image, ink_module.LARGEST))) is None
    assert seen(image).any()
