"""Batches in the graph: which examples a step takes, and how they are augmented."""

import itertools

from common.data import datasets
from common.graph import batches

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


def test_orders_of_epochs_and_seeds_are_as_independent_as_true_permutations():
    """Of all pairs of twelve orders, of two seeds and six epochs. The bounds are five standard deviations and more."""
    n, batch_size = 55_000, 256
    images = np.arange(n, dtype=np.uint16)[:, None].view(np.uint8).reshape(n, 1, 2, 1)  # each image is its own number
    orders = []
    for seed in (1, 2):
        with tf.Graph().as_default(), tf.Session() as session:
            data = batches.on_device(datasets.Split(images, np.zeros(n, np.uint8)), "data")
            session.run(tf.local_variables_initializer(), data.feed)
            shown, _ = batches.shuffled(data, tf.placeholder(tf.int64, [], "step"), n, seed)
            low, high = (shown[:, 0, i, 0] for i in (0, 1))
            orders += [session.run(low + 256 * high, {"step:0": epoch}).astype(int) for epoch in range(6)]
    places = [np.argsort(order) for order in orders]
    for order in orders:
        assert abs(np.corrcoef(order, np.arange(n))[0, 1]) < 5 / n**0.5  # it does not keep to the file's order
        assert abs(np.corrcoef(order[1:], order[:-1])[0, 1]) < 5 / n**0.5  # nor do neighbours
    chance = batch_size / n  # that two images of a batch meet again
    pairs = n * batch_size / 2 * chance
    for i, j in itertools.combinations(range(len(orders)), 2):
        assert abs(np.corrcoef(places[i], places[j])[0, 1]) < 5 / n**0.5
        still_neighbours = np.abs(np.diff(places[j][orders[i]])) == 1
        assert still_neighbours.sum() <= 12  # Poisson, 2 on average
        together = np.zeros([n // batch_size + 1] * 2)
        np.add.at(together, (places[i] // batch_size, places[j] // batch_size), 1)
        met = (together * (together - 1) / 2).sum()
        assert met == pytest.approx(pairs, rel=0.05)


def test_batch_depends_on_seed_and_step_alone():
    first = order(25, 10, range(6), seed=7)
    assert order(25, 10, [5, 3], seed=7) == [first[5], first[3]]
    assert order(25, 10, [5, 3], seed=8) != [first[5], first[3]]


def test_in_order_gives_every_example_once():
    data = batches.on_device(numbered(25), "data")
    start = tf.placeholder(tf.int64, [])
    _, labels = batches.in_order(data, start, tf.minimum(start + 10, 25))
    with tf.Session() as session:
        session.run(tf.local_variables_initializer(), data.feed)
        sizes = [len(session.run(labels, {start: i})) for i in range(0, 25, 10)]
    assert sizes == [10, 10, 5]


def test_training_images_stay_out_of_graph_and_checkpoint(graph):
    batches.on_device(datasets.Split(np.zeros([1000, 28, 28, 1], np.uint8), np.zeros(1000, np.uint8)), "data")
    assert graph.as_graph_def().ByteSize() < 20_000
    assert tf.global_variables() == []


@pytest.mark.parametrize(("mean", "std"), [((10.0, 20.0, 30.0), (1.0, 2.0, 4.0)), (10.0, 4.0)])
def test_standardize_by_channel(mean, std):
    images = np.arange(2 * 3 * 4 * 3, dtype=np.float32).reshape(2, 3, 4, 3)
    standardized = batches.standardize(tf.constant(images), mean, std)
    assert standardized.shape.is_fully_defined()  # or layers.gelu() would not be the fast one
    np.testing.assert_allclose(run_with(None, standardized)[0], (images - mean) / std, rtol=1e-6)
    of_any_number = batches.standardize(tf.placeholder(tf.float32, [None, 3, 4, 3]), mean, std)
    assert of_any_number.shape.as_list() == [None, 3, 4, 3]
