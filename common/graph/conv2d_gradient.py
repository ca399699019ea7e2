"""The gradients of convolutions of stride 1 on a CPU: layers.conv2d() sets them in the place of the stock ones."""

from common.graph.device import cpu_words

import numpy as np
import tensorflow.compat.v1 as tf

NAME = "Conv2DOfStride1"  # under which TensorFlow finds them

# What the CPU has for arithmetic, as NumPy found it; AVX-512 is X86_V4 since NumPy 2.4, AVX2 is X86_V3.
_CPU = np.show_config(mode="dicts").get("SIMD Extensions", {})  # entries that would be empty are not there
_SIMD = {*_CPU.get("baseline", ()), *_CPU.get("found", ())}
AVX2_AT_MOST = bool(_SIMD & {"AVX2", "X86_V3"}) and not _SIMD & {"AVX512F", "X86_V4"}
_WORDS = cpu_words()  # NumPy does not look for these
AMX = "amx_bf16" in _WORDS
AVX512_BFLOAT16 = "avx512_bf16" in _WORDS and not AMX  # as the Zen 4 has
AMX_PIXELS = 32  # of a row, in bfloat16: of so many it sums at once for the gradient of weights
MANY_CHANNELS, LARGE_MAP = 48, 20  # of so many channels it pays on maps of up to so many pixels (Zen 4, bfloat16)


@tf.RegisterGradient(NAME)
def _conv2d_gradient(op, dy):
    """As the stock ones but for rounding, and as fast or faster on a CPU (docs/performance.md).

    For the input: a forward convolution of dy with the kernel turned by 180°, its channels swapped.
    """
    x, w = op.inputs
    size, sides = w.shape.as_list()[0], op.get_attr("explicit_paddings")
    margins = np.reshape(sides or [0, 0, *[size // 2] * 4, 0, 0], [4, 2])
    across = [[0, 0], *(size - 1 - margins[1:3]).tolist(), [0, 0]]
    dx = tf.nn.conv2d(dy, tf.transpose(tf.reverse(w, axis=[0, 1]), [0, 1, 3, 2]), strides=1, padding=across)
    with tf.name_scope("weights"):
        return dx, _weights_gradient(x, w, dy, margins)


def _weights_gradient(x, w, dy, margins):
    """By a forward convolution where that is faster. Else the stock operation; on AMX, with small images side by side.

    margins: what pads x, [4, 2].
    """
    size = w.shape.as_list()[0]
    if _forward_is_faster(x, dy, size):
        return _by_forward_convolution(x, w, dy, margins)
    padding, gap = "SAME", size // 2
    dropped = np.subtract(x.shape.as_list(), [*dy.shape.as_list()[:3], x.shape[3]])  # the last row and column
    beside = AMX_PIXELS // (x.shape[2] + gap)
    centred = (margins[1:3, 0] == gap).all()
    if _on_amx(x) and centred and beside >= 4 and x.shape[0] % beside == 0:  # with 2 beside each other it is slower
        dy = tf.pad(dy, [[0, n] for n in dropped]) if dropped.any() else dy
        x, dy = (_side_by_side(images, beside, gap) for images in (x, dy))
    elif dropped.any():  # Conv2DBackpropFilter does not use oneDNN where one side is padded and the other is not
        x, padding = tf.pad(x, margins), "VALID"
    return tf.raw_ops.Conv2DBackpropFilter(
        input=x, filter_sizes=tf.shape(w), out_backprop=dy, strides=[1] * 4, padding=padding
    )


def _forward_is_faster(x, dy, size):
    """Whether it is: on small maps, on some CPUs. In bfloat16, of many channels, on larger maps, too."""
    side, small = max(dy.shape[1:3]), 3 * size
    if AVX2_AT_MOST:
        return side <= small
    many = min(x.shape[3], dy.shape[3]) >= MANY_CHANNELS
    return AVX512_BFLOAT16 and x.dtype == tf.bfloat16 and side <= (LARGE_MAP if many else small)


def _by_forward_convolution(x, w, dy, margins):
    """A convolution of x, with dy as its kernel and the images in the place of the channels. Returns w's gradient.

    x: [images, height, width, channels]. dy: [images, rows, columns, channels out]. margins: what pads x, [4, 2].
    """
    kernel = tf.transpose(dy, [1, 2, 0, 3])
    if AVX2_AT_MOST:  # the channels in the place of the images
        dw = tf.nn.conv2d(tf.transpose(x, [3, 1, 2, 0]), kernel, strides=1, padding=margins.tolist())
        return tf.transpose(dw, [1, 2, 0, 3])
    # One image, with the channels of a pixel side by side: `channels` places from a pixel to the next, so dilated.
    count, height, width, channels = x.shape.as_list()
    rows = tf.reshape(tf.transpose(tf.reshape(x, [count, -1])), [1, height, width * channels, count])
    padding = (margins * [[1], [1], [channels], [1]]).tolist()
    dw = tf.nn.conv2d(rows, kernel, strides=1, dilations=[1, channels], padding=padding)
    return tf.reshape(dw, w.shape)


def _on_amx(x):
    return AMX and x.dtype == tf.bfloat16


def _side_by_side(images, count, gap):
    """[n, height, width, c] → [n / count, height, count · (gap + width), c], with zeros in the gaps."""
    n, height, _, channels = images.shape
    zeros = tf.zeros([n // count, height, gap, channels], images.dtype)
    return tf.concat([part for image in tf.split(images, count) for part in (zeros, image)], axis=2)
