"""Exports in this kit: its apps ask them, and its trainings begin with their weights."""

import json

from common.app import classifier, drawing, exported, page, trained
from common.training import checkpoints, restoring, runs, testing
from mnist import app
from mnist import backward as mnist_backward
from mnist import export as mnist_export
from mnist.forward import NETWORKS, forward
from mnist.picture_to_input import digit

import conftest
import numpy as np
import pytest
from helpers import draw_seven, python
from PIL import Image
from werkzeug.test import Client


@pytest.mark.slow
def test_weights_come_back_in_bit_for_bit(call, here, trained_digits, tiny):
    assert call(mnist_export.main, *trained_digits, "--to", "npz")[0] == 0
    weights = here / "exports/mnist/fully_connected-generated/weights.npz"
    picture = draw_seven(here / "7.png")
    answers = []
    for checkpoint in runs.folder(here / "checkpoints", "mnist", "fully_connected", "generated"), weights:
        _, out, err = call(app.main, "--checkpoint", checkpoint, "--json", "--log-dir", here, picture)
        answers.append(json.loads(out)[0]["probabilities"])
        assert "fully_connected trained on generated digits" in err
        run = runs.read(checkpoint if checkpoint.is_dir() else checkpoint.parent, NETWORKS)
        network = trained.Network(forward, run, checkpoints.named(checkpoint), conftest.CPU)
        answers.append(network.probabilities(tiny.test.images).tolist())
    assert answers[0] == answers[2] and answers[1] == answers[3]
    flags = ["--dataset", "generated", "--network", "fully_connected", "--steps", 1, "--start-from", weights]
    flags += ["--checkpoint-dir", here / "more", "--set", "batch_size=8", "learning_rate=0"]
    status, out, _ = call(mnist_backward.main, *flags)
    assert status == 0 and "weights.npz: 4 of 4 variables" in out
    after = restoring.read(checkpoints.latest(here / "more/mnist/fully_connected-generated"))
    for name, array in np.load(weights).items():
        assert name == "global_step" or (after[name] == array).all()


@pytest.mark.slow
def test_a_checkpoint_of_float16_has_half_the_size_and_is_used_as_any_other(call, here, trained_digits, tiny):
    assert call(mnist_export.main, *trained_digits, "--to", "checkpoint")[0] == 0
    folder = here / "exports/mnist/fully_connected-generated"
    told = exported.read(folder).forms
    assert told["checkpoint-float16"].bytes < 0.55 * told["checkpoint"].bytes
    half = checkpoints.named(folder / "checkpoint-float16")
    exact, held = restoring.read(checkpoints.named(folder / "checkpoint")), restoring.read(half)
    assert exact.pop("global_step") == held.pop("global_step") == 3 and exact.keys() == held.keys()
    for name, array in exact.items():
        np.testing.assert_array_equal(held[name], array.astype(np.float16), strict=True)
    run = runs.read(half.parent, NETWORKS)
    [(step, result)] = testing.test(forward, run, tiny.test, [half], conftest.CPU)
    assert step == 3 and result.accuracy == run.test_accuracy == told["checkpoint-float16"].accuracy
    network = trained.Network(forward, run, half, conftest.CPU)
    np.testing.assert_array_equal(network.probabilities(tiny.test.images).argmax(axis=1), result.predictions)
    flags = ["--dataset", "generated", "--network", "fully_connected", "--steps", 1, "--start-from", half]
    status, out, _ = call(mnist_backward.main, *flags, "--checkpoint-dir", here / "more", "--set", "batch_size=8")
    assert status == 0 and "checkpoint-float16/model.ckpt-3: 4 of 4 variables" in out


def test_what_apps_import_is_not_tensorflow():
    program = (
        "import sys; sys.path.insert(0, '.')\n"
        "from mnist import app; from cifar10 import app; from common.app import page\n"
        "print([name for name in sys.modules if 'tensorflow' in name or name in ('matplotlib.pyplot', 'onnxruntime')])"
    )
    assert python(program, conftest.ROOT) == "[]\n"


def test_pages_and_cards_leave_out_what_an_export_cannot_say(here, trained_digits, tiny, call):
    class Forward:
        """As an exported network: it has no gradient."""

        gradient = None

        def __init__(self, network):
            self.about, self.probabilities = network.about, network.probabilities

    folder = runs.folder(here / "checkpoints", "mnist", "fully_connected", "generated")
    session = trained.Network(forward, runs.read(folder, NETWORKS), checkpoints.named(folder), conftest.CPU)
    picture = Image.open(draw_seven(here / "7.png"))
    widths, shown = [], []
    for network in session, Forward(session):
        asked = classifier.Classifier(network)
        [answer] = asked.classify([picture], [digit(picture)])
        widths.append(drawing.card(answer).width)
        client = Client(page.application("mnist", asked, digit))
        shown.append(client.post("/classify", data=(here / "7.png").read_bytes()).json["items"][0])
    assert widths[1] < widths[0] and shown[0].keys() - shown[1].keys() == {"decided"}
    assert shown[0]["probabilities"] == shown[1]["probabilities"]
