"""What an app saw and said, as a picture. Drawn with OpenCV: matplotlib would take twenty times as long for each.

The colours of pixels are blue, green, red here, the order in which OpenCV writes a file, unless a function says RGB.
"""

import functools
import math
import os
from concurrent.futures import ThreadPoolExecutor

from common import fonts
from common.errors import writing

import cv2
import numpy as np
from PIL import Image, ImageColor, ImageDraw

HEIGHT, MARGIN, TITLE = 280, 20, 36  # pixels
BLUE, ORANGE, GREY, BLACK = "#1f77b4", "#e07020", "#9aa0a6", "#202124"
MOST_BARS = 10
LONGEST_NAME, LONGEST_TITLE = 30, 60  # characters
COLUMNS, TILE = 2, (900, 280)  # of a sheet; pixels
SHEET = 100  # cards
QUICK_PNG = [  # no filter instead of a try of five, and not much looking for what was there before
    cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE,
    cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT,
]  # fmt: skip
WAITING = 20  # cards that wait to be drawn: bounds the memory


def card(answer):
    """A classifier.Answer, drawn: the picture, what the network sees, how probable each class is.

    And which pixels decided, if that is known. Returns uint8 [height, width, 3].
    """
    side = HEIGHT - TITLE
    views, names, title = answer.views, answer.class_names, fonts.short(f"answer: {answer}", LONGEST_TITLE)
    panels = [_titled("the picture", _picture(answer.picture, (int(side * 1.3), side)))]
    if len(views) == 1:
        height, width = views.shape[2:4]
        count = f"{views.shape[1]} times " if views.shape[1] > 1 else ""
        panels.append(_titled(f"what the network sees: {count}{width} by {height}", _framed(tiled(views[0]), side)))
        if answer.saliency is not None:
            decided = _framed(overlay(views[0, 0], answer.saliency[0]), side)
            panels.append(_titled("the pixels that decided", decided))
        panels.append(_titled(title, _bars(answer.probabilities[0], names, side), BLACK))
    else:
        panels.append(_titled(title, _items(answer, side), BLACK))
    result = _white(HEIGHT + 2 * MARGIN, sum(p.shape[1] + MARGIN for p in panels) + MARGIN)
    left = MARGIN
    for panel in panels:
        _paste(result, panel, MARGIN, left)
        left += panel.shape[1] + MARGIN
    return result


class Cards:
    """Draws cards in threads and saves each in a file of its own, or many on sheets; leaving the block ends that."""

    def __init__(self, free_path, sheets):
        """free_path: a function from a name to a path that is free."""
        self._free_path, self._sheets = free_path, sheets
        self._pool, self._pending = ThreadPoolExecutor(os.cpu_count()), []
        self._tiles, self._path = [], None  # of the sheet that is being filled

    def __enter__(self):
        return self

    def __exit__(self, *error):
        with self._pool:
            self._finish(0)
            self._save_sheet()

    def add(self, name, answer):
        """Draws a classifier.Answer, sooner or later; returns the path where it will be."""
        if self._sheets:
            if len(self._tiles) == SHEET:
                self._save_sheet()
            self._path = self._path or self._free_path("sheet")
            self._tiles.append(self._pool.submit(lambda: _tile(card(answer))))
            self._pending.append(self._tiles[-1])
            path = self._path
        else:
            path = self._free_path(name)
            self._pending.append(self._pool.submit(lambda: _save(card(answer), path)))
        self._finish(WAITING)
        return path

    def _finish(self, left):
        while len(self._pending) > left:
            self._pending.pop(0).result()

    def _save_sheet(self):
        columns = min(COLUMNS, len(self._tiles))
        if columns:
            result = _white(-(-len(self._tiles) // columns) * TILE[1], columns * TILE[0])
            for i, tile in enumerate(self._tiles):
                _paste(result, tile.result(), i // columns * TILE[1], i % columns * TILE[0])
            _save(result, self._path)
        self._tiles, self._path = [], None


def _save(pixels, path):
    """Saves a picture, or leaves no part of it. Raises UserError if that cannot be done."""
    with writing(path):
        try:
            path.write_bytes(cv2.imencode(".png", pixels, QUICK_PNG)[1])
        except OSError:
            path.unlink(missing_ok=True)
            raise


def _white(height, width):
    return np.full([height, width, 3], 255, np.uint8)


def _paste(canvas, pixels, top, left):
    """Puts pixels on a canvas; what does not fit is cut off at the right and below."""
    part = canvas[max(0, top) :, max(0, left) :][: pixels.shape[0], : pixels.shape[1]]
    part[:] = pixels[: part.shape[0], : part.shape[1]]


def _titled(text, panel, color=GREY):
    title = _rendered(text, 17, color)
    result = _white(HEIGHT, max(panel.shape[1], title.shape[1]))
    _paste(result, title, 6, 0)
    _paste(result, panel, TITLE, 0)
    return result


@functools.lru_cache(300)  # most words are on each card, and take long to draw
def _rendered(text, size, color):
    """A text on white, as high as its font: pixels, not to be changed. size: of the font, pixels."""
    font, text = fonts.drawn(text, size)
    width = math.ceil(font.getlength(text)) + 2  # pixels: a letter may stand out by one on each side
    image = Image.new("RGB", (width, sum(font.getmetrics())), "white")
    ImageDraw.Draw(image).text((1, 0), text, color, font)
    return np.asarray(image)[..., ::-1]


def _bgr(color):
    return ImageColor.getrgb(color)[::-1]


def _picture(image, size):
    """A Pillow image, as large as fits a size, (width, height)."""
    scale, wanted = _fitting(image.size, size)
    smaller = np.asarray(image.reduce(max(1, int(1 / scale))))
    return cv2.resize(smaller, wanted)[..., ::-1]


def _tile(pixels):
    """A card for a sheet."""
    return cv2.resize(pixels, _fitting(pixels.shape[1::-1], TILE)[1], interpolation=cv2.INTER_AREA)


def _fitting(size, largest):
    """By how much a size is multiplied to fit the largest, and that: both are (width, height)."""
    scale = min(largest[0] / size[0], largest[1] / size[1])
    return scale, [max(1, round(each * scale)) for each in size]


def _framed(pixels, side):
    """uint8 [height, width, channels], grey or RGB, as square pixels, with a thin frame."""
    result = cv2.resize(pixels[..., ::-1], (side, side), interpolation=cv2.INTER_NEAREST)
    result = result if result.ndim == 3 else cv2.cvtColor(result, cv2.COLOR_GRAY2BGR)
    return cv2.rectangle(result, (0, 0), (side - 1, side - 1), _bgr("lightgrey"))


def tiled(views):
    """Images in a square grid, with white lines between them: uint8 [height, width, channels]."""
    columns = math.ceil(math.sqrt(len(views)))
    rows = -(-len(views) // columns)
    gap = int(len(views) > 1)
    height, width, channels = views.shape[1] + gap, views.shape[2] + gap, views.shape[3]
    tiles = np.full([rows * columns, height, width, channels], 255, np.uint8)
    tiles[: len(views), : height - gap, : width - gap] = views
    tiles = tiles.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return tiles.reshape(rows * height, columns * width, channels)


def overlay(view, saliency):
    """An image, pale, with orange where it decided: uint8 [height, width, 3]."""
    grey = view.mean(axis=-1, keepdims=True) * 0.5 + 60
    orange = np.array([255, 120, 20])
    return (grey + (orange - grey) * saliency[..., None]).clip(0, 255).astype(np.uint8)


def _bars(probabilities, class_names, side):
    """A bar for each class, the ten most probable ones where there are more."""
    shown = sorted(np.argsort(-probabilities, kind="stable")[:MOST_BARS])
    step = side / len(shown)
    labels = [_rendered(fonts.short(class_names[c], LONGEST_NAME), 15, BLACK) for c in shown]
    left = 12 + max(label.shape[1] for label in labels)
    full = 200  # pixels, of a bar of 100 %
    result = _white(side, left + full + 70)
    for row, (c, label) in enumerate(zip(shown, labels, strict=True)):
        middle, width = (row + 0.5) * step, max(2, round(full * float(probabilities[c])))
        _paste(result, label, round(middle - label.shape[0] / 2), left - 8 - label.shape[1])
        color = ORANGE if c == probabilities.argmax() else BLUE
        result[round(middle - step * 0.36) : round(middle + step * 0.36), left : left + width] = _bgr(color)
        if probabilities[c] >= 0.001:
            share = _rendered(f"{probabilities[c]:.1%}", 15, BLACK)
            _paste(result, share, round(middle - share.shape[0] / 2), left + width + 6)
    return result


def _items(answer, side):
    """Each thing that was found, with what it was taken for below it."""
    tile = min((side - 64) // 2, max(40, 1100 // len(answer.views)))
    result = _white(side, tile * len(answer.views))
    for i, (view, probabilities) in enumerate(zip(answer.views[:, 0], answer.probabilities, strict=True)):
        column = result[:, i * tile : (i + 1) * tile]
        _paste(column, _framed(view, tile - 6), 0, 0)
        if answer.saliency is not None:
            _paste(column, _framed(overlay(view, answer.saliency[i]), tile - 6), tile, 0)
        name = _rendered(answer.class_names[probabilities.argmax()], 28, BLACK)
        share = _rendered(f"{probabilities.max():.0%}", 14, GREY)
        for text, middle in (name, 2 * tile + 20), (share, 2 * tile + 50):
            _paste(column, text, middle - text.shape[0] // 2, (tile - text.shape[1]) // 2)
    return result
