"""Reading the pictures that users bring."""

import glob
import os
import struct
import warnings
from pathlib import Path

from common.errors import UserError

import numpy as np
import pillow_heif
from PIL import Image, ImageOps, UnidentifiedImageError

pillow_heif.register_heif_opener()
warnings.filterwarnings("ignore", module="PIL")  # about odd metadata and large pictures
FORMATS = ("PNG", "JPEG", "HEIF", "AVIF", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # not EPS: that is a program
ENDINGS = {ending for ending, name in Image.registered_extensions().items() if name in FORMATS}
# What Pillow and its plugins raise for a damaged file.
UNREADABLE = (
    OSError, EOFError, ValueError, TypeError, SyntaxError, RuntimeError, struct.error,
)  # fmt: skip
MAX_PIXELS = 120_000_000  # phones have up to 108 million; more would take gigabytes
Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit, whose message says less
DECODED_SIZE = (1200, 1200)  # pixels: a JPEG need not be decoded much larger


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

    Turned as its EXIF data says; 16-bit greys scaled to 8 bits; of an animation the first frame. source: a path, or a
    binary file, whose name in errors is then `name`. Raises UserError for a file that is missing, not a picture,
    damaged or too large.
    """
    name = name or source
    try:
        with Image.open(source, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UserError(f"{name} has {image.width}×{image.height} pixels, more than {MAX_PIXELS:,}")
            image.draft("RGB", DECODED_SIZE)  # a large JPEG is decoded at a half, a quarter or an eighth
            image.load()
            upright = ImageOps.exif_transpose(image)
    except FileNotFoundError:
        raise UserError(f"{name} {'matches nothing' if glob.has_magic(str(name)) else 'does not exist'}") from None
    except IsADirectoryError:
        raise UserError(f"{name} is a folder without pictures") from None
    except UnidentifiedImageError:
        raise UserError(f"{name} is not a picture that can be read (PNG, JPEG, HEIC, WebP, GIF, TIFF …)") from None
    except UNREADABLE as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise UserError(f"{name} cannot be read: {reason}") from None
    return _rgb(upright)


def _rgb(image):
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = np.asarray(image).astype(np.float64)
        return Image.fromarray((grey / 257).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
