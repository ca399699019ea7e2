"""Where the ink is in a picture of writing: on real paper, in real light."""

import math

from common.errors import UserError

import cv2
import numpy as np
from PIL import Image

LARGEST, SMALLEST = 240, 200  # pixels, of the longer side to work at: enough for any pen
LEAST_CONTRAST, NOISE = 12, 8  # of ink to paper: so many of 255, and so many times the paper's own differences
COARSE = 4  # pixels that are one where the paper is looked for
NARROW = 0.7  # a picture that is narrower than so many times its height is cut close to a slim digit
WIDEST_STROKE = 0.3  # of the shorter side: what is wider is paper or shadow
WIDEST_LINE = 0.05  # of the shorter side: a line of ruled paper, and its blur
PARTS, LACKING = 24, 0.3  # of a line of ruled paper: all but so many of its parts are there
FEW, PALE = 3, 0.6  # lines of ruled paper are at least so many, or paler than so much of the writing
FULL = 0.88  # of a rectangle: a scrap of paper is one, a stroke hardly ever
CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))  # a pixel, and those beside, above and below it
cv2.setNumThreads(1)  # pictures are read in threads already


def find_ink(image, largest=LARGEST):
    """How much of each pixel is ink, a list of float32 [height, width], 0 (paper) to 1 (the darkest); and the image.

    That is the given one, or the scrap of paper alone that the writing is on, where there is one. The first array is
    without the lines of ruled paper. A second has them, where they may be strokes, as far as can be told from here.
    image: Pillow image, RGB. largest: pixels of the longer side to work at. Raises UserError if nothing stands out from
    the paper.
    """
    grey = grey_of(image, LARGEST)
    smooth, ink, noise = ink_and_noise(grey)
    scrap = scrap_of_paper(smooth, ink, noise)
    if scrap is not None:
        image = _cut_out(image, scrap, grey)
    if scrap is not None or largest != LARGEST:
        _, ink, noise = ink_and_noise(grey_of(image, largest))
    least = LEAST_CONTRAST + NOISE * noise
    widest = max(3, int(WIDEST_LINE * _shorter(ink.shape)) | 1)  # odd, as a window with a middle is
    across, *is_ruled = ruling(ink, widest)
    upright, *is_squared = ruling((ink - across).T, widest)
    without = ink - across - upright.T
    doubtful = any(several != paler for several, paler in (is_ruled, is_squared))
    visible = [one for one in ([without, ink] if doubtful else [without]) if (one >= least).mean() > 0.0005]
    if not visible or visible[0] is ink and (is_ruled[0] or is_squared[0]):  # the latter is a blank sheet
        raise UserError("shows no ink: nothing stands out from its background, or it is too small")
    return [(one / np.percentile(one[one > 0.3 * one.max()], 60)).clip(0, 1) for one in visible], image


def grey_of(image, largest):
    """The grey of a picture, its longer side from SMALLEST to `largest` pixels: float32 [height, width], 0 to 255."""
    longer = max(image.size)
    scale = largest / longer if longer > largest else max(1, SMALLEST / longer)
    size = [max(1, round(side * scale)) for side in image.size]
    grey = np.asarray(image.reduce(max(1, int(1 / scale))).convert("L"), np.float32)
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC).clip(0, 255)


def ink_and_noise(grey):
    """The grey, smoothed and dark on light; how much darker than its paper it is; and the noise of the paper.

    The first two are float32 [height, width]. For the noise a quarter of the pixels is enough; a third is paper.
    """
    grey = dark_on_light(grey)
    smooth = cv2.GaussianBlur(grey, (5, 5), 0.6, borderType=cv2.BORDER_REFLECT)
    ink = paper(grey) - smooth
    return smooth, ink, 1.4 * np.percentile(np.abs(ink[::2, ::2]), 30)


def dark_on_light(grey):
    """Inverts chalk on a board, where what differs from the border is lighter. grey: float32 [height, width]."""
    ground = np.median(border(grey))
    darkest, lightest = np.percentile(grey[::2, ::2], [0.1, 99.9])
    return 255 - grey if lightest - ground > 1.2 * (ground - darkest) else grey


def paper(grey):
    """The paper behind dark strokes, in uneven light: what is left when they are closed, and it changes slowly."""
    size = [max(1, side // COARSE) for side in grey.shape]
    coarse = cv2.resize(grey, size[::-1], interpolation=cv2.INTER_AREA)
    reach = max(1, int(_shorter(size) * WIDEST_STROKE / 2))
    window = np.ones([2 * reach + 1, 2 * reach + 1], np.uint8)
    # What is at the border goes on beyond it, so that a table is too wide for a stroke; but for what reaches no corner.
    closed, mirrored = (
        cv2.morphologyEx(np.pad(coarse, reach, mode=mode), cv2.MORPH_CLOSE, window)[reach:-reach, reach:-reach]
        for mode in ("edge", "symmetric")
    )
    _, labels = cv2.connectedComponents(np.uint8(mirrored - closed > LEAST_CONTRAST), connectivity=4)
    strokes = (labels > 0) & ~np.isin(labels, labels[[0, 0, -1, -1], [0, -1, 0, -1]])
    smooth = cv2.GaussianBlur(np.where(strokes, mirrored, closed), (9, 9), 1, borderType=cv2.BORDER_REPLICATE)
    return cv2.resize(smooth, grey.shape[::-1], interpolation=cv2.INTER_CUBIC)


def _shorter(size):
    """The shorter side of a picture [height, width], if it were not cut close to a slim digit."""
    return max(min(size), NARROW * size[0])


def ruling(ink, widest):
    """The lines of ruled paper: what is thin and runs straight across the picture.

    In a picture with little margin a stroke may do so, too. Ruled paper has several lines, and paler ink than the
    writing. ink: float32 [height, width]. widest: pixels of a line and its blur. Returns the lines, float32
    [height, width], 0 where neither is the case; whether there are several; and whether they are paler.
    """
    height, width = ink.shape
    starts = np.linspace(0, width, min(width, PARTS), endpoint=False).astype(int)
    sizes = np.diff(starts, append=width).astype(np.float32)
    parts = np.arange(len(starts))
    # A line may be a pixel off the slopes that are tried.
    means = _highest(np.add.reduceat(ink, starts, axis=1) / sizes, 3)
    slopes, lacking = np.linspace(-0.12, 0.12, 17), int(len(starts) * LACKING)
    reach = math.ceil(slopes[-1] * width / 2)  # rows
    most = _highest(means, 2 * reach + 1)
    if np.partition(most, lacking)[:, lacking].max() < LEAST_CONTRAST / 2:  # at once, as most pictures have no lines
        return np.zeros_like(ink), False, False
    darkest = _highest(np.maximum.reduceat(ink, starts, axis=1), 3)
    rows = np.arange(height)[:, None] + np.round(slopes[:, None, None] * (starts + sizes / 2 - width / 2)).astype(int)
    rows = rows.clip(0, height - 1)  # [slopes, height, parts]
    levels = np.partition(means[rows, parts], lacking, axis=-1)[..., lacking].clip(0)
    best = (levels**2).sum(axis=1).argmax()
    # A thick stroke that runs across is wider, and stays.
    opened = cv2.morphologyEx(levels[best][:, None], cv2.MORPH_OPEN, np.ones([widest, 1], np.uint8))
    lines = levels[best] - opened[:, 0]
    dark, _ = cv2.connectedComponents(np.uint8(lines > lines.max() / 2)[:, None])
    several = dark - 1 >= FEW  # what is between the lines is counted, too
    paler = np.median(darkest[rows[best, lines.argmax()], parts]) < PALE * np.percentile(ink[::2, ::2], 99.9)
    if lines.max() < LEAST_CONTRAST / 2 or not (several or paler):
        return np.zeros_like(ink), False, False
    rows = np.round(np.arange(height)[:, None] - slopes[best] * (np.arange(width) - width / 2)).astype(int)
    return lines[rows.clip(0, height - 1)], several, paler


def scrap_of_paper(smooth, ink, noise):
    """The scrap of paper that the writing is on, where it lies on something darker or lighter: bool [height, width].

    A scrap fills a rectangle, is of one shade, and has something on it. smooth, ink, noise: of ink_and_noise(). None if
    there is no scrap.
    """
    mask = np.uint8(ink > max(LEAST_CONTRAST / 2, NOISE / 2 * noise))
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)  # with the holes filled
    if not outlines:
        return None
    outline = max(outlines, key=cv2.contourArea)
    if cv2.contourArea(outline) < FULL * math.prod(cv2.minAreaRect(outline)[1]):
        return None
    scrap = cv2.drawContours(np.zeros_like(mask), [outline], -1, 1, cv2.FILLED).view(bool)
    if border(scrap).mean() > 0.3:
        return None
    inside = eroded(scrap, 4)
    around = _dilated(scrap, 5) & ~_dilated(scrap, 2)
    if np.count_nonzero(inside) < 100 or not around.any():  # pixels
        return None
    shade, darkest, lightest = np.percentile(smooth[inside], [50, 0.5, 99.5])
    darker = np.median(smooth[around]) - shade  # than what it lies on; a light scrap was inverted
    contrast = max(shade - darkest, lightest - shade)
    return scrap if darker >= LEAST_CONTRAST and contrast >= LEAST_CONTRAST + 0.3 * darker else None


def _cut_out(image, scrap, grey):
    """The scrap without its edge, on a plain ground of its own shade: a Pillow image."""
    kept = Image.fromarray(eroded(scrap, 2)).resize(image.size)
    shade = round(np.median(grey[eroded(scrap, 4)]))
    plain = Image.new("RGB", image.size, (shade,) * 3)
    return Image.composite(image, plain, kept).crop(kept.getbbox())


def border(values):
    """The values at the border of an array [height, width], one after the other; corners twice."""
    return np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])


def eroded(mask, pixels):
    """A mask, bool [height, width], without what is at its edge, and at that of the picture."""
    return cv2.erode(np.uint8(mask), CROSS, iterations=pixels, borderValue=0, borderType=cv2.BORDER_CONSTANT).view(bool)


def _dilated(mask, pixels):
    return cv2.dilate(np.uint8(mask), CROSS, iterations=pixels).view(bool)


def _highest(values, rows):
    """The highest of so many rows around each one, float [height, width]."""
    return cv2.dilate(values, np.ones([rows, 1], np.uint8))
