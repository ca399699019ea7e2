"""Where the ink is in a picture of writing: on real paper, in real light."""

from common.errors import UserError

import numpy as np
from PIL import Image
from scipy import ndimage

LARGEST, SMALLEST = 280, 200  # pixels, of the longer side to work at: enough for any pen, whatever the camera
LEAST_CONTRAST, NOISE = 12, 8  # of ink to paper: so many of 255, and so many times the paper's own differences
COARSE = 4  # pixels that are one where the paper is looked for
WIDEST_STROKE = 0.3  # of the shorter side: what is wider is paper or shadow
WIDEST_LINE = 0.04  # of the shorter side: a line of ruled paper, and its blur
PARTS = 24  # of a line of ruled paper: it is there in most of them


def find_ink(image, largest=LARGEST):
    """How much of each pixel is ink, float32 [height, width], 0 (paper) to 1 (the darkest ink).

    image: Pillow image, RGB. largest: pixels of the longer side to work at. Raises UserError if nothing stands out from
    the paper.
    """
    longer = max(image.size)
    scale = largest / longer if longer > largest else max(1, SMALLEST / longer)
    size = [max(1, round(side * scale)) for side in image.size]
    pixels = np.asarray(image.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC), np.float32)
    grey = dark_on_light(pixels.mean(axis=-1))
    ink = paper(grey) - ndimage.gaussian_filter(grey, 0.6)
    noise = np.median(np.abs(ink[::2, ::2]))  # most of a picture is paper; a quarter of its pixels tells enough
    for _ in range(2):  # the lines across, then, with the picture turned, those upright
        ink = (ink - ruling(ink)).T
    if np.percentile(ink, 99.95) < LEAST_CONTRAST + NOISE * noise:
        raise UserError("shows no digit: nothing stands out from its background, or it is too small")
    return (ink / np.percentile(ink[ink > 0.3 * ink.max()], 60)).clip(0, 1)


def dark_on_light(grey):
    """Inverts chalk on a board, where what differs from the border is lighter. grey: float32 [height, width]."""
    border = np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]))
    darker, lighter = (border - grey).clip(0), (grey - border).clip(0)
    chalk = np.percentile(lighter, 99.9) > 1.2 * np.percentile(darker, 99.9)
    return 255 - grey if chalk else grey


def paper(grey):
    """The paper behind dark strokes, in uneven light: what is left when they are closed, and it changes slowly."""
    size = [max(1, side // COARSE) for side in grey.shape]
    coarse = np.asarray(Image.fromarray(grey).resize(size[::-1], Image.Resampling.BOX))
    reach = max(1, int(min(size) * WIDEST_STROKE / 2))
    wide = np.pad(coarse, reach, mode="edge")  # so a table at the border is too wide for a stroke
    closed = ndimage.grey_closing(wide, size=2 * reach + 1)[reach:-reach, reach:-reach]
    smooth = ndimage.gaussian_filter(closed, 1, mode="nearest")
    return np.asarray(Image.fromarray(smooth.astype(np.float32)).resize(grey.shape[::-1], Image.Resampling.BICUBIC))


def ruling(ink):
    """The lines of ruled paper: what is thin and runs straight across the picture, float32 [height, width]."""
    height, width = ink.shape
    starts = np.linspace(0, width, min(width, PARTS), endpoint=False).astype(int)
    sizes = np.diff(starts, append=width)
    means = np.add.reduceat(ink, starts, axis=1) / sizes
    means = ndimage.maximum_filter1d(means, 3, axis=0)  # a line may be a pixel off the slopes that are tried
    slopes = np.linspace(-0.12, 0.12, 17)
    rows = np.arange(height)[:, None] + np.round(slopes[:, None, None] * (starts + sizes / 2 - width / 2)).astype(int)
    along = means[rows.clip(0, height - 1), np.arange(len(starts))]  # [slopes, height, parts]
    few = len(starts) * 2 // 5  # parts without the line
    levels = np.partition(along, few, axis=-1)[..., few].clip(0)
    best = (levels**2).sum(axis=1).argmax()
    # In a picture with little margin a digit's stroke may run across: it is wider, and stays.
    lines = levels[best] - ndimage.grey_opening(levels[best], max(3, int(min(ink.shape) * WIDEST_LINE)))
    rows = np.round(np.arange(height)[:, None] - slopes[best] * (np.arange(width) - width / 2)).astype(int)
    return lines[rows.clip(0, height - 1)]
