"""Layers against the stock operations and NumPy."""

import math
import os
import subprocess
import sys
from unittest import mock

from cifar10 import forward as cifar10
from common.graph import conv2d_gradient, layers
from mnist import forward as mnist

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

BEFORE_POOLING = [[0, 0], [1, 0], [1, 0], [0, 0]]  # of a map with an odd number of rows and columns


def run(*fetches):
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(fetches)


def check_convolution_gradients(size, channels_in, channels, kernel, stride, padding, precision="float32"):
    """Those of layers.conv2d, as on four kinds of CPUs, against those of tf.nn.conv2d, on random images."""
    for forward, avx2, amx in ((False, False, False), (True, True, False), (True, False, False), (False, False, True)):
        kind = {"_forward_is_faster": lambda *_, forward=forward: forward, "_on_amx": lambda x, amx=amx: amx}
        with mock.patch.multiple(conv2d_gradient, **kind, AVX2_AT_MOST=avx2):
            _check_convolution_gradients(size, channels_in, channels, kernel, stride, padding, precision)


def _check_convolution_gradients(height, channels_in, channels, kernel, stride, padding, precision):
    random = np.random.default_rng(0)
    with tf.Graph().as_default():
        x = tf.constant(random.normal(size=[8, height, height + 2, channels_in]), precision)  # two more columns
        y = layers.conv2d(x, channels, kernel, None, "conv", bias=None, stride=stride, padding=padding)
        dy = tf.constant(random.normal(size=y.shape.as_list()), precision)
        w = tf.trainable_variables()[0]
        wide_x, wide_dy = (tf.cast(tensor, tf.float32) for tensor in (x, dy))
        stock = tf.gradients(tf.nn.conv2d(wide_x, w, strides=stride, padding=padding), [wide_x, w], wide_dy)
        rough = precision == "bfloat16"  # in which the stock operation is off by up to a tenth of the usual value
        for ours, theirs in zip(*run(tf.gradients(y, [x, w], dy), stock), strict=True):
            rtol, atol = (2e-2, 0.15 * theirs.std()) if rough else (1e-4, 1e-3)
            np.testing.assert_allclose(ours.astype(np.float32), theirs, rtol=rtol, atol=atol)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [(3, 1, "SAME"), (3, 1, BEFORE_POOLING), (2, 1, "SAME"), (5, 2, "SAME"), (7, 1, "VALID"), (7, 2, "VALID")]
)
@pytest.mark.parametrize("size", [15, 9, 7])
def test_convolution_gradient_is_the_stock_one(size, kernel, stride, padding):
    check_convolution_gradients(size, 3, 8, kernel, stride, padding)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("padding", ["SAME", BEFORE_POOLING])
@pytest.mark.parametrize("size", [6, 3])
def test_convolution_gradient_is_the_stock_one_on_small_maps(size, padding, precision):
    check_convolution_gradients(size, 3, 8, 3, 1, padding, precision)


def test_convolution_gradient_is_the_stock_one_for_many_channels_in_bfloat16():
    check_convolution_gradients(14, 48, 64, 3, 1, "SAME", "bfloat16")


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_gradient_for_the_biases_loses_no_terms(precision, graph):
    values = np.random.default_rng(0).uniform(size=[64, 31, 31, 3])
    y = layers.add_biases(tf.constant(values, precision), layers.biases(3))
    [found] = run(*tf.gradients(y, tf.trainable_variables(), tf.constant(200 * values, precision)))
    np.testing.assert_allclose(found, 200 * values.sum(axis=(0, 1, 2)), rtol=0.01)  # an image's sum exceeds float16


@pytest.mark.parametrize(("size", "stock"), [(9, 0), (10, 1)])
@pytest.mark.parametrize(
    ("avx2_at_most", "avx512_bfloat16", "precision", "forward"),
    [(True, False, "float32", True), (False, True, "bfloat16", True), (False, True, "float32", False),
     (False, False, "bfloat16", False)],
)
def test_gradient_for_the_weights_of_small_maps_is_a_forward_convolution_on_some_cpus(
    size, stock, avx2_at_most, avx512_bfloat16, precision, forward, graph
):
    with mock.patch.multiple(conv2d_gradient, AVX2_AT_MOST=avx2_at_most, AVX512_BFLOAT16=avx512_bfloat16):
        y = layers.conv2d(tf.zeros([2, size, size, 3], precision), 4, 3, None, "conv")
        tf.gradients(y, tf.trainable_variables())
    types = [op.type for op in graph.get_operations()]
    assert types.count("Conv2DBackpropFilter") == (stock if forward else 1)


@pytest.mark.parametrize(("size", "channels", "stock"), [(20, 48, 0), (21, 48, 1), (20, 47, 1)])
def test_in_bfloat16_that_of_many_channels_is_one_on_larger_maps_too(size, channels, stock, graph):
    with mock.patch.multiple(conv2d_gradient, AVX2_AT_MOST=False, AVX512_BFLOAT16=True):
        y = layers.conv2d(tf.zeros([2, size, size, channels], tf.bfloat16), 64, 3, None, "conv")
        tf.gradients(y, tf.trainable_variables())
    assert [op.type for op in graph.get_operations()].count("Conv2DBackpropFilter") == stock


@pytest.mark.parametrize(("size", "columns"), [(7, 32), (6, 28), (3, 32), (8, 8)])
def test_small_images_lie_side_by_side_for_the_gradient_for_the_weights_on_amx(size, columns, graph):
    with mock.patch.multiple(conv2d_gradient, AVX2_AT_MOST=False, AVX512_BFLOAT16=False, AMX=True):
        y = layers.conv2d(tf.zeros([16, size, size, 3], tf.bfloat16), 4, 3, None, "conv")
        tf.gradients(y, tf.trainable_variables())
    [operation] = [op for op in graph.get_operations() if op.type == "Conv2DBackpropFilter"]
    assert operation.inputs[0].shape[2] == columns


@pytest.mark.slow
def test_imports_where_numpy_finds_no_instructions_beyond_its_baseline():
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    environment = os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(found)}
    code = "from common.graph import conv2d_gradient; print(conv2d_gradient.AVX2_AT_MOST)"
    assert subprocess.check_output([sys.executable, "-c", code], env=environment, text=True) == "False\n"


@pytest.mark.slow
def test_convolution_gradient_is_the_stock_one_for_each_shape_of_the_networks():
    shapes = set()
    for task, network in [(mnist, name) for name in mnist.NETWORKS] + [(cifar10, name) for name in cifar10.NETWORKS]:
        with tf.Graph().as_default() as graph:
            images = tf.zeros([1, task.IMAGE_SIZE, task.IMAGE_SIZE, task.NUM_CHANNELS])
            task.forward(images, True, None, network, 10)
            for op in graph.get_operations():
                if op.type == "Conv2D":
                    (_, size, _, _), (kernel, _, channels_in, channels) = (i.shape.as_list() for i in op.inputs)
                    stride, padding = op.get_attr("strides")[1], op.get_attr("padding").decode()
                    if padding == "EXPLICIT":
                        assert op.get_attr("explicit_paddings") == sum(BEFORE_POOLING, [])
                    shapes.add((size, channels_in, channels, kernel, stride, padding))
    assert {(28, 1, 16, 3, 1, "SAME"), (7, 128, 256, 3, 1, "EXPLICIT")} < shapes
    for *shape, padding in shapes:
        check_convolution_gradients(*shape, BEFORE_POOLING if padding == "EXPLICIT" else padding)


@pytest.mark.parametrize("size", [(31, 31), (7, 7), (6, 6), (6, 9), (5, 8)])
def test_what_pooling_drops_is_not_computed(size, graph):
    x = tf.constant(np.random.default_rng(0).normal(size=[2, *size, 3]), tf.float32)
    y = layers.conv2d(x, 4, 3, None, "conv", bias=None, padding=layers.before_pooling(x))
    assert y.shape.as_list() == [2, *(side - side % 2 for side in size), 4]
    whole = tf.nn.conv2d(x, tf.trainable_variables()[0], strides=1, padding="SAME")
    pooled, expected = run(layers.max_pool(y, "VALID"), layers.max_pool(whole, "VALID"))
    np.testing.assert_allclose(pooled, expected, rtol=1e-5, atol=1e-6)


def test_convolution_gradient_on_gpu_is_the_stock_operation(graph):
    with tf.device("/device:GPU:0"):
        x = tf.placeholder(tf.float32, [None, 8, 8, 3])
        y = layers.conv2d(x, 4, 3, None, "conv")
        tf.gradients(y, [x, *tf.trainable_variables()])
    assert {"Conv2DBackpropInput", "Conv2DBackpropFilter"} < {op.type for op in graph.get_operations()}


@pytest.mark.parametrize(("cin", "cout"), [(3, 8), (8, 8), (8, 3)])
def test_dirac_starts_with_the_input_itself(cin, cout):
    x = tf.constant(np.random.default_rng(0).normal(size=[2, 6, 6, cin]), tf.float32)
    y = layers.conv2d(x, cout, 3, None, "conv", bias=None, initializer=layers.dirac)
    given, found = run(x, y)
    kept = min(cin, cout)
    np.testing.assert_allclose(found[..., :kept], given[..., :kept], atol=1e-6)
    assert np.abs(found[..., kept:]).sum() > 0 or cout <= cin


@pytest.mark.parametrize("batch", [3, None])  # compiled, or not
def test_gelu_and_its_gradient(batch, graph):
    random = np.random.default_rng(0)
    values, dy = random.normal(0, 2, [2, 3, 5, 5, 2]).astype(np.float32)
    x = tf.placeholder_with_default(values, [batch, 5, 5, 2])
    y = layers.gelu(x)
    assert ("PartitionedCall" in {op.type for op in graph.get_operations()}) == (batch is not None)
    found, gradient = run(y, tf.gradients(y, x, dy)[0])
    distribution = np.vectorize(lambda v: 0.5 + 0.5 * math.erf(v / math.sqrt(2)))(values)
    density = np.exp(-(values**2) / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(found, values * distribution, atol=1e-6)
    np.testing.assert_allclose(gradient, dy * (distribution + values * density), atol=1e-5)


def test_batch_norm_statistics_move_in_training_only():
    x = tf.constant(np.random.default_rng(0).normal(3, 2, [8, 4, 4, 2]), tf.float32)
    y = layers.batch_norm(x, True, "norm")
    updates = layers.move_statistics(tf.get_collection("statistics"))
    assert len(updates) == 2
    mean, variance = tf.moving_average_variables()
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        out, _ = session.run([y, updates])
        np.testing.assert_allclose(out.mean(axis=(0, 1, 2)), 0, atol=1e-5)
        np.testing.assert_allclose(out.std(axis=(0, 1, 2)), 1, atol=1e-3)
        values = session.run(x)
        np.testing.assert_allclose(session.run(mean), 0.1 * values.mean(axis=(0, 1, 2)), rtol=1e-5)
        unbiased = values.reshape(-1, 2).var(axis=0, ddof=1)
        np.testing.assert_allclose(session.run(variance), 0.9 + 0.1 * unbiased, rtol=1e-5)
    with tf.variable_scope("", reuse=True):
        layers.batch_norm(x, False, "norm")
    assert len(tf.get_collection("statistics")) == 2


def test_dropout_is_keyed_by_step_and_off_in_testing():
    step = tf.train.get_or_create_global_step()
    tf.set_random_seed(1)
    x = tf.ones([1000])
    y, other_layer = layers.dropout(x, 0.5, True, "one"), layers.dropout(x, 0.5, True, "other")
    assert layers.dropout(x, 0.5, False, "one") is x
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        first, other = session.run([y, other_layer])
        again = session.run(y)
        session.run(step.assign_add(1))
        later = session.run(y)
    np.testing.assert_array_equal(first, again)
    assert (first != later).any() and (first != other).any()
    assert set(first) == {0.0, 2.0} and 400 < (first == 0).sum() < 600
