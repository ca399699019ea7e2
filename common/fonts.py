"""Fonts for names in any script: what Pillow and matplotlib bring does not have all letters."""

import functools
import importlib.util
from pathlib import Path

from PIL import ImageFont


def drawn(text, size):
    """A Pillow font for a text, and the text: letters that no font here has are given by their numbers, as U+5B57."""
    path = _path(frozenset(text))
    if path is None:
        return _loaded(None, size), text
    return _loaded(path, size), "".join(c if ord(c) in _letters(path) else f"U+{ord(c):04X}" for c in text)


def short(text, most):
    """A text of so many letters at most; "…" stands for more."""
    return text if len(text) <= most else text[: most - 1] + "…"


def family(text):
    """The names of the fonts that matplotlib needs for a text, the usual one first."""
    from matplotlib import rcParams

    path = _path(frozenset(text))
    return [*rcParams["font.family"], *([_added(path)] if path else [])]


@functools.cache  # loading takes as long as drawing
def _loaded(path, size):
    return ImageFont.truetype(path, size) if path else ImageFont.load_default(size)


@functools.cache
def _path(letters):
    """The file of the first font that has most of some letters; None if Pillow's own will do."""
    text = "".join(letters)
    if text.isascii():
        return None
    usual = Path(importlib.util.find_spec("matplotlib").origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
    needed = set(map(ord, letters))
    if needed <= _letters(str(usual)):
        return str(usual)
    return max([str(usual), *_of_the_system()], key=lambda path: len(needed & _letters(path)))


@functools.cache
def _of_the_system():
    from matplotlib import font_manager  # takes a while; only such names need it

    return sorted(font_manager.findSystemFonts())


@functools.cache
def _added(path):
    """The name by which matplotlib knows a font."""
    from matplotlib import font_manager

    font_manager.fontManager.addfont(path)
    return font_manager.FontProperties(fname=path).get_name()


@functools.cache
def _letters(path):
    """The numbers of the letters that a font has."""
    from fontTools import ttLib

    try:
        with ttLib.TTFont(path, fontNumber=0, lazy=True) as font:
            outlines = "glyf" in font or "CFF " in font or "CFF2" in font  # not so in fonts of coloured pictures
            return frozenset(outlines and font.getBestCmap() or ())
    except Exception:  # whatever is wrong with a file that the system has
        return frozenset()
