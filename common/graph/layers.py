"""Layers on tf.nn and get_variable, for images in [batch, height, width, channels].

They take and give float32 or a shorter type, in which products are computed. The variables are float32.
Weights are penalised through the collection "losses"; outputs go to the collection "activations", for TensorBoard.
"""

import zlib

from common.graph import conv2d_gradient, towers

import numpy as np
import tensorflow.compat.v1 as tf


def l2(factor):
    """A regularizer: factor · ½Σw²."""
    return lambda w: tf.multiply(factor, tf.nn.l2_loss(w), name="l2_loss")


def l1(factor):
    """A regularizer: factor · Σ|w|."""
    return lambda w: tf.multiply(factor, tf.reduce_sum(tf.abs(w)), name="l1_loss")


def weights(shape, regularizer, initializer=None):
    """A variable "weights"; with a regularizer, a function of it, that term in the collection "losses".

    initializer: He's unless told; one that a variable scope sets goes before.
    """
    initializer = tf.get_variable_scope().initializer or initializer or tf.initializers.he_normal()
    w = tf.get_variable("weights", shape, initializer=initializer)
    if regularizer is not None:
        tf.add_to_collection("losses", regularizer(w))
    return w


def dirac(shape, dtype, partition_info=None):
    """An initializer of kernels [size, size, in, out]: the first output channels copy the input, the rest are He's.

    So what the layers before found reaches the end of the network from the first step on.
    """
    size, _, channels_in, channels_out = shape
    same = np.zeros([size, size, channels_in, min(channels_in, channels_out)])
    same[size // 2, size // 2] = np.eye(*same.shape[2:])
    rest = tf.initializers.he_normal()(shape, dtype)[..., same.shape[-1] :]
    return tf.concat([tf.constant(same, dtype), rest], axis=-1)


def biases(size, value=0.0):
    """A variable "biases", at first of a value. Never penalised."""
    return tf.get_variable("biases", [size], initializer=tf.constant_initializer(value))


def before_pooling(x):
    """Padding of a 3×3 convolution of x before max_pool(…, "VALID"), which drops the last row or column of an odd map.

    It is that of "SAME", but without what would be dropped.
    """
    below, right = (1 - side % 2 for side in x.shape.as_list()[1:3])
    return "SAME" if below and right else [[0, 0], [1, below], [1, right], [0, 0]]


def conv2d(x, channels, kernel_size, regularizer, name, *, stride=1, padding="SAME", initializer=None, bias=0.0):
    """x [batch, height, width, channels_in] → [batch, rows, columns, channels].

    padding: "SAME", "VALID" or of before_pooling(). initializer: of the weights. bias: first value of the biases; None
    for no biases.
    """
    with tf.variable_scope(name):
        w = weights([kernel_size, kernel_size, x.shape.as_list()[-1], channels], regularizer, initializer)
        even_margins = padding == "SAME" and kernel_size % 2
        own = _trains_on_cpu(x) and stride == 1 and (even_margins or isinstance(padding, list))
        with tf.get_default_graph().gradient_override_map({"Conv2D": conv2d_gradient.NAME} if own else {}):
            y = tf.nn.conv2d(x, tf.cast(w, x.dtype), strides=stride, padding=padding)
        return y if bias is None else add_biases(y, biases(channels, bias))


def add_biases(y, b):
    """y [batch, rows, columns, channels], of any type, and biases float32 [channels]."""
    return tf.nn.bias_add(y, b) if y.dtype == tf.float32 else _add_to_short(y, tf.convert_to_tensor(b))


@tf.custom_gradient
def _add_to_short(y, b):
    """The stock gradient sums up in the type of y, and so loses most of many terms."""
    return tf.nn.bias_add(y, tf.cast(b, y.dtype)), lambda dy: (dy, tf.reduce_sum(tf.cast(dy, tf.float32), [0, 1, 2]))


def dense(x, units, regularizer, name, initializer=None, bias=0.0):
    """x [batch, features] → [batch, units]. initializer: of the weights. bias: first value of the biases."""
    with tf.variable_scope(name):
        w = weights([x.shape.as_list()[-1], units], regularizer, initializer)
        y = tf.cast(tf.matmul(x, tf.cast(w, x.dtype)), tf.float32)
        return tf.cast(y + biases(units, bias), x.dtype)  # so the gradient of the biases is summed in float32


def relu(x):
    """max(x, 0), and its output in the collection "activations"."""
    with _scope_of(x):
        y = tf.nn.relu(x, name="relu")
    tf.add_to_collection(tf.GraphKeys.ACTIVATIONS, y)
    return y


def gelu(x):
    """x · Φ(x), Φ the normal distribution's (Hendrycks and Gimpel, 2016), and its output in "activations".

    On a CPU, where the batch size is fixed, as in training, XLA makes one operation of it and one of its gradient. They
    take less than half as long as the dozen operations that they would be otherwise, each of which reads and writes all
    of x. Not where the batch size varies: XLA compiles again for each shape.
    """
    with _scope_of(x):
        y = tf.identity(_fused_gelu(x) if _trains_on_cpu(x) else _stock_gelu(x), name="gelu")
    tf.add_to_collection(tf.GraphKeys.ACTIVATIONS, y)
    return y


def _trains_on_cpu(x):
    """Whether the batch size is fixed, as in training: networks that are asked take any, and only the stock operations.

    So those can be exported.
    """
    return x.shape.is_fully_defined() and "GPU" not in x.device


def _stock_gelu(x):
    wide = tf.cast(x, tf.float32)
    return tf.cast(0.5 * wide * (1 + tf.erf(wide * np.sqrt(0.5))), x.dtype)  # in this form LiteRT's converter knows it


def _normal_distribution(x):
    """Φ."""
    return 0.5 + 0.5 * tf.erf(x / np.sqrt(2))


@tf.function(jit_compile=True, autograph=False)
def _compiled_gelu(x):
    wide = tf.cast(x, tf.float32)
    return tf.cast(wide * _normal_distribution(wide), x.dtype)


@tf.function(jit_compile=True, autograph=False)
def _compiled_gelu_gradient(x, dy):
    wide = tf.cast(x, tf.float32)
    slope = _normal_distribution(wide) + wide * tf.exp(-0.5 * wide * wide) / np.sqrt(2 * np.pi)
    return tf.cast(tf.cast(dy, tf.float32) * slope, x.dtype)


@tf.custom_gradient
def _fused_gelu(x):
    y = _compiled_gelu(tf.stop_gradient(x))  # or its own gradient would be looked for as well
    return y, lambda dy: _compiled_gelu_gradient(x, dy)


def _scope_of(x):
    """The scope of the layer that made x: there TensorBoard shows its activation."""
    scope = x.op.name.rpartition("/")[0]
    return tf.name_scope(f"{scope}/" if scope else "")


def max_pool(x, padding="SAME", size=2):
    """The maximum of each square, 2 pixels apart; an odd last row or column is kept, with padding "VALID" dropped."""
    return tf.nn.max_pool2d(x, ksize=size, strides=2, padding=padding)


def local_response_norm(x):
    """Divides by the activity of 4 neighbouring channels either way (Krizhevsky et al., 2012)."""
    normalized = tf.nn.local_response_normalization(
        tf.cast(x, tf.float32), depth_radius=4, bias=1.0, alpha=0.001 / 9, beta=0.75
    )
    return tf.cast(normalized, x.dtype)


def flatten(x):
    """[batch, height, width, channels] → [batch, height · width · channels]."""
    return tf.reshape(x, [-1, x.shape[1:].num_elements()], name="flatten")


def batch_norm(x, train, name, decay=0.9, epsilon=1e-3):
    """Batch normalisation (Ioffe and Szegedy, 2015) over all but the channels.

    In training by the mean and variance of the batch, or of a tower's part of it. By how much they change the moving
    ones goes to the collection "statistics", for move_statistics(). Else by the moving ones. Those are in
    MOVING_AVERAGE_VARIABLES, so that an EMA averages and restores them with the weights.
    """
    with tf.variable_scope(name):
        channels = x.shape[-1:]
        scale = tf.get_variable("scale", channels, initializer=tf.ones_initializer())
        offset = tf.get_variable("offset", channels, initializer=tf.zeros_initializer())
        collections = [tf.GraphKeys.GLOBAL_VARIABLES, tf.GraphKeys.MOVING_AVERAGE_VARIABLES]
        statistic = dict(trainable=False, collections=collections)
        moving_mean = tf.get_variable("moving_mean", channels, initializer=tf.zeros_initializer(), **statistic)
        moving_variance = tf.get_variable("moving_variance", channels, initializer=tf.ones_initializer(), **statistic)
        if not train:
            return tf.nn.fused_batch_norm(
                x, scale, offset, moving_mean, moving_variance, epsilon=epsilon, is_training=False
            )[0]
        y, mean, variance = tf.nn.fused_batch_norm(x, scale, offset, epsilon=epsilon)
        for moving, batch in ((moving_mean, mean), (moving_variance, variance)):
            tf.add_to_collection("statistics", (1 - decay) * (moving - batch))
        return y


def move_statistics(changes):
    """Operations that change the moving statistics: by the collection "statistics", or its mean over towers."""
    pairs = zip(tf.moving_average_variables(), changes, strict=True)
    return [moving.assign_sub(change, read_value=False) for moving, change in pairs]


def dropout(x, rate, train, name):
    """In training sets each element to 0 with probability `rate` and scales the others up; else x.

    The mask is keyed by (graph seed, name, global step), so a resumed run draws the same ones. In a tower it is a part
    of the mask of the whole batch.
    """
    if not train:
        return x
    seed = tf.constant((tf.get_default_graph().seed or 0) ^ zlib.crc32(name.encode()), tf.int64)
    key = tf.stack([seed, tf.train.get_or_create_global_step()])
    part = towers.part()
    whole = tf.ones([part.count * tf.shape(x)[0], *x.shape[1:]])
    mask = tf.nn.experimental.stateless_dropout(whole, rate, seed=key)  # in any precision the same
    return x * tf.cast(part.of(mask), x.dtype)
