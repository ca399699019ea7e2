"""Batches inside the graph: images that stay on the device, and examples that are a pure function of the step."""

from collections.abc import Sequence
from typing import NamedTuple

from common.errors import UserError
from common.graph import towers

import numpy as np
import tensorflow.compat.v1 as tf

ROUNDS = 12  # of the cipher that shuffles: with 4 the orders of two epochs correlate by up to 0.8, from 8 on not at all
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
        height, width, channels = images.shape.as_list()[1:]
        mean, std = (np.tile(value, width) if np.ndim(value) else value for value in (mean, std))
        rows = tf.reshape(images, [-1, height, width * channels])  # broadcasting over the channels is slow
        return tf.reshape(tf.cast((rows - mean) / std, precision), [-1, height, width, channels])
