"""Names of classes in any script, and in any number, as pictures."""

import io
import warnings
from pathlib import Path

from common import fonts
from common.app import classifier, drawing
from common.training import plots

import matplotlib
import numpy as np
import pytest
from matplotlib import font_manager
from PIL import Image

FOLDER = Path(matplotlib.get_data_path()) / "fonts/ttf"


@pytest.fixture
def no_other_fonts(monkeypatch):
    """A system without fonts of its own."""
    def forget():
        fonts._path.cache_clear()
        fonts._of_the_system.cache_clear()

    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [])
    forget()
    yield forget
    forget()


def glyph(font, letter):
    return font.getmask(letter).size, bytes(font.getmask(letter))


@pytest.mark.parametrize("letter", ["ä", "ж", "ғ", "Ω", "é"])
def test_letters_are_drawn_and_not_boxes(letter):
    font, text = fonts.drawn(letter, 20)
    assert text == letter and glyph(font, letter) != glyph(font, "\uffff")


def test_letters_that_no_font_has_are_given_by_their_number(no_other_fonts):
    assert fonts.drawn("字 a", 20)[1] == "U+5B57 a"
    assert fonts.drawn("cat", 20)[1] == "cat"


def test_a_font_of_the_system_is_taken_for_letters_that_the_usual_one_lacks(no_other_fonts, monkeypatch):
    other = str(FOLDER / "STIXGeneral.ttf")
    letter = chr(min(fonts._letters(other) - fonts._letters(str(FOLDER / "DejaVuSans.ttf"))))
    assert fonts.drawn(letter, 20)[1] != letter
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: ["nowhere.ttf", other])
    no_other_fonts()
    font, text = fonts.drawn(letter, 20)
    assert text == letter and font.path == other
    assert fonts.family(letter)[-1] == "STIXGeneral"


def test_names_with_signs_of_formulas_are_drawn_as_they_are():
    names = ("$x_1$", "$ 5", "a" * 60)
    images = np.zeros([3, 8, 8, 3], np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.confusion(np.eye(3, dtype=int), names)
        plots.gallery(images, [0, 1, 2], [1, 2, 0], [0.5] * 3, names)


@pytest.mark.parametrize("classes", [2, 10, 45, 300])
def test_a_confusion_picture_grows_with_the_classes(classes):
    names = [f"Klasse ж{i} mit einem sehr langen Namen" for i in range(classes)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = Image.open(io.BytesIO(plots.confusion(np.eye(classes, dtype=int) + 1, names)))
    expected = {2: 4.6, 10: 4.6, 45: 19.8, 300: 18}[classes]
    assert image.height == pytest.approx(110 * min(expected, 18), abs=2)


def test_a_card_of_long_names_in_any_script():
    names = ("длинное имя " * 20, "字", *(f"class {i}" for i in range(40)))
    probabilities = np.full([1, 42], 0.01)
    probabilities[0, 0] = 0.59
    views, saliency = np.zeros([1, 1, 16, 16, 3], np.uint8), np.zeros([1, 16, 16])
    doubtful = np.zeros(1, bool)
    answer = classifier.Answer(Image.new("RGB", (90, 60)), views, probabilities, doubtful, saliency, names)
    assert drawing.card(answer).width < 1800


def test_letters_that_no_font_has_bring_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plots.confusion(np.eye(2, dtype=int), ["\U0001f436 \U000f0000", "b"]).startswith(b"\x89PNG")
