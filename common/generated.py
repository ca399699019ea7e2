"""Digits drawn from the fonts that matplotlib ships: a data set for machines that cannot get a real one."""

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
IMAGE_SIZE = 28
COARSE = 5  # nodes of the elastic distortion along each axis
CHUNK = 2000  # images distorted at a time: bounds the memory


def digits(count, seed):
    """Draws `count` digits, the same for the same seed: (images uint8 [count, 28, 28], labels uint8 [count]).

    White on black and centred by mass, as MNIST. Random font and stroke width; rotation, shear and scale; an elastic
    distortion (Simard, Steinkraus and Platt, 2003) from a coarse random grid; contrast and noise.
    """
    random = np.random.default_rng(seed)
    glyphs = _draw_glyphs()  # [10, variants, GLYPH_SIZE, GLYPH_SIZE]
    labels = random.integers(0, 10, count).astype(np.uint8)
    variants = random.integers(0, glyphs.shape[1], count)
    images = np.empty([count, IMAGE_SIZE, IMAGE_SIZE], np.uint8)
    for start in range(0, count, CHUNK):
        chunk = slice(start, start + CHUNK)
        images[chunk] = _distort(glyphs[labels[chunk], variants[chunk]], random)
    return images, labels


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


def _distort(glyphs, random):
    """Turns, stretches and bends each glyph, and samples it down: uint8 [n, IMAGE_SIZE, IMAGE_SIZE]."""
    from scipy import ndimage

    n = len(glyphs)
    angle = np.radians(random.uniform(-15, 15, n))
    shear = random.uniform(-0.3, 0.3, n)
    height, width = random.uniform(0.85, 1.15, n), random.uniform(0.75, 1.2, n)
    cos, sin = np.cos(angle), np.sin(angle)
    # Output pixel → glyph pixel, both from the middle: rotation · shear · scale, and the factor 2 of the halving.
    to_glyph = 2 * np.array([[cos / height, sin / width], [(-sin + shear * cos) / height, (cos + shear * sin) / width]])
    middle = (IMAGE_SIZE - 1) / 2
    line = np.arange(IMAGE_SIZE) - middle
    grid = np.stack(np.meshgrid(line, line, indexing="ij"))  # [2, 28, 28]
    smooth = ndimage.zoom(np.eye(COARSE), [IMAGE_SIZE / COARSE, 1], order=3)  # coarse grid → pixels, along one axis
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
