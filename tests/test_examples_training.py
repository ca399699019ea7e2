"""The examples on training, against NumPy and closed formulas."""

import subprocess
import sys

from cifar10.networks import three_layer_convnet
from common.data import generated

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from conftest import environment
from example_helpers import EXAMPLES, NORMAL, assert_documented, assert_drawn, convolution, lines, numbers

POINTS = np.random.RandomState(23455).rand(32, 2)


def batches(steps, size, count):
    """The indices that each step takes, in turn."""
    for step in range(steps):
        yield slice(step * size % count, step * size % count + size)


def adam_factor(rate, step):
    return rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)


def two_layers(change):
    """The loss at each 500th step of training_by_hand.py. change(gradients, state, step): what is subtracted."""
    labels, losses, state = (POINTS.sum(axis=1) < 1).astype(float)[:, None], [], [0.0, 0.0, 0.0, 0.0]
    w1, w2 = NORMAL.reshape(2, 3), NORMAL[:3, None]
    for step, batch in enumerate(batches(3001, 8, 32)):
        if step % 500 == 0:
            losses.append(np.mean((POINTS @ w1 @ w2 - labels) ** 2))
        x = POINTS[batch]
        dy = 2 / 8 * (x @ w1 @ w2 - labels[batch])
        d1, d2 = change([x.T @ dy @ w2.T, (x @ w1).T @ dy], state, step + 1)
        w1, w2 = w1 - d1, w2 - d2
    return losses


def momentum(gradients, state, step):
    state[:2] = [0.9 * s + g for s, g in zip(state[:2], gradients, strict=True)]
    return [0.001 * s for s in state[:2]]


def adam(gradients, state, step):
    state[:2] = [0.9 * s + 0.1 * g for s, g in zip(state[:2], gradients, strict=True)]
    state[2:] = [0.999 * s + 0.001 * g * g for s, g in zip(state[2:], gradients, strict=True)]
    return [adam_factor(0.001, step) * m / (np.sqrt(v) + 1e-8) for m, v in zip(state[:2], state[2:], strict=True)]


@pytest.mark.slow
def test_training_by_hand(output):
    steps, *found = np.transpose([numbers(line) for line in output("training_by_hand").splitlines()[1:]])
    sgd = two_layers(lambda gradients, state, step: [0.001 * g for g in gradients])
    assert steps.tolist() == [*range(0, 3001, 500)]
    expected = np.array([sgd, sgd, sgd, two_layers(momentum), two_layers(adam)])
    assert np.array(found) == pytest.approx(expected, abs=3e-6)


def yoghurt(slope):
    """The weights after 20,000 steps, and on how many days they predict too little. slope(errors): of the loss."""
    random = np.random.RandomState(23455)
    x = random.rand(32, 2)
    y = np.array([a + b + random.rand() / 10 - 0.05 for a, b in x])
    w = NORMAL[:2]
    for batch in batches(20000, 8, 32):
        w = w - 0.001 * slope(x[batch] @ w - y[batch]) @ x[batch]
    return [*w, np.sum(x @ w < y)]


@pytest.mark.slow
def test_losses(output):
    printed = output("losses")
    squared = yoghurt(lambda errors: 2 / 8 * errors)
    dear = yoghurt(lambda errors: np.where(errors > 0, 9.0, -1.0))
    cheap = yoghurt(lambda errors: np.where(errors > 0, 1.0, -9.0))
    found, found_dear, found_cheap = (numbers(line)[-4:-1] for line in lines(printed, ("squared", "too much")))
    assert found == pytest.approx(squared, abs=1e-4)
    assert found[:2] == pytest.approx([0.98019385, 1.0159807], abs=1e-4)  # the notes
    for (*w, low), (*expected, expected_low) in ((found_dear, dear), (found_cheap, cheap)):
        assert w == pytest.approx(expected, abs=0.02)  # they jump around the best ones: a step is up to 0.07
        assert low == pytest.approx(expected_low, abs=3)
    assert sum(found_dear[:2]) < sum(found[:2]) - 0.03 < sum(found_cheap[:2]) - 0.06

    entropy = np.log(np.exp([2.0, 1.0, 0.1]).sum()) - 2
    clipped, exact, hinge = (numbers(line) for line in lines(printed, ("of p", "of l", "hinge")))
    assert clipped == pytest.approx([entropy, -np.log(1e-12), 0, 0, 0], abs=1e-3)
    assert exact == pytest.approx([entropy, 100, -1, 1, 0], abs=1e-3)
    assert hinge == pytest.approx([(0 + 2 + 1.1) / 3, (1 + 101 + 1) / 3, -1 / 3, 1 / 3, 1 / 3], abs=1e-3)


def test_learning_rate(output, tmp_path):
    printed = output("learning_rate")
    found = [numbers(line) for line in lines(printed, "rate")]
    assert [row[0] for row in found] == [1] * 5 + [0.2] * 5 + [0.001] * 5
    for rate, step, w, loss in found:
        assert w == pytest.approx(6 * (1 - 2 * rate) ** step - 1, abs=1e-4)
        assert loss == pytest.approx((w + 1) ** 2, abs=2e-3)
    for step, smooth, staircase in (numbers(line) for line in lines(printed, "decay")):
        assert smooth == pytest.approx(0.1 * 0.5 ** (step / 10), abs=1e-5)
        assert staircase == pytest.approx(0.1 * 0.5 ** (step // 10), abs=1e-5)
    assert_drawn(tmp_path, "learning_rate")


def test_moving_average_and_its_race(output):
    printed = output("moving_average")
    steps, w, average = np.array([numbers(line) for line in lines(printed, "step")]).T
    shadow, expected = 0.0, []
    for value, step in zip([0, 1, *[10] * 7], [0, 0, *[100] * 7], strict=True):
        decay = min(0.99, (1 + step) / (10 + step))
        shadow = decay * shadow + (1 - decay) * value
        expected.append(shadow)
    assert steps.tolist() == [0, 0, *[100] * 7] and w.tolist() == [0, 1, *[10] * 7]
    assert average == pytest.approx(expected, abs=1e-5)
    assert average[1:5] == pytest.approx([0.9, 1.644, 2.328, 2.956], abs=1e-3)  # the notes
    late, early, _ = (numbers(line)[0] for line in lines(printed, "outside"))
    assert late >= 45 and early <= 5  # of 50; a busy machine may turn a few round
    assert [numbers(line)[0] for line in lines(printed, "inside")] == [0, 0]


def circle(penalty_slope):
    """regularization.py in NumPy: errors on old and new points, half the squares, absolutes, weights that are small."""
    random = np.random.RandomState(2)
    x, new = random.randn(300, 2), random.randn(10000, 2)
    y, new_y = [((each**2).sum(axis=1) < 2).astype(float)[:, None] for each in (x, new)]
    with tf.Session() as session:
        first = session.run(tf.random_normal([100], seed=1)).astype(float)
    p = [first.reshape(2, 50), np.full(50, 0.01), first[:50, None], np.full(1, 0.01)]
    m, v = [0.0] * 4, [0.0] * 4
    for step in range(1, 2001):
        hidden = np.maximum(x @ p[0] + p[1], 0)
        dy = 2 / 300 * (hidden @ p[2] + p[3] - y)
        dh = (dy @ p[2].T) * (hidden > 0)
        slopes = x.T @ dh + penalty_slope(p[0]), dh.sum(axis=0), hidden.T @ dy + penalty_slope(p[2]), dy.sum(axis=0)
        for i, g in enumerate(slopes):
            m[i], v[i] = 0.9 * m[i] + 0.1 * g, 0.999 * v[i] + 0.001 * g * g
            p[i] = p[i] - adam_factor(0.05, step) * m[i] / (np.sqrt(v[i]) + 1e-8)
    errors = [np.mean((np.maximum(a @ p[0] + p[1], 0) @ p[2] + p[3] - b) ** 2) for a, b in ((x, y), (new, new_y))]
    w = np.concatenate([p[0].ravel(), p[2].ravel()])
    return [*errors, np.sum(w * w) / 2, np.abs(w).sum(), np.sum(np.abs(w) < 0.01)]


@pytest.mark.slow
def test_regularization(output, tmp_path):
    printed = output("regularization")
    found = [numbers(line.partition("error")[2]) for line in lines(printed, ("no penalty", "L"))]
    expected = [circle(lambda w: 0), circle(lambda w: 0.003 * w), circle(lambda w: 0.001 * np.sign(w))]
    for (*values, _, small, _), (*expected_values, expected_small) in zip(found, expected, strict=True):
        assert values == pytest.approx(expected_values, rel=0.05)  # rounding grows in 2,000 steps
        assert small == pytest.approx(expected_small, abs=3)
    assert_drawn(tmp_path, "regularization")


def test_iris(output, tmp_path):
    datasets = pytest.importorskip("sklearn.datasets", reason="needs scikit-learn: requirements-examples.txt")
    printed = output("iris")
    x, labels = datasets.load_iris(return_X_y=True)
    order = np.arange(150)
    np.random.RandomState(116).shuffle(order)
    x, targets = x[order], np.eye(3)[labels[order]]
    with tf.Session() as session:
        w, b = session.run([tf.truncated_normal(shape, stddev=0.1, seed=1) for shape in ([4, 3], [3])])

    def softmax(x):
        e = np.exp(x @ w + b)
        return e / e.sum(axis=1, keepdims=True)

    expected = {}
    for epoch in range(1, 501):
        losses = []
        for start in range(0, 120, 32):
            batch = slice(start, min(start + 32, 120))
            y = softmax(x[batch])
            error = y - targets[batch]
            losses.append(np.mean(error**2))
            dy = 2 / error.size * error
            dz = y * (dy - (dy * y).sum(axis=1, keepdims=True))
            w, b = w - 0.1 * x[batch].T @ dz, b - 0.1 * dz.sum(axis=0)
        right = softmax(x[120:]).argmax(axis=1) == targets[120:].argmax(axis=1)
        expected[epoch] = [np.mean(losses), np.mean(right)]
    found = [numbers(line) for line in lines(printed, "epoch")]
    assert [row[0] for row in found] == [1, 100, 200, 300, 400, 500]
    for epoch, loss, accuracy in found:
        assert [loss, accuracy] == pytest.approx(expected[epoch], abs=1e-4)
    assert found[-1][2] == 1  # the notes
    assert_drawn(tmp_path, "iris")


@pytest.mark.slow
def test_four_styles():
    pytest.importorskip("tf_keras", reason="needs tf_keras: requirements-keras.txt")
    command = [sys.executable, EXAMPLES / "four_styles.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", env=environment())
    assert done.returncode == 0 and done.stderr == ""
    assert_documented("four_styles", done.stdout)

    images, labels = generated.shapes(16, seed=1)
    x = np.float32(images / 127.5 - 1)
    random = np.random.default_rng(1)
    w = []
    for shape in [5, 5, 3, 32], [3, 3, 32, 16], [16384, 10]:
        w.append(random.normal(size=shape) * np.sqrt(2 / np.prod(shape[:-1])))
        random.normal(size=shape[-1])  # for the biases, times 0
    hidden = np.maximum(convolution(np.maximum(convolution(x, w[0]), 0), w[1]), 0)
    logits = hidden.reshape(16, -1) @ w[2]
    before = np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[range(16), labels])

    # The kit's own network, with gradients of its own, is the fifth.
    logits = three_layer_convnet.network(tf.constant(x), True, None, 10)
    loss = tf.reduce_mean(tf.losses.sparse_softmax_cross_entropy(labels.astype(int), logits))
    step = tf.train.GradientDescentOptimizer(0.005).minimize(loss)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for variable, value in zip(tf.trainable_variables()[::2], w, strict=True):
            variable.load(value, session)
        for _ in range(50):
            session.run(step)
        after = session.run(loss)
    found = [numbers(line) for line in done.stdout.splitlines()[::2]]
    assert np.array(found) == pytest.approx(np.array([[0, before, after]] * 4), abs=2e-4)
