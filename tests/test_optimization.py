"""What recipes name: losses, penalties, optimisers, initial values, schedules, against NumPy."""

import dataclasses

from common.graph import layers, optimization
from mnist.networks import convnet
from mnist.networks.mnist_recipe import MnistRecipe as Recipe

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

RECIPE = Recipe(batch_size=4, epochs=1.0, learning_rate=0.1, moving_average_decay=0.9, save_steps=1)


def changed(**changes):
    return dataclasses.replace(RECIPE, **changes)


def run(fetches):
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(fetches)


LOGITS = np.random.default_rng(0).normal(size=[4, 10])
LABELS = np.array([3, 0, 9, 3])
TARGETS = np.eye(10)[LABELS]
SOFTMAX = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("cross_entropy", -np.log(SOFTMAX[range(4), LABELS])),
        ("mean_squared_error", np.square(SOFTMAX - TARGETS).mean(axis=1)),
        ("hinge", np.maximum(0, 1 - np.where(TARGETS == 1, LOGITS, -LOGITS)).mean(axis=1)),
    ],
)
def test_losses(loss, expected, reduction):
    recipe = changed(loss=loss, reduction=reduction)
    found = run(optimization.data_loss(recipe, tf.constant(LABELS, tf.int32), tf.constant(LOGITS, tf.float32)))
    assert found == pytest.approx(getattr(np, reduction)(expected), rel=1e-5)


@pytest.mark.parametrize("loss", ["cross_entropy", "hinge"])
def test_label_smoothing_spreads_a_share_over_all_classes(loss):
    """Both losses are linear in the target: the smoothed one lies between that of the label and the mean of all."""

    def found(labels, share=0.0):
        recipe = changed(loss=loss, label_smoothing=share)
        return optimization.data_loss(recipe, tf.constant(labels, tf.int32), tf.constant(LOGITS, tf.float32))

    label, smoothed, *each = run([found(LABELS), found(LABELS, 0.3), *(found(np.full(4, c)) for c in range(10))])
    assert smoothed == pytest.approx(0.7 * label + 0.3 * np.mean(each), rel=1e-5)


def test_without_a_regularizer_there_is_no_penalty():
    assert optimization.regularizer(changed(regularizer=0.0)) is None


@pytest.mark.parametrize(("penalty", "expected"), [("l2", 0.01 * 0.5 * 14), ("l1", 0.01 * 6)])
def test_penalties(penalty, expected):
    term = optimization.regularizer(changed(penalty=penalty, regularizer=0.01))(tf.constant([1.0, -2.0, 3.0]))
    assert run(term) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "second"),
    [  # the change of the second step of rate 0.1 along a gradient of 2, momentum 0.9
        ("sgd", 0.2),
        ("momentum", 0.1 * (0.9 * 2 + 2)),
        ("nesterov", 0.1 * (0.9 * (0.9 * 2 + 2) + 2)),
        ("adagrad", 0.1 * 2 / np.sqrt(0.1 + 4 + 4)),
        ("rmsprop", 0.1 * 2 / np.sqrt((1 * 0.9 + 0.4) * 0.9 + 0.4)),
        ("adam", 0.1),
    ],
)
def test_optimizers(name, second):
    x = tf.get_variable("x", initializer=1.0)
    step = optimization.OPTIMIZERS[name](0.1, 0.9).minimize(2 * x)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        values = []
        for _ in range(2):
            session.run(step)
            values.append(session.run(x))
    assert values[0] - values[1] == pytest.approx(second, rel=1e-4)


def test_float16_scales_loss_and_gradients_without_another_result():
    x = tf.get_variable("x", initializer=1.0)
    for precision in "float32", "float16":
        optimizer = optimization.optimizer(convnet.RECIPE, 0.1, precision)
        [(gradient, _)] = optimizer.compute_gradients(2 * x)
        step = optimizer.apply_gradients([(gradient, x)])
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            assert session.run(gradient) == 2
            session.run(step)
            assert session.run(x) == pytest.approx(1 - 0.1 * (0.9 * 2 + 2))
    assert [v.shape for v in tf.global_variables() if "loss_scale" in v.name] == []  # nothing new in checkpoints


def test_float16_keeps_gradients_that_would_vanish():
    """The least number above 0 of float16 is 6e-8."""
    x = tf.get_variable("x", initializer=1.0)
    loss = 1e-8 * tf.cast(tf.cast(x, tf.float16), tf.float32)
    found = {}
    for precision in "float32", "float16":
        [(found[precision], _)] = optimization.optimizer(convnet.RECIPE, 0.1, precision).compute_gradients(loss)
    found = run(found)
    assert found == {"float32": 0.0, "float16": pytest.approx(1e-8, rel=0.01)}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("own", 0.3), ("kaiming", np.sqrt(2 / 400)), ("xavier", np.sqrt(2 / 600)), ("truncated_normal", 0.1 * 0.88)],
)
def test_initial_values(name, expected):
    with optimization.initialized(changed(initializer=name)):
        with tf.variable_scope("layer"):
            w = layers.weights([400, 200], None, initializer=tf.initializers.random_normal(stddev=0.3))
        biases = layers.biases(200, 0.5)
    values, constant = run([w, biases])
    assert values.std() == pytest.approx(expected, rel=0.02) and (constant == 0.5).all()


@pytest.mark.parametrize("schedule", ["exponential", "staircase"])
def test_decay(schedule):
    recipe = changed(schedule=schedule, learning_rate=0.8, learning_rate_decay=0.5, decay_epochs=2.0)
    step = tf.placeholder(tf.int64, [])
    rate = optimization.learning_rate(recipe, step, steps=1000, epoch=10.0)
    with tf.Session() as session:
        found = [session.run(rate, {step: i}) for i in (0, 10, 20, 39, 40)]
    smooth = [0.8 * 0.5 ** (i / 20) for i in (0, 10, 20, 39, 40)]
    assert found == pytest.approx([0.8, 0.8, 0.4, 0.4, 0.2] if schedule == "staircase" else smooth, rel=1e-5)


@pytest.mark.parametrize("schedule", ["cosine", "triangular"])
def test_schedules_fall_to_zero_at_the_last_step(schedule):
    recipe = changed(learning_rate=2.0, warmup_steps=10, schedule=schedule)
    step = tf.placeholder(tf.int64, [])
    rate = optimization.learning_rate(recipe, step, steps=1000, epoch=100)
    with tf.Session() as session:
        first, fifth, quarter, half, last = (session.run(rate, {step: i}) for i in (0, 4, 250, 500, 1000))
    assert (half, last) == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-6))
    assert first == pytest.approx(0.2) and fifth == pytest.approx(1.0, rel=0.01)  # the warm-up
    assert quarter == pytest.approx(1 + np.cos(np.pi / 4) if schedule == "cosine" else 1.5)
