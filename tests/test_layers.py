"""Layers against the stock operations and NumPy."""


from common import layers

import numpy as np
import pytest
import tensorflow.compat.v1 as tf


def run(*fetches):
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(fetches)


@pytest.mark.parametrize(
    ("size", "cin", "cout", "kernel", "stride", "padding"),
    [
        *((*shape, 1, "SAME") for shape in [
            (28, 1, 16, 3), (28, 16, 16, 3), (14, 16, 32, 3), (14, 32, 32, 3), (7, 32, 64, 3), (7, 64, 64, 3),
            (28, 1, 32, 5), (14, 32, 64, 5),
            (14, 8, 8, 2),  # an even size, as the next ones, keeps the stock gradient
        ]),
        (16, 8, 8, 5, 2, "SAME"), (16, 3, 8, 7, 1, "VALID"), (16, 3, 8, 7, 2, "VALID"),
    ],
)  # fmt: skip
def test_convolution_gradient_is_the_stock_one(size, cin, cout, kernel, stride, padding):
    random = np.random.default_rng(0)
    x = tf.constant(random.normal(size=[4, size, size, cin]), tf.float32)
    y = layers.conv2d(x, cout, kernel, None, "conv", use_bias=False, stride=stride, padding=padding)
    dy = tf.constant(random.normal(size=y.shape.as_list()), tf.float32)
    w = tf.trainable_variables()[0]
    stock = tf.gradients(tf.nn.conv2d(x, w, strides=stride, padding=padding), [x, w], dy)
    for ours, theirs in zip(*run(tf.gradients(y, [x, w], dy), stock), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)


def test_convolution_gradient_on_gpu_is_the_stock_operation(graph):
    with tf.device("/device:GPU:0"):
        x = tf.placeholder(tf.float32, [None, 8, 8, 3])
        y = layers.conv2d(x, 4, 3, None, "conv")
    tf.gradients(y, x)
    assert "Conv2DBackpropInput" in {op.type for op in graph.get_operations()}


@pytest.mark.parametrize(("cin", "cout"), [(3, 8), (8, 8), (8, 3)])
def test_dirac_starts_with_the_input_itself(cin, cout):
    x = tf.constant(np.random.default_rng(0).normal(size=[2, 6, 6, cin]), tf.float32)
    y = layers.conv2d(x, cout, 3, None, "conv", use_bias=False, initializer=layers.dirac)
    given, found = run(x, y)
    kept = min(cin, cout)
    np.testing.assert_allclose(found[..., :kept], given[..., :kept], atol=1e-6)
    assert np.abs(found[..., kept:]).sum() > 0 or cout <= cin


def test_batch_norm_statistics_move_in_training_only():
    x = tf.constant(np.random.default_rng(0).normal(3, 2, [8, 4, 4, 2]), tf.float32)
    y = layers.batch_norm(x, True, "norm")
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
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
    assert len(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) == 2


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
