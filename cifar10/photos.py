"""What pictures.read() and picture_to_input.py do to a photo, as a graph: for exported networks.

HEIC, WebP and TIFF are not read here. Pixels differ by 1 of 255 at most; by more where the app reduces a large picture
first.
"""

from cifar10.picture_to_input import WHOLE
from common import graph_mode  # noqa: F401 (before tensorflow)

import tensorflow.compat.v1 as tf

TIE = 0.001  # pixels: one in the middle between two goes to the one before, as Pillow does it
HEADER = 2**16  # bytes: EXIF data is in the first ones
JPEG = b"\xff\xd8"
EXIF = [*b"Exif\0\0"]
ORIENTATION = 0x0112  # tag of EXIF


def photos(contents, run):
    """Encoded pictures, a string tensor [n], as uint8 [n, views, size, size, 3]: the views that the app looks at.

    run: runs.Run.
    """
    return tf.map_fn(lambda content: views(content, run.reading, run.image_size), contents, tf.uint8)


def views(content, reading, size):
    """The views of one encoded picture, uint8 [views, size, size, 3]: the whole, and squares along it."""
    image = upright(tf.cast(decoded(content), tf.float32), orientation(content))
    sides = tf.cast(tf.shape(image)[:2], tf.float32)  # height, width
    short = tf.reduce_min(sides)
    boxes = [(tf.zeros(2), sides)]
    if reading != WHOLE:
        boxes += [((sides - short) * share, tf.stack([short, short])) for share in (0, 0.5, 1)]
    scaled = [
        tf.raw_ops.ScaleAndTranslate(
            images=image[tf.newaxis], size=[size, size], scale=size / extent,
            translation=-(first + TIE) * size / extent, kernel_type="box",
        )[0]
        for first, extent in boxes
    ]  # fmt: skip
    return tf.cast(tf.clip_by_value(tf.round(tf.stack(scaled)), 0, 255), tf.uint8)


def decoded(content):
    """uint8 [height, width, 3]; what is transparent in a PNG is white."""

    def png():
        pixels = tf.cast(tf.io.decode_png(content, channels=4), tf.float32)
        opaque = pixels[..., 3:] / 255
        return tf.cast(tf.round(pixels[..., :3] * opaque + 255 * (1 - opaque)), tf.uint8)

    def jpeg():
        return tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE")  # as Pillow's

    def others():
        return tf.io.decode_image(content, channels=3, expand_animations=False)

    kinds = [(_begins(content, b"\x89PNG"), png), (_begins(content, JPEG), jpeg)]
    return tf.ensure_shape(tf.case(kinds, default=others), [None, None, 3])


def _begins(content, start):
    return tf.equal(tf.strings.substr(content, 0, len(start)), start)


def orientation(content):
    """EXIF's number of how a JPEG is turned, 1 to 8, int32; 1 where it says nothing."""
    header = tf.cast(tf.io.decode_raw(tf.strings.substr(content, 0, HEADER), tf.uint8), tf.int32)
    starts = tf.where(tf.reduce_all(tf.equal(tf.signal.frame(header, len(EXIF), 1), EXIF), axis=1))[:, 0]

    def said():
        tiff = header[tf.cast(starts[0], tf.int32) + len(EXIF) :]
        little = tf.equal(tiff[0], ord("I"))

        def number(places):
            """A whole number of the last axis, in the byte order of the file."""
            in_order = tf.cond(little, lambda: places, lambda: tf.reverse(places, [-1]))
            return tf.reduce_sum(in_order * 256 ** tf.range(tf.shape(places)[-1]), axis=-1)

        first = number(tiff[4:8])
        count = tf.minimum(number(tiff[first : first + 2]), (tf.size(tiff) - first - 2) // 12)
        entries = tf.reshape(tiff[first + 2 : first + 2 + 12 * tf.maximum(count, 0)], [-1, 12])
        values = tf.boolean_mask(number(entries[:, 8:10]), tf.equal(number(entries[:, :2]), ORIENTATION))
        return tf.concat([values, [1]], axis=0)[0]

    return tf.cond(tf.logical_and(_begins(content, JPEG), tf.size(starts) > 0), said, lambda: 1)


def upright(image, turned):
    """An image as it is seen. turned: EXIF's number."""

    def among(*numbers):
        return tf.reduce_any(tf.equal(turned, numbers))

    image = tf.cond(among(5, 6, 7, 8), lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    image = tf.cond(among(2, 3, 6, 7), lambda: tf.reverse(image, [1]), lambda: image)
    return tf.cond(among(3, 4, 7, 8), lambda: tf.reverse(image, [0]), lambda: image)
