"""Towers: what n of them find together is what one finds, and their checkpoints are each other's."""

import cifar10.forward
from common.errors import UserError
from common.graph import augmentation, batches, device, layers, towers
from common.training import hooks
from mnist.forward import NETWORKS

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from conftest import CPU
from helpers import digest, scalars, slow_but, train, train_objects

TWO, FOUR = (tuple(f"/device:CPU:{i}" for i in range(n)) for n in (2, 4))
WITHOUT_BATCH_NORM = ["fully_connected", "softmax", "lenet5", "deep", "mechanics"]


def assert_alike(found, expected, most):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=most * max(1, np.abs(values).max()), err_msg=name)


@pytest.mark.parametrize("network", slow_but(["fully_connected", "lenet5"], WITHOUT_BATCH_NORM))
def test_a_step_of_towers_is_that_of_one(tiny, tmp_path, network):
    """After one step with momentum its slots hold the gradients. Augmentation and dropout draw the same, too."""
    one = train(tmp_path / "1", tiny, 1, network, optimizer="momentum")
    for devices in (TWO, FOUR):
        several = train(tmp_path / str(len(devices)), tiny, 1, network, optimizer="momentum", devices=devices)
        assert_alike(several, one, 1e-6)


@pytest.mark.parametrize("network", slow_but(["simple"], ["simple", "tutorial", "three_layer_convnet"]))
@pytest.mark.parametrize("changes", [{}, {"reduction": "sum", "class_weights": "balanced", "learning_rate": 1e-5}])
def test_a_step_of_cifar10_towers_is_that_of_one(tiny_shapes, tmp_path, network, changes):
    augment = dict(padding=2, mirror=1, cutout=4, color=0.1, brightness=9.0, contrast=0.2, degrees=9.0)
    one, two = (
        train_objects(tmp_path / str(len(d)), tiny_shapes, 1, network, devices=d, **augment, **changes)
        for d in ((CPU,), TWO)
    )
    assert_alike(two, one, 1e-5 if changes else 1e-6)


def test_parts_of_a_batch_are_the_batch(tiny_shapes):
    """Positions in the stream, labels, and every kind of augmentation; but for rounding, as of a cosine."""
    data = batches.on_device(tiny_shapes.train, "data")
    step = tf.constant(3, tf.int64)

    def batch():
        images, labels = batches.shuffled(data, step, 12, 1)
        images = augmentation.random_affine(images, step, 1, 9, 0.1, 0.1, 2)
        images = augmentation.random_crop(images, step, 1, 2, 32)
        images = augmentation.random_light(augmentation.random_mirror(images, step, 1), step, 1, 9, 0.2)
        return augmentation.cutout(augmentation.random_color(images, step, 1, 0.1), step, 1, 5, (1.0, 2.0, 3.0)), labels

    whole, parts = batch(), []
    for tower in towers.over((CPU,) * 3):
        with tower:
            parts.append(batch())
    with tf.Session() as session:
        session.run(tf.local_variables_initializer(), data.feed)
        whole, parts = session.run([whole, parts])
    for expected, found in zip(whole, zip(*parts, strict=True), strict=True):
        np.testing.assert_allclose(np.concatenate(found), expected, atol=0.002)  # pixel values
    assert len({part[0].tobytes() for part in parts}) == 3


def test_dropout_of_parts_is_that_of_the_whole():
    x = np.random.default_rng(0).normal(size=[6, 40]).astype(np.float32)
    tf.train.get_or_create_global_step()
    whole, parts = layers.dropout(tf.constant(x), 0.4, True, "drop"), []
    for i, tower in enumerate(towers.over((CPU,) * 3)):
        with tower:
            parts.append(layers.dropout(tf.constant(x[2 * i : 2 * i + 2]), 0.4, True, "drop"))
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        whole, parts = session.run([whole, parts])
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert 0 < np.mean(whole == 0) < 1


def test_statistics_of_batch_norm_are_the_mean_of_the_towers():
    values = np.random.default_rng(0).normal(3, 2, [2, 5, 4, 4, 2]).astype(np.float32)
    parts = []
    for tower, part in zip(towers.over(TWO), values, strict=True):
        with tower:
            y = layers.batch_norm(tf.constant(part), True, "norm")
            parts.append((y, tf.get_collection("statistics")))
    _, (_, changes) = towers.mean(parts, lambda own: own)
    mean, variance = tf.moving_average_variables()
    with tf.Session(config=device.session_config(TWO)) as session:
        session.run(tf.global_variables_initializer())
        session.run(layers.move_statistics(changes))
        unbiased = values.reshape(2, -1, 2).var(axis=1, ddof=1).mean(axis=0)
        np.testing.assert_allclose(session.run(mean), 0.1 * values.mean(axis=(0, 1, 2, 3)), rtol=1e-5)
        np.testing.assert_allclose(session.run(variance), 0.9 + 0.1 * unbiased, rtol=1e-5)


@pytest.mark.parametrize("network", slow_but(["fully_connected"], ["fully_connected", "convnet", "lenet5"]))
def test_towers_that_were_stopped_end_in_the_same_checkpoint(tiny, tmp_path, network):
    train(tmp_path / "whole", tiny, 7, network, devices=TWO)
    for steps in (4, 7):
        train(tmp_path / "parts", tiny, steps, network, devices=TWO)
    assert len({digest(tmp_path / run / "model.ckpt-7.data-00000-of-00001") for run in ("whole", "parts")}) == 1


@pytest.mark.parametrize("network", slow_but(["convnet"], ["convnet", *cifar10.forward.NETWORKS]))
def test_a_run_goes_on_with_another_number_of_towers(tiny, tiny_shapes, tmp_path, monkeypatch, network):
    """And TensorBoard shows the same curves and pictures."""
    monkeypatch.setattr(hooks, "SUMMARY_STEPS", 1)
    monkeypatch.setattr(hooks, "PICTURE_STEPS", 1)
    run, data = (train, tiny) if network in NETWORKS else (train_objects, tiny_shapes)
    run(tmp_path, data, 1, network)
    before = set(tags(tmp_path / "logs"))
    run(tmp_path, data, 2, network, devices=TWO)
    run(tmp_path, data, 3, network, devices=(CPU,))
    assert list(scalars(tmp_path / "logs", "loss/total")) == [1, 2, 3]
    assert set(tags(tmp_path / "logs")) == before


def tags(log_dir):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shown = EventAccumulator(str(log_dir), {"scalars": 0}).Reload().Tags()
    return [*shown["scalars"], *shown["histograms"], *shown["images"]]


def test_batch_that_cannot_be_parted_is_refused(tiny, tmp_path):
    with pytest.raises(UserError, match="batch_size 9 makes no 2 equal parts"):
        train(tmp_path, tiny, 1, devices=TWO, batch_size=9)


@pytest.mark.parametrize(
    ("names", "found"),
    [("cpu", 1), ("cpu:0,cpu:1", 2), ("CPU:1, cpu:0", 2), ("/device:CPU:0,/device:CPU:1,cpu:2", 3)],
)
def test_devices_of_towers(names, found):
    assert sorted(device.resolve_all(names)) == [f"/device:CPU:{i}" for i in range(found)]


@pytest.mark.parametrize(
    ("names", "message"),
    [("cpu:0,cpu:0", "twice"), ("cpu:0,cpu:5", "no device 'cpu:5'.*CPU:1"), ("cpu:1", "no device 'cpu:1'"),
     ("gpu:0,gpu:99", "no device"), ("cpu,", "no device ''")],
)  # fmt: skip
def test_devices_that_are_not_there(names, message):
    with pytest.raises(UserError, match=message):
        device.resolve_all(names)


def test_gpus_are_all_there_are(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [object()] * 2)
    assert device.resolve_all("gpus") == ("/device:GPU:0", "/device:GPU:1") == device.resolve_all("gpu:0,GPU:1")
