"""What the graph computes: batches, augmentation, layers, networks."""

import re

from common import batches, datasets, layers
from mnist.forward import NETWORKS, forward

import numpy as np
import pytest
import tensorflow.compat.v1 as tf


def run_with(data, *fetches, feed=None):
    with tf.Session() as session:
        session.run([tf.local_variables_initializer(), tf.global_variables_initializer()], data.feed if data else None)
        return session.run(fetches, feed)


def numbered(n):
    """A split whose image i is filled with i, with label i % 10."""
    images = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, 4, 4, 1))
    return datasets.Split(images.copy(), (np.arange(n) % 10).astype(np.uint8))


def order(n, batch_size, steps, seed):
    """The numbers of the images in the batches of some steps."""
    with tf.Graph().as_default(), tf.Session() as session:
        data = batches.on_device(numbered(n), "data")
        step = tf.placeholder(tf.int64, [])
        images, labels = batches.shuffled(data, step, batch_size, seed)
        session.run(tf.local_variables_initializer(), data.feed)
        runs = [session.run([images, labels], {step: i}) for i in steps]
    for i, label in runs:
        np.testing.assert_array_equal(i[:, 0, 0, 0] % 10, label)
    return [i[:, 0, 0, 0].astype(int).tolist() for i, _ in runs]


def test_each_epoch_is_a_new_permutation_and_batches_straddle_epochs():
    stream = sum(order(n=25, batch_size=10, steps=range(10), seed=7), [])
    epochs = [stream[i : i + 25] for i in range(0, 100, 25)]
    assert all(sorted(epoch) == list(range(25)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_batch_depends_on_seed_and_step_alone():
    first = order(25, 10, range(6), seed=7)
    assert order(25, 10, [5, 3], seed=7) == [first[5], first[3]]
    assert order(25, 10, [5, 3], seed=8) != [first[5], first[3]]


def test_in_order_gives_every_example_once():
    data = batches.on_device(numbered(25), "data")
    start = tf.placeholder(tf.int64, [])
    _, labels = batches.in_order(data, start, 10)
    with tf.Session() as session:
        session.run(tf.local_variables_initializer(), data.feed)
        sizes = [len(session.run(labels, {start: i})) for i in range(0, 25, 10)]
    assert sizes == [10, 10, 5]


def test_training_images_stay_out_of_graph_and_checkpoint(graph):
    batches.on_device(datasets.Split(np.zeros([1000, 28, 28, 1], np.uint8), np.zeros(1000, np.uint8)), "data")
    assert graph.as_graph_def().ByteSize() < 20_000
    assert tf.global_variables() == []


def affine(images, step=0, seed=1, degrees=0, scale=0, shear=0, shift=0):
    out = batches.random_affine(tf.constant(images), tf.constant(step, tf.int64), seed, degrees, scale, shear, shift)
    return run_with(None, out)[0]


def test_random_affine_of_no_extent_changes_nothing():
    images = np.random.default_rng(0).uniform(0, 255, [3, 28, 28, 1]).astype(np.float32)
    np.testing.assert_allclose(affine(images), images, atol=1e-2)


def upright_bar():
    """300 images of an upright bar, 4 pixels wide and 16 high."""
    images = np.zeros([300, 28, 28, 1], np.float32)
    images[:, 6:22, 12:16] = 100
    return images


def moments(images):
    """Second central moments of each image: along x, along y, mixed (positive: from top left to bottom right)."""
    mass = images[..., 0] / images.sum(axis=(1, 2, 3))[:, None, None]
    line = np.arange(28)
    x, y = ((mass.sum(axis=axis) * line).sum(axis=1) for axis in (1, 2))
    dx, dy = line - x[:, None], line - y[:, None]
    return tuple(np.einsum(f"nyx,{a},{b}->n", mass, p, q) for a, b, p, q in
                 (("nx", "nx", dx, dx), ("ny", "ny", dy, dy), ("nx", "ny", dx, dy)))  # fmt: skip


def test_random_affine_turns():
    xx, yy, xy = moments(affine(upright_bar(), degrees=20))
    angles = np.degrees(np.arctan2(2 * xy, yy - xx) / 2)
    assert 18 < np.abs(angles).max() < 20.5 and abs(angles.mean()) < 3 and angles.std() > 8


def test_random_affine_slants_rows_and_keeps_heights():
    _, yy, xy = moments(affine(upright_bar(), shear=0.4))
    slants = xy / yy  # pixels per row
    assert 0.36 < np.abs(slants).max() < 0.41 and slants.std() > 0.15
    np.testing.assert_allclose(yy, moments(upright_bar())[1], rtol=0.02)


def test_random_affine_stretches_each_axis_on_its_own():
    before, after = moments(upright_bar()), moments(affine(upright_bar(), scale=0.25))
    height, width = np.sqrt(after[1] / before[1]), np.sqrt(after[0] / before[0])
    assert 1.2 < height.max() < 1.27 and 1 / 1.27 < height.min() < 1 / 1.2
    assert width.std() > 0.08 and abs(np.corrcoef(height, width)[0, 1]) < 0.3


def test_random_affine_is_keyed_and_bounded():
    images = np.zeros([200, 28, 28, 1], np.float32)
    images[:, 13:15, 13:15] = 100
    moved = affine(images, shift=2.0)
    np.testing.assert_array_equal(moved, affine(images, shift=2.0))
    assert (moved != affine(images, shift=2.0, step=1)).any() and (moved != affine(images, shift=2.0, seed=2)).any()
    centres = (moved[..., 0].sum(axis=1) @ np.arange(28)) / moved.sum(axis=(1, 2, 3))
    assert np.abs(centres - 13.5).max() <= 2.01 and np.abs(centres - 13.5).max() > 1.5


@pytest.mark.parametrize(
    ("size", "cin", "cout", "kernel"),
    [
        (28, 1, 16, 3), (28, 16, 16, 3), (14, 16, 32, 3), (14, 32, 32, 3), (7, 32, 64, 3), (7, 64, 64, 3),  # convnet
        (28, 1, 32, 5), (14, 32, 64, 5),  # lenet5
        (14, 8, 8, 2),  # an even size keeps the stock gradient
    ],
)
def test_convolution_gradient_is_the_stock_one(size, cin, cout, kernel):
    random = np.random.default_rng(0)
    x = tf.constant(random.normal(size=[4, size, size, cin]), tf.float32)
    dy = tf.constant(random.normal(size=[4, size, size, cout]), tf.float32)
    y = layers.conv2d(x, cout, kernel, None, "conv", use_bias=False)
    w = tf.trainable_variables()[0]
    stock = tf.gradients(tf.nn.conv2d(x, w, strides=1, padding="SAME"), [x, w], dy)
    for ours, theirs in zip(*run_with(None, tf.gradients(y, [x, w], dy), stock), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)


def test_convolution_gradient_on_gpu_is_the_stock_operation(graph):
    with tf.device("/device:GPU:0"):
        x = tf.placeholder(tf.float32, [None, 8, 8, 3])
        y = layers.conv2d(x, 4, 3, None, "conv")
    tf.gradients(y, x)
    assert "Conv2DBackpropInput" in {op.type for op in graph.get_operations()}


def test_l2_terms_are_the_weights_and_no_bias():
    for name in NETWORKS:
        with tf.Graph().as_default():
            forward(tf.zeros([2, 28, 28, 1]), True, 0.01, name)
            fill = [v.assign(tf.fill(v.shape, 0.1 * (i + 1))) for i, v in enumerate(tf.trainable_variables())]
            weights = [v for v in tf.trainable_variables() if v.op.name.endswith("weights")]
            terms = tf.get_collection("losses")
            assert len(terms) == len(weights) > 1
            with tf.Session() as session:
                session.run(fill)
                expected = 0.5 * 0.01 * sum(np.square(w.astype(np.float64)).sum() for w in session.run(weights))
                assert session.run(tf.add_n(terms)) == pytest.approx(expected, rel=1e-5)


def test_without_regularizer_there_is_no_term():
    forward(tf.zeros([2, 28, 28, 1]), True, None, "convnet")
    assert tf.get_collection("losses") == []


GOLDEN = {
    "fully_connected": """
        hidden/weights 784 500
        hidden/biases 500
        logits/weights 500 10
        logits/biases 10""",
    "lenet5": """
        conv1/weights 5 5 1 32
        conv1/biases 32
        conv2/weights 5 5 32 64
        conv2/biases 64
        hidden/weights 3136 512
        hidden/biases 512
        logits/weights 512 10
        logits/biases 10""",
    "convnet": "\n".join(
        f"""
        stage{stage}/conv{i}/weights 3 3 {cin if i == 1 else cout} {cout}
        stage{stage}/norm{i}/scale {cout}
        stage{stage}/norm{i}/offset {cout}
        stage{stage}/norm{i}/moving_mean {cout}
        stage{stage}/norm{i}/moving_variance {cout}"""
        for stage, cin, cout in ((1, 1, 16), (2, 16, 32), (3, 32, 64))
        for i in (1, 2)
    )
    + """
        logits/weights 1024 10
        logits/biases 10""",
}


@pytest.mark.parametrize("name", NETWORKS)
def test_variables_are_those_that_checkpoints_hold(name):
    forward(tf.placeholder(tf.float32, [None, 28, 28, 1]), True, 1e-4, name)
    variables = [v for v in tf.global_variables() if v.op.name != "global_step"]
    found = [" ".join([v.op.name, *map(str, v.shape.as_list())]) for v in variables]
    assert found == [line.strip() for line in GOLDEN[name].strip().split("\n") if line.strip()]


@pytest.mark.parametrize("name", NETWORKS)
def test_docstring_counts_the_parameters(name):
    import mnist.forward

    forward(tf.placeholder(tf.float32, [None, 28, 28, 1]), True, None, name)
    count = sum(v.shape.num_elements() for v in tf.trainable_variables())
    assert re.search(rf"{name} {count:,}\b", mnist.forward.__doc__)


@pytest.mark.parametrize("name", NETWORKS)
def test_any_batch_size(name):
    x = tf.placeholder(tf.float32, [None, 28, 28, 1])
    logits = forward(x, False, None, name)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for n in (1, 3):
            assert session.run(logits, {x: np.zeros([n, 28, 28, 1])}).shape == (n, 10)


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
