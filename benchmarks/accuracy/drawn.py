"""Draws MNIST's digits as photos of paper would show them: read_pictures.py reads these where no photos are."""

import io

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

HEIGHT, WIDTH = 640, 480  # pixels of a photo of one digit
KINDS = (
    "plain", "shadow", "squared paper", "ruled paper", "table's edge", "grain", "specks", "pencil", "fine pen",
    "felt pen", "small", "large", "blurred", "chalk", "straight", "tight", "cut-out",
)  # fmt: skip
COMBINED = (
    "straight, fine pen", "straight, felt pen", "straight, tight", "straight, cut-out", "tight, ruled paper",
    "tight, squared paper", "pencil, ruled paper", "pencil, squared paper",
)  # fmt: skip
TINY = ("tiny", "tiny, ruled paper", "tiny, squared paper", "tiny, shadow", "tiny, pencil")
SIZES = {"tiny": (30, 60), "small": (60, 110), "large": (400, 470)}  # pixels that MNIST's 28 become; else:
USUAL_SIZE = (120, 400)
LEVELS = {"fine pen": 0.7, "felt pen": 0.1}  # of ink, where a stroke ends; else at a half
PENCIL, PEN = (0.25, 0.5), (0.6, 0.95)  # how much of the paper the ink covers
WIDTHS = {"fine pen": (0.015, 0.03), "felt pen": (0.1, 0.15)}  # of a straight digit's strokes, of its size; else:
USUAL_WIDTH = (0.03, 0.1)


def _arc(x, y, radius, start, end):
    """Points of an arc about (x, y), from one angle to the other, in degrees clockwise from the right."""
    angles = np.radians(np.linspace(start, end, 24))
    return list(zip(x + radius * np.cos(angles), y + radius * np.sin(angles), strict=True))


STRAIGHT = {  # digits with stems and bars as if by a ruler: polylines in a square of side 1, y downwards
    0: [[(0.1, 0.3), *_arc(0.4, 0.3, 0.3, 180, 360), (0.7, 0.7), *_arc(0.4, 0.7, 0.3, 0, 180), (0.1, 0.3)]],
    1: [[(0.5, 0), (0.5, 1)]],
    2: [[*_arc(0.4, 0.28, 0.28, 180, 385), (0.05, 1), (0.8, 1)]],
    3: [[(0.1, 0), (0.75, 0), (0.38, 0.42), *_arc(0.4, 0.71, 0.29, 270, 500)]],
    4: [[(0.15, 0), (0.1, 0.6), (0.85, 0.6)], [(0.6, 0), (0.6, 1)]],
    5: [[(0.75, 0), (0.15, 0), (0.15, 0.42), *_arc(0.4, 0.7, 0.3, 230, 490)]],
    6: [[(0.15, 0), (0.15, 0.72), *_arc(0.43, 0.72, 0.28, 180, 530)]],
    7: [[(0.05, 0), (0.8, 0), (0.35, 1)], [(0.2, 0.5), (0.85, 0.5)]],
    8: [_arc(0.4, 0.24, 0.24, 0, 360), _arc(0.4, 0.74, 0.26, 0, 360)],
    9: [_arc(0.35, 0.28, 0.28, 0, 360), [(0.63, 0), (0.63, 1)]],
}


def digit(random, image, label, kinds):
    """One digit somewhere on a sheet of paper, by daylight, as a JPEG file had it: a Pillow image.

    random: numpy Generator. image: uint8 [28, 28]. label: what it is. kinds: of KINDS, or "tiny": the difficulties.
    """
    rows, columns = np.indices([HEIGHT, WIDTH]).astype(np.float32)
    ink = np.zeros([HEIGHT, WIDTH], np.float32)
    size = int(random.uniform(*next((SIZES[kind] for kind in kinds if kind in SIZES), USUAL_SIZE)))
    top, left = random.integers(HEIGHT - size), random.integers(WIDTH - size)
    large = np.asarray(Image.fromarray(image).resize([size, size]), np.float32) / 255
    large = ndimage.gaussian_filter(large, size / 60)
    level = next((LEVELS[kind] for kind in kinds if kind in LEVELS), 0.5)
    written = ((large - level) * 8 + 0.5).clip(0, 1)
    if "straight" in kinds:
        written = _straight(random, label, size, next((WIDTHS[kind] for kind in kinds if kind in WIDTHS), USUAL_WIDTH))
    ink[top : top + size, left : left + size] = written
    box = _box(ink)

    paper = random.uniform(170, 245) * np.array([1, random.uniform(0.93, 1), random.uniform(0.8, 1)])
    paper = np.broadcast_to(paper, [HEIGHT, WIDTH, 3])
    if kinds & {"squared paper", "ruled paper"}:
        paper = paper * (1 - _lines(random, rows, columns, "squared paper" in kinds)[..., None] * [1, 0.8, 0.4])
    if "table's edge" in kinds:
        turned = [columns, WIDTH - columns, rows, HEIGHT - rows][random.integers(4)]
        table = (turned < random.uniform(20, 60) + random.uniform(-0.05, 0.05) * (rows + columns))[..., None]
        paper, ink = np.where(table, random.uniform(20, 110, 3), paper), ink * ~table[..., 0]
    if "cut-out" in kinds:
        a, b, c, d = _around(random, box, size, 0.25)
        inside = (rows >= a) & (rows < b) & (columns >= c) & (columns < d)
        paper = np.where(inside[..., None], paper * random.uniform(0.75, 0.95), random.uniform(245, 255))
    if "specks" in kinds:
        for row, column in zip(random.uniform(0, HEIGHT, 8), random.uniform(0, WIDTH, 8), strict=True):
            speck = (rows - row) ** 2 + (columns - column) ** 2 < random.uniform(1, 16)
            paper = np.where(speck[..., None], 60, paper)

    cover = ink[..., None] * random.uniform(*(PENCIL if "pencil" in kinds else PEN))
    pixels = paper + (random.uniform(20, [60, 60, 140]) - paper) * cover
    angle = random.uniform(0, 2 * np.pi)
    across = np.cos(angle) * (columns / WIDTH - 0.5) + np.sin(angle) * (rows / HEIGHT - 0.5)  # -0.7 to 0.7
    dark = random.uniform(0.35, 0.65) if "shadow" in kinds else random.uniform(0, 0.3)
    softness = random.uniform(0.02, 0.1) if "shadow" in kinds else 0.4
    pixels *= 1 - dark / (1 + np.exp(-across[..., None] / softness))
    if "grain" in kinds:
        pixels += _grain(random, pixels.shape[:2], random.uniform(10, 40))
    if "blurred" in kinds:
        blur = random.uniform(2, 6)
        pixels = ndimage.gaussian_filter(pixels, (blur, blur, 0))
    if "chalk" in kinds:
        pixels = 255 - pixels
    pixels += random.normal(scale=random.uniform(1, 7), size=pixels.shape)
    if "tight" in kinds:
        a, b, c, d = _around(random, box, size, 0.06)
        pixels = pixels[a:b, c:d]
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=int(random.integers(50, 95)))
    return Image.open(file).convert("RGB")


def _straight(random, label, size, widths):
    """A digit of STRAIGHT, by an unsteady hand and a pen of some width: float [size, size], 0 to 1."""
    image = Image.new("L", (size, size))
    width = max(2, round(size * random.uniform(*widths)))
    spread = random.uniform(0.6, 1.1)  # of its width
    for line in STRAIGHT[label]:
        moved = np.array(line) * [spread, 1] + random.normal(scale=0.03 / len(line), size=[len(line), 2])
        points = [tuple(point) for point in (0.1 + 0.8 * moved.clip(0, 1)) * size]
        ImageDraw.Draw(image).line(points, fill=255, width=width, joint="curve")
        for x, y in points:
            ImageDraw.Draw(image).circle((x, y), width / 2, fill=255)
    return ndimage.gaussian_filter(np.asarray(image, np.float32) / 255, 1)


def _box(ink):
    """Where the ink is: its first and last row and column, each last one more."""
    rows, columns = np.flatnonzero((ink > 0.5).any(axis=1)), np.flatnonzero((ink > 0.5).any(axis=0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


def _around(random, box, size, most):
    """A box with a margin on each side, of up to `most` of the digit's size: (top, bottom, left, right)."""
    margins = (size * random.uniform(0, most, 4)).astype(int)
    top, bottom, left, right = np.array(box) + margins * [-1, 1, -1, 1]
    return max(top, 0), min(bottom, HEIGHT), max(left, 0), min(right, WIDTH)


def number(random, images):
    """Digits beside each other on grainy paper, in uneven light, sloping: a Pillow image. images: uint8 [n, 28, 28]."""
    scale = random.uniform(1.5, 5)
    parts = []
    for image in images:
        columns = np.flatnonzero(image.any(axis=0))
        part = Image.fromarray(image[:, columns[0] : columns[-1] + 1])
        size = [max(1, round(side * scale * random.uniform(0.9, 1.1))) for side in part.size]
        parts.append(np.asarray(part.resize(size), np.float32) / 255)
    gaps = [round(scale * random.uniform(2, 12)) for _ in parts]
    margin = round(14 * scale)
    height = max(part.shape[0] for part in parts) + 2 * margin
    ink = np.zeros([height, sum(part.shape[1] for part in parts) + sum(gaps) + 2 * margin], np.float32)
    left = margin
    for part, gap in zip(parts, gaps, strict=True):
        top = margin + round(scale * random.uniform(-2, 2))
        ink[top : top + part.shape[0], left : left + part.shape[1]] = part
        left += part.shape[1] + gap
    ink = ndimage.rotate(ink, random.uniform(-8, 8), order=1).clip(0, 1)[..., None]
    rows, columns = np.indices(ink.shape[:2])
    light = 1 - 0.35 * random.random() * (rows / ink.shape[0] + columns / ink.shape[1]) / 2
    paper = random.uniform(170, 250, 3) * light[..., None] + _grain(random, ink.shape[:2], random.uniform(0, 25))
    pixels = paper + (random.uniform(0, 90, 3) - paper) * ink * random.uniform(0.75, 1)
    pixels += random.normal(scale=random.uniform(0, 6), size=pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _grain(random, size, strength):
    """What paper adds to grey values: float [height, width, 1]."""
    return ndimage.gaussian_filter(random.normal(size=size), random.uniform(0.5, 3))[..., None] * strength


def _lines(random, rows, columns, squared):
    """How dark the lines of ruled or squared paper are, 0 to 1: float [height, width]."""
    distance, width, turn = random.uniform(25, 60), random.uniform(1, 2.5), random.uniform(-0.06, 0.06)
    on_line = (rows - turn * columns) % distance < width
    if squared:
        on_line |= (columns + turn * rows) % distance < width
    return on_line * random.uniform(0.15, 0.45)
