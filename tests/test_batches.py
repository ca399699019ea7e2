"""Batches in the graph: which examples a step takes, and how they are augmented."""

import itertools

from common.data import datasets
from common.errors import UserError
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


def numbered_pixels(n, size=8):
    """n images of size × size pixels, three channels, no two pixels of an image alike."""
    image = np.arange(size * size * 3, dtype=np.float32).reshape(size, size, 3)
    return np.stack([image + 1000 * i for i in range(n)])


STEP = 3


def augmented(function, images, *args, step=STEP, seed=1, **kwargs):
    out = function(tf.constant(images), tf.constant(step, tf.int64), seed, *args, **kwargs)
    return run_with(None, out)[0]


@pytest.mark.parametrize(("padding", "size"), [(2, 8), (0, 4), (1, 6)])
def test_random_crop_is_a_crop_of_the_reflected_image(padding, size):
    images = numbered_pixels(300)
    cropped = augmented(batches.random_crop, images, padding=padding, size=size)
    margin = (padding, padding)
    padded = np.pad(images, [(0, 0), margin, margin, (0, 0)], "reflect")
    places = [
        [
            (y, x)
            for y in range(5)
            for x in range(5)
            if np.array_equal(padded[i, y : y + size, x : x + size], cropped[i])
        ]
        for i in range(300)
    ]
    assert all(len(place) == 1 for place in places)
    assert len({place[0] for place in places}) == 25  # each of the moves comes


def test_images_that_are_smaller_than_their_padding_are_refused():
    with pytest.raises(UserError, match="padding=8 needs images of more than 8 pixels, not 8×8"):
        batches.random_crop(tf.zeros([1, 8, 8, 3]), 0, 1, padding=8, size=8)


def test_random_mirror_swaps_columns_of_about_half():
    images = numbered_pixels(400)
    mirrored = augmented(batches.random_mirror, images)
    swapped = np.array([np.array_equal(a, b[:, ::-1]) for a, b in zip(mirrored, images, strict=True)])
    same = np.array([np.array_equal(a, b) for a, b in zip(mirrored, images, strict=True)])
    assert (swapped ^ same).all() and 150 < swapped.sum() < 250


@pytest.mark.parametrize("size", [3, 4])
def test_cutout_paints_one_square_anywhere(size):
    images = numbered_pixels(500) + 10
    fill = [1.0, 2.0, 3.0]
    cut = augmented(batches.cutout, images, size, fill)
    painted = (cut != images).all(axis=-1)
    assert (cut[painted] == fill).all() and (cut[~painted] == images[~painted]).all()
    for mask in painted:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert mask.sum() == len(rows) * len(columns) > 0  # a rectangle: the square, as far as it is in the image
        for line in (rows, columns):
            assert len(line) == size or (len(line) < size and (line[0] == 0 or line[-1] == 7))
    assert painted.any(axis=0).all()  # corners too
    assert painted.sum(axis=(1, 2)).max() == size**2


def test_random_color_multiplies_each_channel():
    images = np.random.default_rng(4).uniform(1, 255, [300, 6, 6, 3]).astype(np.float32)
    factors = augmented(batches.random_color, images, 0.4) / images
    assert np.ptp(factors, axis=(1, 2)).max() < 1e-5  # one for a channel of an image
    factors = factors[:, 0, 0]
    assert 0.6 <= factors.min() < 0.61 and 1.39 < factors.max() <= 1.4
    assert np.abs(np.corrcoef(factors.T) - np.eye(3)).max() < 0.2


def test_random_light_keeps_each_channels_mean_but_for_the_brightness():
    images = np.random.default_rng(0).uniform(0, 255, [400, 8, 8, 3]).astype(np.float32)
    lit = augmented(batches.random_light, images, brightness=63.0, contrast=0.8)
    mean = images.mean(axis=(1, 2), keepdims=True)
    shift = (lit - images).mean(axis=(1, 2, 3))
    stretch = (lit - mean - shift[:, None, None, None]) / (images - mean)
    stretch = np.median(stretch, axis=(1, 2, 3))
    np.testing.assert_allclose(
        lit, (images - mean) * stretch[:, None, None, None] + mean + shift[:, None, None, None], atol=0.01
    )
    for found, least, most in ((shift, -63, 63), (stretch, 0.2, 1.8)):
        assert least <= found.min() < least + 0.05 * (most - least)
        assert most >= found.max() > most - 0.05 * (most - least)
    assert abs(np.corrcoef(shift, stretch)[0, 1]) < 0.2


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (batches.random_crop, [2, 8]),
        (batches.random_mirror, []),
        (batches.random_light, [63.0, 0.8]),
        (batches.random_color, [0.4]),
        (batches.cutout, [4, [0.0, 0.0, 0.0]]),
    ],
    ids=["crop", "mirror", "light", "color", "cutout"],
)
def test_augmentation_depends_on_seed_and_step_alone(function, args):
    images = numbered_pixels(50) + 1
    first = augmented(function, images, *args)
    np.testing.assert_array_equal(first, augmented(function, images, *args))
    assert (first != augmented(function, images, *args, step=STEP + 1)).any()
    assert (first != augmented(function, images, *args, seed=2)).any()


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (batches.random_crop, [0, 8]),
        (batches.random_light, [0.0, 0.0]),
        (batches.random_color, [0.0]),
        (batches.cutout, [0, [0.0] * 3]),
    ],
)
def test_augmentation_of_no_extent_changes_nothing(function, args):
    images = numbered_pixels(3)
    np.testing.assert_array_equal(augmented(function, images, *args), images)


def test_augmented_images_keep_their_labels():
    """Image i is filled with i, which no crop and no mirror changes, and its label is i modulo 10."""
    data = batches.on_device(numbered(25), "data")
    step = tf.constant(STEP, tf.int64)
    images, labels = batches.shuffled(data, step, 20, seed=1)
    images = batches.random_mirror(batches.random_crop(images, step, 1, padding=2, size=4), step, 1)
    found, expected = run_with(data, images, labels)
    np.testing.assert_array_equal(found % 10, np.broadcast_to(expected[:, None, None, None], found.shape))
    assert len(set(expected)) > 5


def test_standardize_by_channel():
    images = numbered_pixels(2)
    mean, std = [10.0, 20.0, 30.0], [1.0, 2.0, 4.0]
    found = run_with(None, batches.standardize(tf.constant(images), mean, std))[0]
    np.testing.assert_allclose(found, (images - mean) / std, rtol=1e-6)
