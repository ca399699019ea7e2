"""Testers: averages restored, each image counted once, checkpoints followed."""

import dataclasses
import shutil
import threading
import time

import cifar10.backward
import mnist.backward
from common import command_line
from common.data import datasets
from common.errors import UserError
from common.graph import batches
from common.training import checkpoints, evaluation, plots, restoring, runs, testing
from mnist import test
from mnist.forward import NETWORKS, forward

import conftest
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from conftest import CPU
from helpers import RUN, scalars, train


def evaluated(folder, split, paths, raw=False, skip=True):
    """Runs testing.test: {step: evaluation}."""
    return dict(testing.test(forward, RUN, split, paths, CPU, raw=raw, skip_unreadable=skip))


def test_tester_restores_averages_and_counts_each_image_once(tiny, tmp_path):
    values = train(tmp_path, tiny, 20)
    for raw, suffix in ((False, "/ExponentialMovingAverage"), (True, "")):
        result = evaluated(tmp_path, tiny.test, [checkpoints.latest(tmp_path)], raw)[20]
        x = tiny.test.images.reshape(120, 784) / 255.0
        hidden = np.maximum(x @ values["hidden/weights" + suffix] + values["hidden/biases" + suffix], 0)
        logits = hidden @ values["logits/weights" + suffix] + values["logits/biases" + suffix]
        np.testing.assert_array_equal(result.labels, tiny.test.labels)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        expected = exponentials / exponentials.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(result.probabilities, expected, atol=1e-5)
        assert result.accuracy == (logits.argmax(axis=1) == tiny.test.labels).mean()
        assert result.confusion().sum() == 120 and np.trace(result.confusion()) == round(result.accuracy * 120)


def test_evaluation_by_hand():
    probabilities = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.5, 0.4, 0.1], [0.3, 0.1, 0.6]])
    result = evaluation.Evaluation(probabilities, np.array([0, 1, 0, 1, 0]))
    assert result.predictions.tolist() == [0, 1, 1, 0, 2] and result.accuracy == 0.4
    assert result.confusion().tolist() == [[1, 1, 1], [1, 1, 0], [0, 0, 0]]  # rows: labels
    np.testing.assert_allclose(result.class_accuracies(), [1 / 3, 1 / 2, np.nan])
    assert result.text == "accuracy 0.4000, mean of 2 of 3 classes 0.4167"
    assert testing._by_class("abc", result.class_accuracies()) == "a 0.333  b 0.500  c –"
    many = testing._by_class([str(i) for i in range(30)], np.array([np.nan, *np.linspace(1, 0.1, 29)]))
    assert many.startswith("29 0.100  28 0.132") and many.endswith("  (the lowest of 30)") and "–" not in many
    assert result.cross_entropy == pytest.approx(-np.log([0.6, 0.7, 0.1, 0.4, 0.3]).mean())
    assert result.most_confidently_wrong(2).tolist() == [2, 4]


def test_tester_survives_deleted_and_half_written_checkpoints(tiny, tmp_path, capsys):
    train(tmp_path, tiny, 12)
    for path in tmp_path.glob("model.ckpt-4.*"):
        path.unlink()
    half = tmp_path / "model.ckpt-8.data-00000-of-00001"
    half.write_bytes(half.read_bytes()[:1000])
    paths = [str(tmp_path / f"model.ckpt-{step}") for step in (4, 8, 12)]
    assert list(evaluated(tmp_path, tiny.test, paths)) == [12]
    assert capsys.readouterr().err.count("cannot read the checkpoint") == 2
    (tmp_path / "model.ckpt-8.index").write_bytes(b"half")
    with pytest.raises(UserError, match="cannot read the checkpoint .*model.ckpt-8"):
        evaluated(tmp_path, tiny.test, paths[1:], skip=False)


def test_of_a_checkpoint_of_something_else_only_the_names_are_read(tiny, tmp_path):
    train(tmp_path, tiny, 4)
    (tmp_path / "model.ckpt-4.data-00000-of-00001").write_bytes(b"")
    others = {"other": tf.get_variable("other", [3])}
    with pytest.raises(UserError, match="does not fit the network: other is not in it"):
        restoring.check(others, tmp_path / "model.ckpt-4")
    with pytest.raises(restoring.Unreadable):
        restoring.check({}, tmp_path / "model.ckpt-4")


def test_checkpoint_of_another_network_is_told_by_variable(tiny, tmp_path):
    train(tmp_path, tiny, 4, "lenet5")
    with pytest.raises(UserError) as error:
        evaluated(tmp_path, tiny.test, [checkpoints.latest(tmp_path)])
    name = "hidden/weights/ExponentialMovingAverage"
    assert f"{name} is [3136, 512] in it, [784, 500] in the network" in str(error.value)


def test_a_checkpoint_of_averages_alone_has_no_raw_weights():
    pretrained = checkpoints.named(command_line.CHECKPOINT_DIR / "mnist" / runs.PRETRAINED)
    run = runs.read(pretrained.parent, NETWORKS)
    forward(tf.placeholder(tf.float32, [None, 28, 28, 1]), False, None, run.network, 10)
    restoring.check(restoring.averages(run), pretrained)
    with pytest.raises(UserError, match="holds one set of weights, named as moving averages"):
        restoring.check(restoring.averages(run, raw=True), pretrained)


def test_a_run_that_lost_its_run_json_is_told(tiny, tmp_path):
    train(tmp_path / "mnist" / "softmax", tiny, 4)
    (tmp_path / "mnist" / "softmax" / "run.json").unlink(missing_ok=True)
    with pytest.raises(UserError, match="softmax/run.json is missing; put back"):
        checkpoints.newest(tmp_path, "mnist", None, None, wait=False)


def test_follow_gives_each_checkpoint_once_and_ends_with_the_last_step(tiny, tmp_path):
    runs.write(tmp_path, dataclasses.replace(RUN, steps=8))
    train(tmp_path, tiny, 4)
    seen = []
    for path in checkpoints.follow(tmp_path, interval=0.1):
        seen.append(checkpoints.step(path))
        if seen == [4]:
            train(tmp_path, tiny, 8)
    assert seen == [4, 8]


def test_follow_ends_when_the_trainer_has_died(tiny, tmp_path, capsys):
    train(tmp_path, tiny, 4)
    runs.write(tmp_path, dataclasses.replace(RUN, steps=1000))
    locked, may_end = threading.Event(), threading.Event()

    def trainer():
        with runs.lock(tmp_path):
            locked.set()
            may_end.wait(10)

    thread = threading.Thread(target=trainer)
    thread.start()
    locked.wait(10)
    seen = []
    for path in checkpoints.follow(tmp_path, interval=0.1):
        seen.append(checkpoints.step(path))
        threading.Timer(0.5, may_end.set).start()
    thread.join()
    assert seen == [4]
    told = capsys.readouterr().out.splitlines()[-1]
    assert told == "the trainer ended before step 1000; start the tester again beside the next one"


@pytest.mark.slow
def test_a_test_of_an_old_checkpoint_keeps_the_later_points(call, tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(datasets.MNIST, "mnist", lambda data_dir: tiny)
    folder, logs = tmp_path / "mnist" / "fully_connected", tmp_path / "logs" / "mnist"
    train(folder, tiny, 12)
    run = dataclasses.replace(runs.read(folder, NETWORKS), dataset="mnist", dataset_sha256=tiny.digest)
    runs.write(folder, run)
    shutil.copytree(folder, tmp_path / "backup")
    flags = ("--checkpoint-dir", tmp_path)  # the logs are in logs/ below it
    for place in (folder / "model.ckpt-12", folder / "model.ckpt-4", folder / "model.ckpt-8"):
        time.sleep(1)  # the event files of one second have one name
        assert call(test.main, *flags, "--checkpoint", place)[0] == 0
    assert sorted(scalars(logs / "fully_connected" / "test", "accuracy/test")) == [4, 8, 12]
    assert call(test.main, *flags, "--checkpoint", tmp_path / "backup")[0] == 0
    assert sorted(scalars(logs / "elsewhere" / "backup" / "test", "accuracy/test")) == [12]
    time.sleep(1)
    assert call(test.main, *flags, "--once")[0] == 0
    assert sorted(scalars(logs / "fully_connected" / "test", "accuracy/test")) == [4, 8, 12]  # none twice


def test_wrong_pictures_of_a_single_pixel_are_shown():
    for channels in 1, 3:
        images = np.full([2, 1, 1, channels], 200, np.uint8)
        assert plots.gallery(images, [0, 1], [1, 0], [0.5, 0.6], ("a", "b")).startswith(b"\x89PNG")


def test_the_more_views_of_an_image_the_smaller_the_batch(tiny, monkeypatch):
    monkeypatch.setattr(evaluation, "PIXELS", 30 * 28 * 28)
    counts = []

    def logits(images):
        counts.append(len(images))
        return np.zeros([len(images), 10], np.float32)

    def network(images):
        return tf.ensure_shape(tf.numpy_function(logits, [images], tf.float32), [None, 10])

    data = batches.source(tiny.test, "data")
    evaluate = evaluation.evaluator(data, network, views=4)
    with tf.Session() as session:
        session.run(tf.local_variables_initializer(), data.feed)
        assert len(evaluate(session).labels) == 120 and max(counts) == 7  # of 30 views


@pytest.mark.slow
@pytest.mark.parametrize(
    "task, data, network, moves, mirrored",
    [
        (cifar10, "tiny_shapes", "airbench_slim", [(-1, -1), (1, 1)], True),
        (mnist, "tiny", "fully_connected", [(-1, 0), (1, 0), (0, -1), (0, 1)], False),
    ],
)
def test_tta_is_the_mean_of_the_logits_of_the_views(request, tmp_path, task, data, network, moves, mirrored):
    data = request.getfixturevalue(data)
    recipe = dataclasses.replace(task.forward.NETWORKS[network].RECIPE, batch_size=8)
    conftest.train(task.backward, tmp_path, data, recipe, 2, network)
    run = conftest.described(network, data, recipe, steps=2)
    split, side = data.test, data.test.images.shape[1]
    views = {"plain": split.images}
    around = np.pad(split.images, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="reflect")
    for down, right in moves:
        views[f"moved by {down}, {right}"] = around[:, 1 - down : side + 1 - down, 1 - right : side + 1 - right]
    if mirrored:
        views |= {f"{name}, mirrored": images[:, :, ::-1] for name, images in views.items()}
    tested = [(name, datasets.Split(images, split.labels), False) for name, images in views.items()]
    probabilities = {}
    for name, images, tta in [*tested, ("tta", split, True)]:
        paths = [tmp_path / "model.ckpt-2"]
        [(step, result)] = testing.test(task.forward.forward, run, images, paths, conftest.CPU, tta=tta)
        assert step == 2
        probabilities[name] = result.probabilities
    # Logits add, probabilities multiply.
    product = np.prod([probabilities[name] for name in views], axis=0) ** (1 / len(views))
    expected = product / product.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities["tta"], expected, atol=1e-5)
    assert all(np.abs(probabilities["plain"] - probabilities[name]).max() > 1e-4 for name in [*views][1:])
