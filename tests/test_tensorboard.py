"""What TensorBoard itself serves of a run: precision and recall, projector, HParams, the profile of a step."""

import dataclasses
import io
import json
import re
import time
import urllib.parse
import urllib.request
from typing import NamedTuple

import cifar10.backward
import cifar10.forward
from common.data import datasets
from common.errors import UserError
from common.training import evaluation, projector, runs, testing
from mnist import backward
from mnist.forward import NETWORKS, forward

import conftest
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from conftest import CPU
from helpers import TINY, digest, slow_but, train
from PIL import Image
from tensorboard import program
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

TEST = "tests/mnist/elsewhere/first/test"  # the tester's log in the folder of both runs


class Served(NamedTuple):
    """folder: of the runs "first", which went on at step 4, and "second", with twice the rate. address: of its page."""

    folder: object
    address: str

    def get(self, path, body=None, **query):
        data = body and json.dumps(body).encode()
        url = f"{self.address}data/{path}?{urllib.parse.urlencode(query)}"
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        return urllib.request.urlopen(request, timeout=30).read()


@pytest.fixture(scope="module")
def served(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    for steps in (4, 8):
        profiled(folder / "first", tiny, steps, at=3)
    train(folder / "second", tiny, 8, learning_rate=0.2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(datasets.MNIST, "generated", lambda data_dir: tiny)
        flags = ["--checkpoint", folder / "first", "--log-dir", folder / "tests", "--device", "cpu", "--projector"]
        args = testing.parser("", NETWORKS, datasets.MNIST).parse_args(list(map(str, flags)))
        testing.test_checkpoints("mnist", args, forward, NETWORKS, datasets.MNIST)
    board = program.TensorBoard()
    # Interval 0, read once: a thread that goes on reading may be within TensorFlow when Python ends, and abort it.
    board.configure(logdir=str(folder), port=0, load_fast="false", reload_interval=0)
    served = Served(folder, board.launch())
    for _ in range(200):
        if TEST in json.loads(served.get("plugin/pr_curves/tags")):
            return served
        time.sleep(0.05)
    raise AssertionError(served.get("runs"))


def profiled(folder, data, steps, at, **changes):
    """Trains as helpers.train() does, and records a step."""
    recipe = dataclasses.replace(TINY["fully_connected"], **changes)
    with tf.Graph().as_default():
        run = conftest.described("fully_connected", data, recipe, steps)
        backward.backward(run, data, folder, folder / "logs", [CPU], profile=at)


@pytest.fixture
def result(served, tiny):
    """The evaluation that the tester logged, made again."""
    run = runs.read(served.folder / "first", NETWORKS)
    [(_, result)] = testing.test(forward, run, tiny.test, [served.folder / "first" / "model.ckpt-8"], CPU)
    return result


def test_precision_and_recall_are_those_at_each_threshold(served, result):
    for digit in range(10):
        tag = f"precision_recall/{digit}/pr_curves"
        [curve] = json.loads(served.get("plugin/pr_curves/pr_curves", run=TEST, tag=tag))[TEST]
        is_digit, probabilities = result.labels == digit, result.probabilities[:, digit]
        assert curve["step"] == 8
        for threshold in (0.0, 0.125, 0.25, 0.5):
            if (taken := probabilities >= threshold).any():
                i = curve["thresholds"].index(threshold)
                assert curve["precision"][i] == pytest.approx(is_digit[taken].mean())
                assert curve["recall"][i] == pytest.approx(taken[is_digit].mean())


def test_of_many_classes_there_are_no_curves(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "MOST_CURVES", 3)
    for count in (3, 4):
        random = np.random.default_rng(1)
        probabilities = random.dirichlet(np.ones(count), 20).astype(np.float32)
        result = evaluation.Evaluation(probabilities, random.integers(count, size=20))
        names = [f"class/{i}" for i in range(count)]
        evaluation.Log(tmp_path / str(count), np.zeros([20, 8, 8, 1], np.uint8), "test", names).write(1, result)
        tags = EventAccumulator(str(tmp_path / str(count))).Reload().Tags()["tensors"]
        assert len(tags) == (3 if count == 3 else 0)


def test_the_projector_shows_images_where_the_last_layer_sees_them(served, tiny, result):
    info = json.loads(served.get("plugin/projector/info", run=TEST))
    [points] = info["embeddings"]
    name = {"run": TEST, "name": points["tensorName"]}
    assert points["tensorName"] == "fully_connected, step 8" and points["tensorShape"] == [120, 500]
    values = conftest.variables(str(served.folder / "first" / "model.ckpt-8"))
    weights, biases = (values[f"hidden/{kind}/ExponentialMovingAverage"] for kind in ("weights", "biases"))
    hidden = np.maximum(tiny.test.images.reshape(120, 784) / 255.0 @ weights + biases, 0)
    shown = np.frombuffer(served.get("plugin/projector/tensor", **name), np.float32)
    np.testing.assert_allclose(shown.reshape(120, 500), hidden, rtol=1e-4, atol=1e-5)

    head, *rows = (row.split("\t") for row in served.get("plugin/projector/metadata", **name).decode().splitlines())
    assert head == ["label", "answer", "wrong", "probability"] and len(rows) == 120
    labels, answers, wrong, probabilities = (np.array(column, float) for column in zip(*rows, strict=True))
    np.testing.assert_array_equal(labels, tiny.test.labels)
    np.testing.assert_array_equal(answers, result.predictions)
    np.testing.assert_array_equal(wrong, labels != answers)
    np.testing.assert_allclose(probabilities, result.probabilities.max(axis=1), atol=6e-4)

    sprite = np.asarray(Image.open(io.BytesIO(served.get("plugin/projector/sprite_image", **name))))
    assert points["sprite"]["singleImageDim"] == [28, 28] and sprite.shape == (11 * 28, 11 * 28)
    for i, image in enumerate(tiny.test.images):
        top, left = i // 11 * 28, i % 11 * 28  # the page takes them row by row
        np.testing.assert_array_equal(sprite[top : top + 28, left : left + 28], image[:, :, 0])


def test_large_images_of_the_projector_become_thumbnails(tmp_path):
    images = np.random.default_rng(1).integers(256, size=[3, 130, 100, 3], dtype=np.uint8)
    result = evaluation.Evaluation(np.eye(3, dtype=np.float32), np.arange(3))
    projector.write(tmp_path, "points", images, np.zeros([3, 2]), result, ["a", "b", "ü"])
    sprite = np.asarray(Image.open(tmp_path / "projector" / "images.png"))
    assert sprite.shape == (2 * 44, 2 * 50, 3) and not sprite[44:, 50:].any()
    np.testing.assert_array_equal(sprite[44:, :50], images[2, ::3, ::2])
    assert "single_image_dim: 50\n    single_image_dim: 44" in (tmp_path / "projector_config.pbtxt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("network", "scale"), [("softmax", 1), ("tutorial", 1), ("airbench_mini", 8)])
def test_the_last_layer_is_found(tiny, tiny_shapes, tmp_path, network, scale):
    task, data = (forward, tiny) if network in NETWORKS else (cifar10.forward.forward, tiny_shapes)
    run = conftest.described(network, data, (NETWORKS | cifar10.forward.NETWORKS)[network].RECIPE, steps=1)
    images, path = data.test.images[:101], str(tmp_path / "model.ckpt")
    logits = evaluation.logits(task, run, tf.constant(images, tf.float32))
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, path)
        expected, *last = session.run([logits, *tf.trainable_variables()[-2:]])
    given = projector.activations(task, run, images, path, CPU, raw=True)
    np.testing.assert_allclose((given @ last[0] + last[1]) / scale, expected, rtol=1e-3, atol=1e-4)


def test_hparams_show_the_accuracy_of_each_recipe(served, tiny):
    columns = [{"hparam": "learning_rate"}, {"metric": {"group": "", "tag": "accuracy/validation"}}]
    statuses = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
    asked = {"startIndex": 0, "sliceSize": 9, "allowedStatuses": statuses, "colParams": columns}
    groups = json.loads(served.get("plugin/hparams/session_groups", asked))["sessionGroups"]
    found = {}
    for group in groups:
        [session] = group["sessions"]
        assert group["hparams"]["optimizer"] == "sgd" and group["hparams"]["batch_size"] == 8
        [value] = [m["value"] for m in session["metricValues"] if m["name"]["tag"] == "accuracy/validation"]
        found[session["name"]] = group["hparams"]["learning_rate"], value
    accuracies = {name: runs.read(served.folder / name).validation_accuracy for name in ("first", "second")}
    assert found == {
        "first/logs": (0.1, pytest.approx(accuracies["first"])),
        "second/logs": (0.2, pytest.approx(accuracies["second"])),
    }


def test_a_run_that_starts_twice_and_other_seeds_are_one_group_of_hparams(tiny, tmp_path):
    train(tmp_path / "run", tiny, 4)
    for path in tmp_path.glob("run/model.ckpt-*"):
        path.unlink()  # as if it had been killed before its first checkpoint
    train(tmp_path / "run", tiny, 4)
    train(tmp_path / "other", tiny, 4, seed=2)
    groups = []
    for name in ("run", "other"):
        log = EventAccumulator(str(tmp_path / name / "logs")).Reload()
        entry = log.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        groups.append(metadata.parse_session_start_info_plugin_data(entry).group_name)
        assert {event.step for event in log.Tensors("_hparams_/session_start_info")} == {0}
    assert groups[0] == groups[1]


def test_a_profile_is_shown_and_changes_no_bit(served, tiny, tmp_path):
    logs = served.folder / "first" / "logs"
    shown = served.get("plugin/graphs/run_metadata", run="first/logs", tag="step 3").decode()
    trace = json.loads((logs / "profile-3.json").read_text())
    named = {event["args"].get("name") for event in trace["traceEvents"] if event["ph"] == "X"}
    table = (logs / "profile-3.txt").read_text()
    for operation in (
        "gradients/logits/MatMul_grad/MatMul",
        "GradientDescent/update_hidden/weights/ResourceApplyGradientDescent",
    ):
        assert operation in named and f'node_name: "{operation}"' in shown
        assert re.search(rf"^{operation.rpartition('/')[2]} .*B .*us ", table, re.MULTILINE)
    assert "requested_bytes" in shown
    saved = (served.folder / "first" / "model.ckpt-4.index").stat().st_mtime_ns
    assert (logs / "profile-3.json").stat().st_mtime_ns < saved  # the same flags when a run goes on: not again
    for steps in (4, 8):
        train(tmp_path, tiny, steps)
    for ending in ("data-00000-of-00001", "index"):
        name = f"model.ckpt-8.{ending}"
        assert digest(tmp_path / name) == digest(served.folder / "first" / name)


def test_a_profile_after_the_last_step_is_one_line(tiny, tmp_path):
    with pytest.raises(UserError, match="--profile 9: the run ends at step 8; give that step or an earlier one"):
        profiled(tmp_path, tiny, 8, at=9)


@pytest.mark.parametrize("network", slow_but(["softmax"], ["softmax", "simple"]))
def test_the_flag_records_a_step_of_either_task(call, tiny, tiny_shapes, tmp_path, monkeypatch, network):
    name, task, data = ("mnist", backward, tiny) if network == "softmax" else ("cifar10", cifar10.backward, tiny_shapes)
    monkeypatch.setitem(datasets.FAMILIES[name], name, lambda data_dir: data._replace(name=name))
    flags = ("--network", network, "--dataset", name, "--steps", 2, "--set", "batch_size=8")
    for folder, profile in (("with", ("--profile", 2)), ("without", ())):
        with tf.Graph().as_default():
            status, out, _ = call(task.main, "--checkpoint-dir", tmp_path / folder, *flags, *profile)
        assert status == 0 and ("profile-2.json" in out) == bool(profile)
    found = [path.relative_to(tmp_path) for path in tmp_path.rglob("profile-*")]
    logs = f"with/logs/{name}/{network}/train"
    assert sorted(map(str, found)) == [f"{logs}/profile-2.json", f"{logs}/profile-2.txt"]
    saved = [next(tmp_path.glob(f"{folder}/{name}/{network}/*.data-*")) for folder in ("with", "without")]
    assert digest(saved[0]) == digest(saved[1])
