"""Drawn images, for machines that cannot get real ones: digits from the fonts of matplotlib, and coloured shapes."""

from pathlib import Path

import numpy as np

# Each draws the ten digits in its own shapes, and every matplotlib from 3.10 on has it; others hold symbols.
FONTS = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmr10", "cmb10", "cmss10", "cmtt10"),
)
GLYPH_SIZE = 56  # pixels; drawn at twice the final size, then sampled down
DIGIT_SIZE = 28
COARSE = 5  # nodes of the elastic distortion along each axis
CHUNK = 2000  # images computed at a time: bounds the memory

SHAPE_SIZE = 32  # pixels, both ways
SHAPES = ("disc", "square", "triangle", "ring", "cross", "star", "stripes", "checkerboard", "dots", "waves")


def digits(count, seed):
    """Draws `count` digits, the same for the same seed: (images uint8 [count, 28, 28, 1], labels uint8 [count]).

    White on black and centred by mass, as MNIST. Random font and stroke width; rotation, shear and scale; an elastic
    distortion (Simard, Steinkraus and Platt, 2003) from a coarse random grid; contrast and noise.
    """
    random = np.random.default_rng(seed)
    glyphs = _draw_glyphs()  # [10, variants, GLYPH_SIZE, GLYPH_SIZE]
    labels = random.integers(0, 10, count).astype(np.uint8)
    variants = random.integers(0, glyphs.shape[1], count)
    images = np.empty([count, DIGIT_SIZE, DIGIT_SIZE], np.uint8)
    for start in range(0, count, CHUNK):
        chunk = slice(start, start + CHUNK)
        images[chunk] = _distort(glyphs[labels[chunk], variants[chunk]], random)
    return images[..., np.newaxis], labels


def _draw_glyphs():
    """Every digit in every font and stroke width: float32 [10, variants, GLYPH_SIZE, GLYPH_SIZE], 0–255."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFilter, ImageFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    blur = ImageFilter.GaussianBlur(0.8)  # keeps the halving from aliasing
    glyphs = []
    for digit in "0123456789":
        for name in FONTS:
            font = ImageFont.truetype(folder / f"{name}.ttf", 48)
            for stroke in (0, 1):  # pixels added on both sides
                image = Image.new("L", (GLYPH_SIZE, GLYPH_SIZE))
                middle = (GLYPH_SIZE / 2, GLYPH_SIZE / 2)
                ImageDraw.Draw(image).text(middle, digit, 255, font, anchor="mm", stroke_width=stroke)
                glyphs.append(np.asarray(image.filter(blur), np.float32))
    return np.stack(glyphs).reshape(10, -1, GLYPH_SIZE, GLYPH_SIZE)


def _to_glyph(angle, shear, height, width):
    """Output pixel → glyph pixel, both from the middle: rotation · shear · scale, and the factor 2 of the halving.

    angle: radians. Returns [2, 2, n] for arguments [n].
    """
    cos, sin = np.cos(angle), np.sin(angle)
    return 2 * np.array([[cos / height, sin / width], [(-sin + shear * cos) / height, (cos + shear * sin) / width]])


def _distort(glyphs, random):
    """Turns, stretches and bends each glyph, and samples it down: uint8 [n, DIGIT_SIZE, DIGIT_SIZE]."""
    from scipy import ndimage

    n = len(glyphs)
    angle = np.radians(random.uniform(-15, 15, n))
    shear = random.uniform(-0.3, 0.3, n)
    height, width = random.uniform(0.85, 1.15, n), random.uniform(0.75, 1.2, n)
    to_glyph = _to_glyph(angle, shear, height, width)
    middle = (DIGIT_SIZE - 1) / 2
    line = np.arange(DIGIT_SIZE) - middle
    grid = np.stack(np.meshgrid(line, line, indexing="ij"))  # [2, 28, 28]
    smooth = ndimage.zoom(np.eye(COARSE), [DIGIT_SIZE / COARSE, 1], order=3)  # coarse grid → pixels, along one axis
    bend = smooth @ random.normal(0, 1.6, [2, n, COARSE, COARSE]) @ smooth.T  # glyph pixels
    points = np.einsum("ijn,jyx->inyx", to_glyph, grid) + bend + (GLYPH_SIZE - 1) / 2
    which = np.broadcast_to(np.arange(n)[:, None, None], points.shape[1:])
    images = ndimage.map_coordinates(glyphs, [which, *points], order=1)
    for i, image in enumerate(images):
        y, x = ndimage.center_of_mass(image)
        images[i] = np.roll(image, (round(middle - y), round(middle - x)), axis=(0, 1))
    contrast = random.uniform(0.8, 1.2, [n, 1, 1])
    noise = random.normal(0, 8, images.shape) * (images > 0)  # MNIST's paper is exactly 0
    return np.clip(images * contrast + noise, 0, 255).astype(np.uint8)


def shapes(count, seed):
    """Draws `count` coloured shapes and textures, the same for the same seed.

    Returns (images uint8 [count, 32, 32, 3], labels uint8 [count], which name one of SHAPES each). Random colours,
    place, size and turn; a background that changes its colour from one side to the other; noise.
    """
    random = np.random.default_rng(seed)
    labels = random.integers(0, len(SHAPES), count).astype(np.uint8)
    images = np.empty([count, SHAPE_SIZE, SHAPE_SIZE, 3], np.uint8)
    for start in range(0, count, CHUNK):
        chunk = slice(start, start + CHUNK)
        images[chunk] = _draw_shapes(labels[chunk], random)
    return images, labels


def _draw_shapes(labels, random):
    n = len(labels)
    column = [n, 1, 1]
    line = np.linspace(-1, 1, SHAPE_SIZE)
    y, x = np.meshgrid(line, line, indexing="ij")
    angle, size = random.uniform(0, 2 * np.pi, column), random.uniform(0.45, 0.75, column)
    x0, y0 = random.uniform(-0.3, 0.3, [2, *column])
    # From pixels to the shape's own coordinates, in which it fills the unit circle.
    u = ((x - x0) * np.cos(angle) + (y - y0) * np.sin(angle)) / size
    v = ((y - y0) * np.cos(angle) - (x - x0) * np.sin(angle)) / size
    inside = np.empty_like(u)  # positive inside, with a slope of about 1 at the edge
    for label in range(len(SHAPES)):
        of_class = labels == label
        inside[of_class] = _inside(SHAPES[label], u[of_class], v[of_class])
    mask = np.clip(inside * size * SHAPE_SIZE / 2 + 0.5, 0, 1)[..., None]  # the edge is one pixel wide

    background, other = random.uniform(0, 256, [2, n, 1, 1, 3])
    color = (background + random.uniform(90, 166, [n, 1, 1, 3])) % 256  # differs by 90 or more in each channel
    direction = random.uniform(0, 2 * np.pi, column)
    gradient = (0.25 * (x * np.cos(direction) + y * np.sin(direction)) + 0.25)[..., None]
    background = background + gradient * (other - background)
    images = background + mask * (color - background) + random.normal(0, 10, [n, SHAPE_SIZE, SHAPE_SIZE, 3])
    return np.clip(images, 0, 255).astype(np.uint8)


def _inside(shape, u, v):
    """How far points (u, v) are inside a shape of radius 1 about the origin; textures fill the whole plane."""
    radius, turn = np.hypot(u, v), np.arctan2(v, u)
    match shape:
        case "disc":
            return 0.8 - radius
        case "square":
            return 0.75 - np.maximum(np.abs(u), np.abs(v))
        case "triangle":
            return 0.5 - np.max([radius * np.cos(turn - k * 2 * np.pi / 3) for k in range(3)], axis=0)
        case "ring":
            return 0.2 - np.abs(radius - 0.75)
        case "cross":
            return 0.25 - np.minimum(np.maximum(np.abs(u) - 0.7, np.abs(v)), np.maximum(np.abs(v) - 0.7, np.abs(u)))
        case "star":
            return 0.65 + 0.35 * np.cos(5 * turn) - radius
        case "stripes":
            return np.sin(6 * u) / 6
        case "checkerboard":
            return np.sin(5 * u) * np.sin(5 * v) / 5
        case "dots":
            return (np.cos(6 * u) + np.cos(6 * v) - 0.8) / 6
        case "waves":
            return np.sin(6 * u + 2 * np.sin(4 * v)) / 8
