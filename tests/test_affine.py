"""Turning, stretching, slanting and moving images."""

from common.graph import augmentation

import numpy as np
import tensorflow.compat.v1 as tf
from test_batches import run_with


def affine(images, step=0, seed=1, degrees=0, scale=0, shear=0, shift=0):
    changes = degrees, scale, shear, shift
    out = augmentation.random_affine(tf.constant(images), tf.constant(step, tf.int64), seed, *changes)
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


def test_a_turn_keeps_the_shape():
    """Its moments along its own axes."""

    def along_own_axes(images):
        xx, yy, xy = moments(images)
        root = np.sqrt((xx - yy) ** 2 / 4 + xy**2)
        return (xx + yy) / 2 + root, (xx + yy) / 2 - root

    turned = affine(upright_bar(), degrees=40)
    for before, after in zip(along_own_axes(upright_bar()), along_own_axes(turned), strict=True):
        np.testing.assert_allclose(after, before, rtol=0.05, atol=0.3)  # pixels², of the interpolation


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
    assert 1.9 < largest_move(moved) <= 2.01


def largest_move(images):
    """How far the centre of mass of any image is from the middle, along either axis, in pixels."""
    mass = images[..., 0] / images.sum(axis=(1, 2, 3))[:, None, None]
    return max(np.abs(mass.sum(axis=axis) @ np.arange(28) - 13.5).max() for axis in (1, 2))


def test_shift_is_the_largest_move_whatever_else_is_done():
    images = np.zeros([2000, 28, 28, 1], np.float32)
    images[:, 12:16, 12:16] = 100
    for others in ({}, {"degrees": 30}, {"scale": 0.3}, {"shear": 0.3}, {"degrees": 10, "scale": 0.15, "shear": 0.2}):
        assert 2.5 < largest_move(affine(images, shift=2.6, **others)) < 2.7  # a pixel is not a point
