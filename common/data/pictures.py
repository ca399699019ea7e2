"""Reading the pictures that users bring."""

import contextlib
import glob
import math
import os
import struct
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

from common.errors import UserError

import numpy as np
import pillow_heif
from PIL import ExifTags, Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

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
FEWER_PIXELS = {"WEBP": 18_000_000, "AVIF": 18_000_000, "progressive JPEG": 40_000_000}  # they take more memory each
Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit, whose message says less
Image.core.set_blocks_max(4)  # of 16 MB, that it keeps: to ask the system for them takes as long as decoding
os.environ["JPEGMEM"] = "250M"  # libjpeg's limit: of other JPEGs of many scans, too, it would hold all coefficients
MAX_BYTES, MAX_FIRST_BYTES = 100_000_000, 32_000_000  # of a file; and of what is read to know its size in pixels
SECONDS = 4  # of a processor, to decode: a few bytes can ask for an hour
FEW_BYTES = 1024  # of a progressive JPEG, that are decoded before the seconds are looked at
AVIF_MEMORY = 300_000_000  # bytes
AVIF_DECODER = """
from PIL import AvifImagePlugin, Image
AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # each has memory of its own
if sys.platform != "win32":
    import resource
    resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[1]),) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[2]),) * 2)
sys.stdout.buffer.write(Image.open(io.BytesIO(sys.stdin.buffer.read())).tobytes())
"""
ENOUGH = 1200  # pixels of the shorter side: no picture need be much larger
STRIP = 2**20  # pixels that are converted at a time
LARGE = 4 * STRIP  # pixels: such pictures are read one after the other, as the memory would not do for all at once
WHITES = (1, 255)  # of greys of 32 bits: the format does not say it; else the lightest value is white
ORIENTATION = ExifTags.Base.Orientation
_one_large = threading.Lock()


def expand(patterns, output_dir=None):
    """The pictures that files, folders and globs name: a list of paths, each once, those of a folder sorted.

    A folder gives the files in it and below it whose ending is a picture's, but not hidden ones, nor those below it in
    output_dir. Raises UserError for an empty name, which would be the current folder.
    """
    own = output_dir and Path(output_dir).resolve()
    paths = []
    for pattern in map(str, patterns):
        if not pattern:
            raise UserError("the name of a picture is empty; give a file or a folder, such as .")
        path = Path(pattern)
        if os.path.isdir(path):  # noqa: PTH112 (Path.is_dir() raises where it may not look)
            below = _below(path)
            if own != path.resolve():
                below = [p for p in below if own not in Path(os.path.realpath(p)).parents]  # resolve() fails at a loop
            paths += below or [path]
        elif os.path.exists(path) or not glob.has_magic(pattern):  # noqa: PTH110 (as above)
            paths.append(path)  # one that is not there is told where it is read
        else:  # a shell that leaves globs to the program, or quotes
            matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 (absolute patterns too)
            paths += expand(matches, output_dir) or [path]
    return list(dict.fromkeys(paths))


def _below(folder):
    """The pictures in a folder and below it, sorted, and the folders that may not be read: told where they are read."""
    paths = []
    for place, folders, names in os.walk(folder, onerror=lambda error: paths.append(Path(error.filename))):
        folders[:] = [name for name in folders if not hidden(name)]
        names = [name for name in names if not hidden(name)]
        paths.extend(Path(place, name) for name in names if Path(name).suffix.lower() in ENDINGS)
    return sorted(paths)


def hidden(name):
    """Whether a file or folder in a folder of pictures is none of the user's."""
    return name.startswith(".") or name == "__MACOSX"  # what macOS adds to archives


def read(source, name=None):
    """Reads a picture upright and in colour: a Pillow image of mode RGB, transparent parts on white.

    Turned as its EXIF data says; greys of 12, 16 and 32 bits scaled to 8 bits; of an animation the first frame. Large
    pictures are reduced, to a shorter side of ENOUGH pixels or more unless they are very long. source: a path, or a
    binary file, whose name in errors is then `name`. Raises UserError for a file that is missing, not a picture,
    damaged or too large.
    """
    with contextlib.ExitStack() as alone:
        image, orientation = _decoded(source, source if name is None else name, alone)
        small = _small_rgb(image)
    small.getexif()[ORIENTATION] = orientation
    ImageOps.exif_transpose(small, in_place=True)
    return small


class _Bounded:
    """A binary file that raises UserError where it is read for too long, or too much of it.

    Pillow cannot be stopped otherwise. Without fileno(): where libtiff maps a file that others cut, the program dies.
    """

    def __init__(self, file, name):
        self.seek, self.tell, self.most = file.seek, file.tell, MAX_FIRST_BYTES
        self._file, self._name, self._until, self._bytes = file, name, time.thread_time() + SECONDS, 0

    def read(self, size=-1):
        """So many bytes, or all that follow."""
        if time.thread_time() > self._until:
            raise UserError(f"{self._name} takes more than {SECONDS} seconds to decode; save it anew as a PNG file")
        left = self.most - self._bytes
        data = self._file.read(left + 1 if size < 0 else min(size, left + 1))
        self._bytes += len(data)
        if len(data) > left:
            raise UserError(f"{self._name} holds more than {self.most // 10**6} MB; save it anew as a JPEG file")
        return data


def _decoded(source, name, alone):
    """The Pillow image as its file has it, and its EXIF orientation.

    alone: an ExitStack; a large picture is the only one until that ends.
    """
    is_path = isinstance(source, str | os.PathLike)
    if is_path and os.path.exists(source) and not os.path.isfile(source):  # noqa: PTH110, PTH113
        if not os.access(source, os.R_OK):
            raise UserError(f"{name} cannot be read: permission denied")
        raise UserError(f"{name} is {'a folder without pictures' if os.path.isdir(source) else 'not a file'}")  # noqa: PTH112
    try:
        with (
            Path(source).open("rb") if is_path else contextlib.nullcontext(source) as file,
            Image.open(_Bounded(file, name), formats=FORMATS) as image,
        ):
            size, kind = image.size, image.format
            if "progressive" in image.info:
                kind, image.decodermaxblock = "progressive JPEG", FEW_BYTES
            image.draft("RGB", (ENOUGH, ENOUGH))  # a large JPEG is decoded at a half, a quarter or an eighth
            most = FEWER_PIXELS.get(kind, MAX_PIXELS if image.size == size else MAX_JPEG_PIXELS)
            if math.prod(size) > min(most, MAX_JPEG_PIXELS) or math.prod(image.size) > MAX_PIXELS:
                raise UserError(f"{name} has {size[0]}×{size[1]} pixels, more than {most:,}")
            image.fp.most = MAX_BYTES
            if image.width * image.height > LARGE:
                alone.enter_context(_one_large)
            decoded = _avif(image) if image.format == "AVIF" else image
            decoded.load()
            return decoded, image.getexif().get(ORIENTATION, 1)  # after it: Pillow turns a TIFF itself
    except FileNotFoundError:
        raise UserError(f"{name} {'matches nothing' if glob.has_magic(str(name)) else 'does not exist'}") from None
    except UnidentifiedImageError:
        raise UserError(f"{name} is not a picture that can be read (PNG, JPEG, HEIC, WebP, GIF, TIFF …)") from None
    except subprocess.SubprocessError:
        raise UserError(f"{name} is damaged, larger than it says, or too slow to decode; save it anew as PNG") from None
    except UNREADABLE as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise UserError(f"{name} cannot be read: {reason}") from None


def _avif(image):
    """An opened AVIF image, decoded by another process: it may be larger than it says, and ask for hours."""
    image.fp.seek(0)
    decoder = f"import io, sys\nsys.path[:] = {sys.path!r}{AVIF_DECODER}"
    command = [sys.executable, "-I", "-c", decoder, str(AVIF_MEMORY), str(SECONDS)]
    pixels = subprocess.run(command, input=image.fp.read(), capture_output=True, check=True, timeout=60).stdout
    return Image.frombytes(image.mode, image.size, pixels)


def _small_rgb(image):
    """A picture in RGB, reduced as read() says; strip by strip, as all of it would take several times the memory."""
    factor = max(1, min(image.size) // ENOUGH, math.isqrt(image.width * image.height // LARGE))
    small = Image.new("RGB", [-(-side // factor) for side in image.size])  # without the file, and what that holds
    if image.mode == "RGB" and not image.has_transparency_data:
        small.paste(image if factor == 1 else image.reduce(factor))
        return small
    of_16_bits = image.mode.startswith("I;16") or image.mode == "I" and image.format == "PPM"
    scale = _grey_scale(image) if image.mode in ("I", "F") and not of_16_bits else _short_grey_scale(image)
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
        low, high = min(low, float(values.min(initial=0))), max(high, float(values.max(initial=0)))
    white = next((white for white in WHITES if low >= 0 and high <= white), high)
    return low, max(white - low, 1e-30) / 255


def _short_grey_scale(image):
    """What is black in a picture of at most 16 bits, and how much of it is one of 255: less than 0 if black is more."""
    if image.format != "TIFF":
        return 0, 257
    most = 2 ** image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (16,))[0] - 1  # Pillow leaves 12 bits as they are
    white_is_0 = image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 0) == 0
    return (most, -most / 255) if white_is_0 else (0, most / 255)


def _rgb(image, black, step):
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        grey = (np.asarray(image).astype(np.float32) - black) / step
        return Image.fromarray(np.nan_to_num(grey).clip(0, 255).round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
