"""Reading the pictures that users bring."""

import struct
import warnings
from pathlib import Path

from common.command_line import UserError

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 100_000_000  # a larger one is refused: it would take gigabytes


def read(path):
    """Reads a picture upright and in colour: a Pillow image of mode RGB, transparent parts on white.

    Turned as its EXIF data says; 16-bit greys scaled to 8 bits. Raises UserError, which names the path, for a file that
    is missing, not a picture, damaged or too large.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata and large pictures
            with Image.open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise UserError(f"{path} has {image.width}×{image.height} pixels, more than {MAX_PIXELS:,}")
                image.load()
                return _rgb(ImageOps.exif_transpose(image))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, not a picture") from None
    except UnidentifiedImageError:
        raise UserError(f"{path} is not a picture that can be read (PNG, JPEG, WebP, GIF, BMP, TIFF …)") from None
    except (OSError, EOFError, ValueError, TypeError, SyntaxError, struct.error, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None


def _rgb(image):
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = np.asarray(image).astype(np.float64)
        return Image.fromarray((grey / 257).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
