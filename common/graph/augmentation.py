"""Augmentation inside the graph: each batch is changed at random, by its seed and step alone."""

import zlib

from common.errors import UserError
from common.graph import towers

import numpy as np
import tensorflow.compat.v1 as tf

EDGES = {"black": "CONSTANT", "mirrored": "REFLECT"}  # what comes in where an image is turned or moved


def random_affine(images, step, seed, degrees, scale, shear, shift, edges="black"):
    """Turns, stretches, slants and moves each image at random, keyed by (seed, step).

    images: float32 [batch, height, width, channels]. degrees: largest turn either way. scale: largest change of height
    and of width, each by a factor up to 1 + scale or its inverse. shear: largest slant, in pixels per row.
    shift: largest move of the image's middle along each axis, in pixels, whatever else is done to it. edges: what comes
    in there, one of EDGES.
    """
    if not any((degrees, scale, shear, shift)):
        return images
    with tf.name_scope("random_affine"):
        height, width = images.shape.as_list()[1:3]
        turn, stretch_x, stretch_y, slant, move_x, move_y = tf.unstack(
            _drawn(images, (seed, step, "affine"), before=[6], minval=-1.0)
        )
        cos, sin = tf.cos(turn * np.radians(degrees)), tf.sin(turn * np.radians(degrees))
        stretch_x, stretch_y = (tf.exp(s * np.log1p(scale)) for s in (stretch_x, stretch_y))
        slant *= shear
        # Output pixel (x, y) → input pixel (a·x + b·y + c, d·x + e·y + f): stretch · turn · slant about the point to
        # which the input's middle moves.
        a, b = stretch_x * cos, stretch_x * (slant * cos - sin)
        d, e = stretch_y * sin, stretch_y * (slant * sin + cos)
        middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
        x, y = middle_x + move_x * shift, middle_y + move_y * shift
        c, f = middle_x - a * x - b * y, middle_y - d * x - e * y
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=tf.stack([a, b, c, d, e, f, tf.zeros_like(a), tf.zeros_like(a)], axis=1),
            output_shape=[height, width],
            fill_value=0.0,
            fill_mode=EDGES[edges],
            interpolation="BILINEAR",
        )


def random_crop(images, step, seed, padding, size):
    """Cuts a square of `size` pixels at random out of each image, keyed by (seed, step).

    The image goes on beyond its edges by `padding` pixels, reflected: so a size of the image's own moves it.
    images: float32 [batch, height, width, channels], square. Returns [batch, size, size, channels].
    """
    side = images.shape.as_list()[1]
    if not padding and size == side:
        return images
    if padding >= side:
        raise UserError(f"padding={padding} needs images of more than {padding} pixels, not {side}×{side}")
    with tf.name_scope("random_crop"):
        places = side + 2 * padding - size + 1
        corner = _drawn(images, (seed, step, "crop"), each=[2], minval=0, maxval=places, dtype=tf.int32)
        rows = _reflected(corner[:, :1] - padding + tf.range(size), side)
        columns = _reflected(corner[:, 1:] - padding + tf.range(size), side)
        return tf.gather(tf.gather(images, rows, batch_dims=1), columns, axis=2, batch_dims=1)


def _reflected(positions, size):
    """Positions outside of 0 … size - 1 mirrored at the edge pixel, which is not repeated: -1 is 1."""
    last = size - 1
    return last - tf.abs(last - tf.abs(positions))


def random_mirror(images, step, seed):
    """Swaps left and right of each image with probability ½, keyed by (seed, step)."""
    with tf.name_scope("random_mirror"):
        swap = _drawn(images, (seed, step, "mirror")) < 0.5
        return tf.where(swap, mirror(images), images)


def mirror(images):
    """Swaps left and right of each image."""
    return tf.reverse(images, axis=[2])


def move(images, down, right):
    """Moves each image by so many pixels, up and to the left if they are less than 0; what comes in is reflected."""
    for axis, pixels in (1, down), (2, right):
        side = images.shape[axis]
        images = tf.gather(images, _reflected(tf.range(side) - pixels, side) % side, axis=axis)  # 0 of a single pixel
    return images


def cutout(images, step, seed, size, fill):
    """Paints a square of `size` pixels over each image, its centre at random, keyed by (seed, step).

    DeVries and Taylor, 2017: the square may reach over the border. fill: its colour, one value per channel.
    """
    if not size:
        return images
    with tf.name_scope("cutout"):
        height, width, channels = images.shape.as_list()[1:]
        corner = _drawn(images, (seed, step, "cutout"), each=[2])  # 0 to 1
        corner = tf.cast(corner * tf.constant([height, width], tf.float32), tf.int32) - size // 2
        rows = tf.range(height) - corner[:, :1]  # in the square: 0 … size - 1
        columns = np.arange(width).repeat(channels) - corner[:, 1:]  # of a row's values; broadcasting channels is slow
        inside_rows, inside_columns = ((line >= 0) & (line < size) for line in (rows, columns))
        inside = inside_rows[:, :, None] & inside_columns[:, None, :]
        fill = tf.constant(np.tile(fill, width), tf.float32)
        painted = tf.where_v2(inside, fill, tf.reshape(images, [-1, height, width * channels]))
        return tf.reshape(painted, [-1, height, width, channels])


def random_light(images, step, seed, brightness, contrast):
    """Changes brightness and contrast of each image at random, keyed by (seed, step).

    brightness: largest change either way, in pixel values. contrast: each channel's distance from its mean over the
    image is multiplied by 1 - contrast to 1 + contrast.
    """
    if not brightness and not contrast:
        return images
    with tf.name_scope("random_light"):
        shift, stretch = tf.unstack(_drawn(images, (seed, step, "light"), before=[2], each=[1, 1, 1], minval=-1.0))
        mean = tf.reduce_mean(images, axis=[1, 2], keepdims=True)
        return (images - mean) * (1 + contrast * stretch) + mean + brightness * shift


def random_color(images, step, seed, most):
    """Multiplies each channel of each image by 1 - most to 1 + most, as other light would, keyed by (seed, step)."""
    if not most:
        return images
    with tf.name_scope("random_color"):
        each = [1, 1, images.shape[-1]]
        return images * (1 + most * _drawn(images, (seed, step, "color"), each=each, minval=-1.0))


def _drawn(images, key, before=(), each=(), **limits):
    """Random numbers [*before, images, *each], of tf.random.stateless_uniform with these limits: 0 to 1 unless told.

    key: (seed, step, name): others for each. In a tower, its part of those for the whole batch.
    """
    seed, step, name = key
    key = tf.stack([tf.constant(seed ^ zlib.crc32(name.encode()), tf.int64), step])
    shape = [*before, towers.part().count * tf.shape(images)[0], *each]
    return towers.part().of(tf.random.stateless_uniform(shape, key, **limits), axis=len(before))
