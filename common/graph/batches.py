"""Batches inside the graph: images that stay on the device, and examples that are a pure function of the step."""

import zlib
from collections.abc import Sequence
from typing import NamedTuple

from common.errors import UserError
from common.graph import towers

import numpy as np
import tensorflow.compat.v1 as tf

ROUNDS = 12  # of the cipher that shuffles: with 4 the orders of two epochs correlate by up to 0.8, from 8 on not at all
EDGES = {"black": "CONSTANT", "mirrored": "REFLECT"}  # what comes in where an image is turned or moved
READERS, AHEAD = 2, 4  # of streamed images: batches that are read at once, and that wait


class OnDevice(NamedTuple):
    """A split as two local uint8 variables, neither in checkpoints nor in the graph definition, and their filling.

    Run tf.local_variables_initializer() once with `feed` (as Scaffold does with local_init_feed_dict).
    """

    images: tf.Variable
    labels: tf.Variable
    feed: dict
    size: int

    def take(self, indices):
        return tf.gather(self.images, indices), tf.gather(self.labels, indices)


class Streamed(NamedTuple):
    """A split whose images stay on the disk. images: uint8, read by index. labels: integers [n]."""

    images: Sequence
    labels: np.ndarray
    feed: dict
    size: int

    def take(self, indices):
        images, labels = tf.numpy_function(
            lambda i: (self.images[i], self.labels[i].astype(np.int32)), [indices], [tf.uint8, tf.int32]
        )
        images.set_shape([*indices.shape, *self.images.shape[1:]])
        labels.set_shape(indices.shape)
        return images, labels


def source(split, name):
    """Where batches come from: a datasets.Split on the device, or streamed if its images are not in memory."""
    if isinstance(split.images, np.ndarray):
        return on_device(split, name)
    return Streamed(*split, {}, len(split.labels))


def on_device(split, name):
    """Variables for a datasets.Split, placed by the tf.device in force."""
    feed, variables = {}, []
    with tf.variable_scope(name):
        for part, array in zip(("images", "labels"), split, strict=True):
            value = tf.placeholder(array.dtype, array.shape, part)
            feed[value] = array
            variables.append(
                tf.get_variable(part, initializer=value, trainable=False, collections=[tf.GraphKeys.LOCAL_VARIABLES])
            )
    return OnDevice(*variables, feed, len(split.labels))


def shuffled(data, step, batch_size, seed):
    """The batch of a step: images float32 [batch_size, height, width, channels] in 0–255, labels int32 [batch_size].

    In a tower, its part of that batch. Raises UserError if the batch cannot be parted evenly.

    Each epoch is a permutation of the data, keyed by (seed, epoch), and batches run on from one epoch into the next.
    So a batch depends on (seed, step) alone: nothing has to be saved for a later run to continue the same stream.
    step: scalar int64 tensor, 0 at the first batch.
    """
    part = towers.part()
    if batch_size % part.count:
        raise UserError(f"batch_size {batch_size} makes no {part.count} equal parts; set another batch_size")
    first, end = part.range(batch_size)

    def indices(step):
        position = step * batch_size + tf.range(first, end, dtype=tf.int64)
        epoch, offset = position // data.size, position % data.size
        key = tf.stack([tf.fill([end - first], tf.constant(seed, tf.int64)), epoch, tf.zeros_like(epoch)], axis=1)
        last = tf.constant(data.size - 1, tf.int64)
        return tf.raw_ops.RandomIndexShuffle(index=offset, seed=key, max_index=last, rounds=ROUNDS)

    with tf.name_scope("batch"):
        if isinstance(data, Streamed):
            return _cast(*_read_ahead(data, step, indices))
        return _cast(*data.take(indices(step)))


def _read_ahead(data, step, indices):
    """The batch of a step while the next ones are read. The stream begins at the step at which it is initialised.

    One run of the graph takes one batch: a run that did not train would take the next step's, and the assertion fails.
    """
    batches = tf.data.Dataset.range(step, tf.int64.max).map(lambda at: (at, indices(at)))
    batches = batches.map(lambda at, i: (at, *data.take(i)), num_parallel_calls=READERS, deterministic=True)
    iterator = tf.data.make_initializable_iterator(batches.prefetch(AHEAD))
    tf.add_to_collection(tf.GraphKeys.TABLE_INITIALIZERS, iterator.initializer)
    at, images, labels = iterator.get_next()
    with tf.control_dependencies([tf.assert_equal(at, step, message="the stream of batches is at another step")]):
        return tf.identity(images), tf.identity(labels)


def in_order(data, first, end):
    """Examples first, first + 1, … up to end, without that one: scalar int64 tensors."""
    with tf.name_scope("batch"):
        return _cast(*data.take(tf.range(first, end)))


def _cast(images, labels):
    return tf.cast(images, tf.float32), tf.cast(labels, tf.int32)


def standardize(images, mean, std, precision="float32"):
    """(pixel - mean) / std: what a network takes. mean and std in pixel values 0–255, one number or one per channel.

    precision: the type of the result; the network computes in it.
    """
    with tf.name_scope("standardize"):
        return tf.cast((images - mean) / std, precision)


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


def cutout(images, step, seed, size, fill):
    """Paints a square of `size` pixels over each image, its centre at random, keyed by (seed, step).

    DeVries and Taylor, 2017: the square may reach over the border. fill: its colour, one value per channel.
    """
    if not size:
        return images
    with tf.name_scope("cutout"):
        height, width = images.shape.as_list()[1:3]
        corner = _drawn(images, (seed, step, "cutout"), each=[2])  # 0 to 1
        corner = tf.cast(corner * tf.constant([height, width], tf.float32), tf.int32) - size // 2
        rows, columns = tf.range(height) - corner[:, :1], tf.range(width) - corner[:, 1:]  # in the square: 0 … size - 1
        inside_rows, inside_columns = ((line >= 0) & (line < size) for line in (rows, columns))
        inside = inside_rows[:, :, None, None] & inside_columns[:, None, :, None]
        return tf.where_v2(inside, tf.constant(fill, tf.float32), images)


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
