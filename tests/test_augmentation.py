"""Augmentation in the graph: what each kind does to images, by seed and step alone."""

from common.errors import UserError
from common.graph import augmentation, batches

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from test_batches import numbered, run_with


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
    cropped = augmented(augmentation.random_crop, images, padding=padding, size=size)
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
        augmentation.random_crop(tf.zeros([1, 8, 8, 3]), 0, 1, padding=8, size=8)


def test_random_mirror_swaps_columns_of_about_half():
    images = numbered_pixels(400)
    mirrored = augmented(augmentation.random_mirror, images)
    swapped = np.array([np.array_equal(a, b[:, ::-1]) for a, b in zip(mirrored, images, strict=True)])
    same = np.array([np.array_equal(a, b) for a, b in zip(mirrored, images, strict=True)])
    assert (swapped ^ same).all() and 150 < swapped.sum() < 250


@pytest.mark.parametrize("size", [3, 4])
def test_cutout_paints_one_square_anywhere(size):
    images = numbered_pixels(500) + 10
    fill = [1.0, 2.0, 3.0]
    cut = augmented(augmentation.cutout, images, size, fill)
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
    factors = augmented(augmentation.random_color, images, 0.4) / images
    assert np.ptp(factors, axis=(1, 2)).max() < 1e-5  # one for a channel of an image
    factors = factors[:, 0, 0]
    assert 0.6 <= factors.min() < 0.61 and 1.39 < factors.max() <= 1.4
    assert np.abs(np.corrcoef(factors.T) - np.eye(3)).max() < 0.2


def test_random_light_keeps_each_channels_mean_but_for_the_brightness():
    images = np.random.default_rng(0).uniform(0, 255, [400, 8, 8, 3]).astype(np.float32)
    lit = augmented(augmentation.random_light, images, brightness=63.0, contrast=0.8)
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
        (augmentation.random_crop, [2, 8]),
        (augmentation.random_mirror, []),
        (augmentation.random_light, [63.0, 0.8]),
        (augmentation.random_color, [0.4]),
        (augmentation.cutout, [4, [0.0, 0.0, 0.0]]),
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
        (augmentation.random_crop, [0, 8]),
        (augmentation.random_light, [0.0, 0.0]),
        (augmentation.random_color, [0.0]),
        (augmentation.cutout, [0, [0.0] * 3]),
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
    images = augmentation.random_crop(images, step, 1, padding=2, size=4)
    images = augmentation.random_mirror(images, step, 1)
    found, expected = run_with(data, images, labels)
    np.testing.assert_array_equal(found % 10, np.broadcast_to(expected[:, None, None, None], found.shape))
    assert len(set(expected)) > 5


@pytest.mark.parametrize("down, right", [(-1, -1), (2, 2), (1, -2)])
def test_moved_images_are_reflected_at_their_edges(down, right):
    images = numbered_pixels(3)[:, :5]
    padded = np.pad(images, [(0, 0), (2, 2), (2, 2), (0, 0)], "reflect")
    expected = padded[:, 2 - down : 7 - down, 2 - right : 10 - right]
    np.testing.assert_array_equal(run_with(None, augmentation.move(tf.constant(images), down, right))[0], expected)


def test_an_image_of_a_single_pixel_stays_where_it_is():
    pixel = np.ones([2, 1, 1, 3], np.float32)
    np.testing.assert_array_equal(run_with(None, augmentation.move(tf.constant(pixel), 1, -1))[0], pixel)
