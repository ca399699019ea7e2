"""Reading the pictures that users bring."""

import contextlib
import glob
import math
import os
import struct
import threading
import warnings
from pathlib import Path

from common.errors import UserError

import numpy as np
import pillow_heif
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

pillow_heif.register_heif_opener()
warnings.filterwarnings("ignore", module="PIL")  # about odd metadata and large pictures
FORMATS = ("PNG", "JPEG", "HEIF", "AVIF", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # not EPS: that is a program
ENDINGS = {ending for ending, name in Image.registered_extensions().items() if name in FORMATS}
# What Pillow and its plugins raise for a damaged file.
UNREADABLE = (
    OSError, EOFError, ValueError, TypeError, SyntaxError, RuntimeError, struct.error,
)  # fmt: skip
MAX_PIXELS = 50_000_000  # that are decoded: an iPhone's HEIC has 48 million; more would take a gigabyte
MAX_JPEG_PIXELS = 120_000_000  # Android phones have up to 108 million; a JPEG is decoded smaller
Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit, whose message says less
ENOUGH = 1200  # pixels of the shorter side: no picture need be much larger
STRIP = 2**20  # pixels that are converted at a time
LARGE = 4 * STRIP  # pixels: such pictures are read one after the other, as the memory would not do for all at once
WHITES = (1, 255)  # of greys of 32 bits: the format does not say it; else the lightest value is white
ORIENTATION = ExifTags.Base.Orientation
_one_large = threading.Lock()


def expand(patterns, output_dir=None):
    """The pictures that files, folders and globs name: a list of paths, each once, those of a folder sorted.

    A folder gives the files in it and below it whose ending is a picture's, but not those below it in output_dir.
    """
    own = output_dir and Path(output_dir).resolve()
    paths = []
    for pattern in map(str, patterns):
        path = Path(pattern)
        if os.path.isdir(path):  # noqa: PTH112 (Path.is_dir() raises where it may not look)
            below = _below(path)
            paths += [p for p in below if own == path.resolve() or own not in p.resolve().parents] or [path]
        elif os.path.exists(path) or not glob.has_magic(pattern):  # noqa: PTH110 (as above)
            paths.append(path)  # one that is not there is told where it is read
        else:  # a shell that leaves globs to the program, or quotes
            paths += sorted(map(Path, glob.glob(pattern, recursive=True))) or [path]  # noqa: PTH207 (absolute patterns too)
    return list(dict.fromkeys(paths))


def _below(folder):
    """The pictures in a folder and below it, sorted, and the folders that may not be read: told where they are read."""
    paths = []
    for place, _, names in os.walk(folder, onerror=lambda error: paths.append(Path(error.filename))):
        paths.extend(Path(place, name) for name in names if Path(name).suffix.lower() in ENDINGS)
    return sorted(paths)


def read(source, name=None):
    """Reads a picture upright and in colour: a Pillow image of mode RGB, transparent parts on white.

    Turned as its EXIF data says; greys of 16 and 32 bits scaled to 8 bits; of an animation the first frame. Large
    pictures are reduced, to a shorter side of ENOUGH pixels or more unless they are very long. source: a path, or a
    binary file, whose name in errors is then `name`. Raises UserError for a file that is missing, not a picture,
    damaged or too large.
    """
    with contextlib.ExitStack() as alone:
        image, orientation = _decoded(source, source if name is None else name, alone)
        small = _small_rgb(image)
    small.getexif()[ORIENTATION] = orientation
    return ImageOps.exif_transpose(small)


def _decoded(source, name, alone):
    """The Pillow image as its file has it, and its EXIF orientation.

    alone: an ExitStack; a large picture is the only one until that ends.
    """
    if isinstance(source, str | os.PathLike) and os.path.exists(source) and not os.path.isfile(source):  # noqa: PTH110, PTH113
        raise UserError(f"{name} is {'a folder without pictures' if os.path.isdir(source) else 'not a file'}")  # noqa: PTH112
    try:
        with Image.open(source, formats=FORMATS) as image:
            size = image.size
            image.draft("RGB", (ENOUGH, ENOUGH))  # a large JPEG is decoded at a half, a quarter or an eighth
            if size[0] * size[1] > MAX_JPEG_PIXELS or image.width * image.height > MAX_PIXELS:
                most = MAX_PIXELS if image.size == size else MAX_JPEG_PIXELS
                raise UserError(f"{name} has {size[0]}×{size[1]} pixels, more than {most:,}")
            if image.width * image.height > LARGE:
                alone.enter_context(_one_large)
            image.load()
            return image, image.getexif().get(ORIENTATION, 1)
    except FileNotFoundError:
        raise UserError(f"{name} {'matches nothing' if glob.has_magic(str(name)) else 'does not exist'}") from None
    except UnidentifiedImageError:
        raise UserError(f"{name} is not a picture that can be read (PNG, JPEG, HEIC, WebP, GIF, TIFF …)") from None
    except UNREADABLE as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise UserError(f"{name} cannot be read: {reason}") from None


def _small_rgb(image):
    """A picture in RGB, reduced as read() says; strip by strip, as all of it would take several times the memory."""
    factor = max(1, min(image.size) // ENOUGH, math.isqrt(image.width * image.height // LARGE))
    small = Image.new("RGB", [-(-side // factor) for side in image.size])
    scale = _grey_scale(image) if image.mode in ("I", "F") and image.format != "PPM" else (0, 257)  # of 16 bits
    for top, strip in _strips(image, factor):
        small.paste(_rgb(strip, *scale).reduce(factor), (0, top // factor))
    return small


def _strips(image, factor=1):
    """Yields (first row, strip) of a picture; each but the last has a multiple of `factor` rows."""
    rows = factor * max(1, STRIP // image.width // factor)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _grey_scale(image):
    """What is black in a picture of 32-bit greys, 0 or less, and how much of it is one of 255."""
    low, high = 0.0, 0.0
    for _, strip in _strips(image):
        values = np.asarray(strip)
        values = values[np.isfinite(values)]
        low, high = min(low, values.min(initial=0)), max(high, values.max(initial=0))
    white = next((white for white in WHITES if low >= 0 and high <= white), high)
    return low, max(white - low, 1e-30) / 255


def _rgb(image, black, step):
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        grey = (np.asarray(image).astype(np.float32) - black) / step
        return Image.fromarray(np.nan_to_num(grey).clip(0, 255).round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
