"""From a picture that somebody brings to the 28×28 pixels that the network knows.

MNIST's makers took grey scans of digits, fitted each into 20×20 pixels with its proportions kept, and centred it by
mass in 28×28. What comes before that here is for real paper, pens and cameras.
"""

import contextlib
import itertools

from common.errors import UserError
from mnist.ink import border, eroded, find_ink

import cv2
import numpy as np
from PIL import Image

IMAGE_SIZE, DIGIT_SIZE = 28, 20  # pixels: MNIST's images, and the square in them that a digit fits
STROKE_WIDTH = 2.7  # pixels, of MNIST's digits: the median of its training images, measured as with_stroke_width() does
LARGEST_NUMBER = 1200  # pixels, of the longer side of a picture of several digits, to work at
SMALL = 28  # of find_ink()'s pixels: a digit that is no larger is looked at again
AROUND = 4  # times its size: the part of the picture that is looked at then
SURE, POSSIBLE = 0.55, 0.3  # ink: a stroke has a pixel that is surely ink, and the possible ones around it
SPECK = 0.03  # of the largest stroke's area: what is smaller is dirt
NEAR = 0.25  # of a digit's size: what is farther from it is not of it
TALL = 0.45  # of the tallest digit's height: what is lower is a dash, a dot or a comma
MUCH = 0.2  # of the digits' median ink: what has less is a colon or dirt
MOST_DIGITS = 30  # of a number
WIDEST = 2.2  # times its height: no digit is wider
WIDE = 1.25  # of the digits' median height: what is wider is digits that touch


def reader(reading, size):
    """How a picture becomes an input: a function of a Pillow image, by the name in run.json. size: 28, as all here."""
    return READERS.get(reading, digit)


def numbers(reading, size):
    """The same for pictures of several digits. Raises UserError for a network that does not read ink."""
    if READERS.get(reading) is plain:
        raise UserError("--segment looks for ink on paper, and this network was trained on whole pictures, --as plain")
    return digits


def digit(image):
    """The digit in a picture, white on black, fit to 20×20, centred by mass in 28×28: uint8 [1, views, 28, 28, 1].

    That is one item. Where lines of ruled paper were taken away, a second view has them, as they may be strokes.
    image: Pillow image, RGB. Raises UserError if there is no ink, or too wide.
    """

    def read(mask):
        mask = cropped(mask)
        if mask.shape[1] > WIDEST * mask.shape[0]:
            raise UserError("shows something too wide for a digit; with --segment numbers are read")
        return [mask]

    return _of_one(image, read)


def symbol(image):
    """What is drawn in a picture, as digit() gives it, whatever its width."""
    return _of_one(image, lambda mask: [cropped(mask)])


def plain(image):
    """The whole picture in grey, squeezed to a square: uint8 [1, 1, 28, 28, 1]. image: Pillow image, RGB."""
    grey = image.convert("L").resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BOX)
    return np.asarray(grey)[np.newaxis, np.newaxis, ..., np.newaxis]


READERS = {"ink": symbol, "plain": plain}  # how pictures of one's own are read


def digits(image):
    """The digits of a written number, from left to right, each as of digit(): uint8 [digits, views, 28, 28, 1]."""
    inks, _ = find_ink(image, LARGEST_NUMBER)
    return _views([strokes(ink, several=True) for ink in inks], separated)


def _views(masks, read):
    """What the network takes of the first of the masks that can be read; and as a second view, what of the next one.

    An empty second view says that the first mask cannot be read, or that the next one has another number of digits.
    masks: of strokes(). read: a function of one that gives the digits, each bool [height, width], or raises UserError.
    """
    readings, errors = [], []
    for mask in masks:
        try:
            readings.append(np.stack([as_mnist(with_stroke_width(one)) for one in read(mask)]))
        except UserError as error:
            readings.append(None)
            errors.append(error)
    read_ones = [one for one in readings if one is not None]
    if not read_ones:
        raise errors[0]
    views = [one if one.shape == read_ones[0].shape else np.zeros_like(read_ones[0]) for one in read_ones]
    if readings[0] is None:
        views.append(np.zeros_like(views[0]))
    return np.stack(views, axis=1)


def _of_one(image, read):
    """What _views() gives of a picture of a single digit: of a small one from nearer, if it can be read there."""
    inks, image = find_ink(image)
    masks = [strokes(ink) for ink in inks]
    part = nearer(image, masks[0])
    if part:
        with contextlib.suppress(UserError):
            return _views([strokes(ink) for ink in find_ink(part)[0]], read)
    return _views(masks, read)


def nearer(image, mask):
    """The part of a picture around a small digit, or None. image: of find_ink(). mask: of strokes()."""
    box = np.reshape(Image.fromarray(mask).getbbox(), [2, 2])  # left, top; right, bottom
    size, scale = (box[1] - box[0]).max(), np.divide(image.size, mask.shape[::-1])  # across and down
    if size > SMALL or scale.max() <= 1:
        return None
    around = scale * (box.mean(axis=0) + np.array([[-0.5], [0.5]]) * AROUND * size)
    return image.crop(around.clip(0, image.size).round().ravel().tolist())


def strokes(ink, several=False):
    """The strokes of a digit, or of several: bool [height, width], without dirt and what is at the border."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(np.uint8(ink > POSSIBLE))
    sure = np.bincount(labels[ink > SURE], minlength=count) > 0
    area = stats[:, cv2.CC_STAT_AREA] * sure
    area[0] = 0  # the paper
    at_border = np.bincount(border(labels), minlength=count)
    if several:  # in a narrow strip a digit may end at the border
        heights = stats[:, cv2.CC_STAT_HEIGHT]
        at_border[(heights > ink.shape[0] / 2) & (at_border < heights / 4)] = 0
    inner = area * (at_border == 0)
    if inner.max() > 0.15 * area.max():  # else the digit itself reaches the border
        area = inner
    if not several:
        area *= of_main(stats, area)
    return (area >= SPECK * area.max())[labels] & (ink > (SURE + POSSIBLE) / 2)


def of_main(stats, area):
    """Which strokes are of the main digit, bool: the largest stroke, and what is near it, or near what is near it.

    stats: of cv2.connectedComponentsWithStats(): a row for the paper, and one for each stroke. area: pixels of each, 0
    of what is no stroke.
    """
    left, top, width, height, _ = stats.T
    right, bottom = left + width, top + height
    main = area.argmax()
    large = area >= SPECK * area[main]
    chosen, more = None, np.arange(len(area)) == main
    while not np.array_equal(chosen, more):
        chosen = more
        box_top, box_left = top[chosen].min(), left[chosen].min()
        box_bottom, box_right = bottom[chosen].max(), right[chosen].max()
        gap = np.max([top - box_bottom, box_top - bottom, left - box_right, box_left - right], axis=0)
        more = large & (gap <= NEAR * max(box_bottom - box_top, box_right - box_left))
    return chosen


def separated(mask):
    """The digits of a number: a list of bool [height, width], each cropped, from left to right.

    Strokes above each other are of one digit. What is too wide for one is cut where there is the least ink. What is too
    low for one, has too little ink, or is wider than four, is left out. Raises UserError if nothing or too much is
    left.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(np.uint8(mask))
    columns = [(left, left + width, i) for i, (left, _, width, *_) in enumerate(stats)]
    groups = []  # [left, right, labels]
    for left, right, i in sorted(columns[1:]):
        if groups and groups[-1][1] - left > 0.5 * min(right - left, groups[-1][1] - groups[-1][0]):
            groups[-1][1] = max(groups[-1][1], right)
            groups[-1][2].append(i)
        else:
            groups.append([left, right, [i]])
    masks = [cropped(np.isin(labels[:, left:right], group)) for left, right, group in groups]
    tallest = max((one.shape[0] for one in masks), default=0)
    masks = [one for one in masks if one.shape[0] > TALL * tallest and one.shape[1] < 5 * one.shape[0]]
    usual_ink = np.median([one.sum() for one in masks]) if masks else 0
    masks = [one for one in masks if one.sum() > MUCH * usual_ink]
    if not 0 < len(masks) <= MOST_DIGITS:
        raise UserError(f"shows no number of up to {MOST_DIGITS} digits: {len(masks)} strokes look like digits")
    usual = np.median([one.shape[0] for one in masks])
    return [part for one in masks for part in _cut(one, usual)]


def _cut(mask, height):
    """A cropped digit as it is, or several that touch, cut apart: a list of bool [height, width]."""
    width = mask.shape[1]
    if width <= WIDE * height:
        return [mask]
    count = max(2, round(width / (0.8 * height)))
    profile = cv2.GaussianBlur(mask.sum(axis=0, dtype=float)[None], (0, 1), 0.03 * height)[0]
    edges = [0]
    for i in range(1, count):
        middle, reach = width * i / count, 0.3 * width / count
        window = np.arange(int(middle - reach), int(middle + reach) + 1)
        edges.append(window[profile[window].argmin()])
    edges.append(width)
    return [mask[:, a:b] for a, b in itertools.pairwise(edges) if mask[:, a:b].any()]


def with_stroke_width(mask):
    """The strokes as wide as MNIST's when the digit fits its square: float32 [height, width], 0 to 1, cropped.

    mask: bool [height, width], cropped.
    """
    scale = DIGIT_SIZE / max(mask.shape)
    mask = np.pad(mask, int(STROKE_WIDTH / 2 / scale) + 2)  # room to grow
    outline = np.count_nonzero(mask & ~eroded(mask, 1))
    width = 2 * np.count_nonzero(mask) / outline  # pixels: a stroke's outline runs along both of its sides
    inside, outside = (cv2.distanceTransform(np.uint8(m), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for m in (mask, ~mask))
    grow = np.float32(STROKE_WIDTH / scale - width) / 2  # on each side
    outside -= inside
    return cropped(((grow - outside) / max(1, 0.5 / scale) + 0.5).clip(0, 1))


def as_mnist(ink):
    """Fits ink [height, width], 0 to 1, into 20×20, and centres it by mass: uint8 [28, 28, 1]."""
    scale = DIGIT_SIZE / max(ink.shape)
    size = [max(1, round(side * scale)) for side in ink.shape]
    small = cv2.resize(ink, size[::-1], interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC).clip(0)
    # The centre of mass falls on pixel 14, as that of MNIST's, as far as the digit then still fits.
    top, left = (
        int(np.clip(round(IMAGE_SIZE / 2 - centre), 0, IMAGE_SIZE - side))
        for centre, side in zip(centre_of_mass(small), small.shape, strict=True)
    )
    canvas = np.zeros([IMAGE_SIZE, IMAGE_SIZE, 1])
    canvas[top : top + size[0], left : left + size[1], 0] = small / small.max() * 255
    return canvas.astype(np.uint8)


def centre_of_mass(ink):
    """Of ink [height, width]: pixels from the top and from the left."""
    return [np.average(np.arange(len(mass)), weights=mass) for mass in (ink.sum(axis=1), ink.sum(axis=0))]


def cropped(ink):
    """The part of [height, width] that has ink."""
    rows, columns = np.flatnonzero((ink > 0.5).any(axis=1)), np.flatnonzero((ink > 0.5).any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
