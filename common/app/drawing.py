"""What an app saw and said, as a picture. Drawn with Pillow: matplotlib would take ten times as long for each."""

import functools
import math
import os
from concurrent.futures import ThreadPoolExecutor

from common import fonts
from common.errors import writing

import cv2
import numpy as np
from PIL import Image, ImageDraw

HEIGHT, MARGIN, TITLE = 280, 20, 36  # pixels
BLUE, ORANGE, GREY, BLACK = "#1f77b4", "#e07020", "#9aa0a6", "#202124"
MOST_BARS = 10
LONGEST_NAME, LONGEST_TITLE = 30, 60  # characters
COLUMNS, TILE = 2, (900, 280)  # of a sheet; pixels
SHEET = 100  # cards
QUICK_PNG = [  # one filter instead of a try of five, and runs of bytes alone
    cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP,
    cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE,
]  # fmt: skip
WAITING = 20  # cards that wait to be drawn: bounds the memory


def card(answer):
    """A classifier.Answer as a Pillow image: the picture, what the network sees, how probable each class is.

    And which pixels decided, if that is known.
    """
    side = HEIGHT - TITLE
    views, names, title = answer.views, answer.class_names, fonts.short(f"answer: {answer}", LONGEST_TITLE)
    panels = [_titled("the picture", _fitted(answer.picture, (int(side * 1.3), side)))]
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
    result = Image.new("RGB", (sum(p.width + MARGIN for p in panels) + MARGIN, HEIGHT + 2 * MARGIN), "white")
    left = MARGIN
    for panel in panels:
        result.paste(panel, (left, MARGIN))
        left += panel.width + MARGIN
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
            self._tiles.append(self._pool.submit(lambda: _fitted(card(answer), TILE)))
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
            result = Image.new("RGB", (columns * TILE[0], -(-len(self._tiles) // columns) * TILE[1]), "white")
            for i, tile in enumerate(self._tiles):
                result.paste(tile.result(), (i % columns * TILE[0], i // columns * TILE[1]))
            _save(result, self._path)
        self._tiles, self._path = [], None


def _save(image, path):
    """Saves a picture, or leaves no part of it. Raises UserError if that cannot be done."""
    with writing(path):
        try:
            pixels = cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR)
            path.write_bytes(cv2.imencode(".png", pixels, QUICK_PNG)[1])
        except OSError:
            path.unlink(missing_ok=True)
            raise


def _titled(text, panel, color=GREY):
    title = _rendered(text, 17, color)
    result = Image.new("RGB", (max(panel.width, title.width), HEIGHT), "white")
    result.paste(title, (0, 6))
    result.paste(panel, (0, TITLE))
    return result


@functools.lru_cache(300)  # most words are on each card, and take long to draw
def _rendered(text, size, color):
    """A text on white, as high as its font: a Pillow image, not to be changed. size: of the font, pixels."""
    font, text = fonts.drawn(text, size)
    width = math.ceil(font.getlength(text)) + 2  # pixels: a letter may stand out by one on each side
    image = Image.new("RGB", (width, sum(font.getmetrics())), "white")
    ImageDraw.Draw(image).text((1, 0), text, color, font)
    return image


def _fitted(image, size):
    scale = min(size[0] / image.width, size[1] / image.height)
    wanted = [max(1, round(side * scale)) for side in image.size]
    return image.resize(wanted, Image.Resampling.BILINEAR, reducing_gap=1.0)


def _framed(pixels, side):
    """uint8 [height, width, channels] as square pixels, with a thin frame."""
    image = Image.fromarray(pixels.squeeze()).convert("RGB").resize((side, side), Image.Resampling.NEAREST)
    ImageDraw.Draw(image).rectangle([0, 0, side - 1, side - 1], outline="lightgrey")
    return image


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
    left = 12 + max(label.width for label in labels)
    full = 200  # pixels, of a bar of 100 %
    image = Image.new("RGB", (left + full + 70, side), "white")
    draw = ImageDraw.Draw(image)
    for row, (c, label) in enumerate(zip(shown, labels, strict=True)):
        middle, end = (row + 0.5) * step, left + full * float(probabilities[c])
        image.paste(label, (left - 8 - label.width, round(middle - label.height / 2)))
        color = ORANGE if c == probabilities.argmax() else BLUE
        draw.rectangle([left, middle - step * 0.36, max(end, left + 1), middle + step * 0.36], color)
        if probabilities[c] >= 0.001:
            share = _rendered(f"{probabilities[c]:.1%}", 15, BLACK)
            image.paste(share, (round(end + 6), round(middle - share.height / 2)))
    return image


def _items(answer, side):
    """Each thing that was found, with what it was taken for below it."""
    tile = min((side - 64) // 2, max(40, 1100 // len(answer.views)))
    image = Image.new("RGB", (tile * len(answer.views), side), "white")
    draw = ImageDraw.Draw(image)
    for i, (view, probabilities) in enumerate(zip(answer.views[:, 0], answer.probabilities, strict=True)):
        image.paste(_framed(view, tile - 6), (i * tile, 0))
        if answer.saliency is not None:
            image.paste(_framed(overlay(view, answer.saliency[i]), tile - 6), (i * tile, tile))
        font, text = fonts.drawn(answer.class_names[probabilities.argmax()], 28)
        share, middle = f"{probabilities.max():.0%}", i * tile + tile / 2
        draw.text((middle, 2 * tile + 20), text, BLACK, font, anchor="mm")
        draw.text((middle, 2 * tile + 44), share, GREY, fonts.drawn(share, 14)[0], anchor="mt")
    return image
