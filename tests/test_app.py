"""The apps: pictures in, answers out, in a table, as JSON, as CSV and drawn."""

import csv
import dataclasses
import io
import json
import shutil
import sys

from cifar10 import backward as cifar10_backward
from cifar10.forward import NETWORKS as CIFAR10
from cifar10.forward import forward as cifar10_forward
from cifar10.picture_to_input import views
from common import command_line
from common.app import classifier, drawing
from common.app import trained as trained_network
from common.data import pictures
from common.training import calibration, checkpoints, runs, testing
from mnist import app, picture_to_input
from mnist.forward import NETWORKS, forward

import conftest
import numpy as np
import pytest
from conftest import draw_seven
from PIL import Image


def test_app_tells_bad_pictures_and_answers_the_others(call, trained, tmp_path):
    text = tmp_path / "text.png"
    text.write_text("not a picture")
    Image.new("L", (50, 50), 200).save(tmp_path / "empty.png")
    whole = draw_seven(tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    good = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        good.append(draw_seven(folder / "7.png"))
    bad = {
        text: "is not a picture",
        tmp_path / "empty.png": "shows no ink",
        tmp_path / "cut.png": "cannot be read",
        tmp_path / "none.png": "does not exist",
        tmp_path / "*.gif": "matches nothing",
    }
    status, out, err = call(app.main, *trained[1], *bad, *good)
    assert status == 1
    for path, message in bad.items():
        assert f"error: {path} {message}" in err
    assert err.count("\n") == len(bad)
    assert all(f"{path}  " in out for path in good)
    assert "2 of 7 pictures" in out
    assert sorted(p.name for p in (tmp_path / "logs/mnist/fully_connected/app").iterdir()) == ["7-2.png", "7.png"]


@pytest.mark.parametrize("size", [(400, 300), (300, 400), (17, 33), (1, 5), (32, 32)])
def test_views_of_a_photo_are_the_whole_and_squares_along_it(size):
    width, height = size
    ramp = np.linspace(0, 255, max(size)).astype(np.uint8)  # along the longer side
    grey = np.broadcast_to(ramp if width >= height else ramp[:, None], (height, width))
    seen = views(Image.fromarray(np.stack([grey] * 3, axis=-1)), 32)
    assert seen.shape == (1, 4, 32, 32, 3) and seen.dtype == np.uint8
    whole, first, middle, last = seen[0].mean(axis=(1, 2, 3))
    assert whole == pytest.approx(127, abs=4) and middle == pytest.approx(127, abs=4)
    assert first == pytest.approx(255 - last, abs=4)
    assert last - first == pytest.approx(255 * (max(size) - min(size)) / (max(size) - 1), abs=8)


@pytest.fixture
def untrained(tiny_shapes, tmp_path):
    """A function of changes of a run: a Classifier of the default CIFAR-10 network after two steps."""
    recipe = dataclasses.replace(CIFAR10["airbench_slim"].RECIPE, batch_size=8)
    conftest.train(cifar10_backward, tmp_path, tiny_shapes, recipe, 2, "airbench_slim")
    run = conftest.described("airbench_slim", tiny_shapes, recipe, steps=2)

    def make(**changes):
        checkpoint = tmp_path / "model.ckpt-2"
        other = dataclasses.replace(run, **changes)
        network = trained_network.Network(cifar10_forward, other, checkpoint, conftest.CPU)
        return classifier.Classifier(network, tta=True)

    return make


def answers_to(network, views):
    """float [n, classes] of uint8 [n, views, height, width, channels]."""
    answers = network.classify([None] * len(views), [one[None] for one in views])
    assert not any(answer.doubtful.any() for answer in answers)
    return np.concatenate([answer.probabilities for answer in answers])


@pytest.mark.slow
def test_probabilities_are_the_mean_over_the_views(tiny_shapes, untrained, monkeypatch):
    monkeypatch.setattr(classifier, "BATCH_SIZE", 5)
    network = untrained()
    images = tiny_shapes.test.images[:12]
    together = answers_to(network, images.reshape(3, 4, 32, 32, 3))
    each = network.probabilities(images)
    np.testing.assert_allclose(together, each.reshape(3, 4, 10).mean(axis=1), atol=1e-5)
    np.testing.assert_allclose(network.probabilities(images[:, :, ::-1]), each, atol=1e-5)  # mirror images
    assert each.std(axis=0).max() > 1e-3


@pytest.mark.slow
def test_probabilities_are_those_at_the_temperature(tiny_shapes, untrained):
    images = tiny_shapes.test.images[:5]
    plain, hot = (untrained(temperature=t).probabilities(images) for t in (1.0, 3.0))
    np.testing.assert_allclose(hot, calibration.at(3.0, plain), atol=1e-5)
    assert np.abs(hot - plain).max() > 1e-3


def test_a_second_view_of_a_digit_may_only_raise_doubt(trained):
    """Pictures of one and of two items, with one and with two views of each."""
    folder, _ = trained
    network = trained_network.Network(forward, runs.read(folder, NETWORKS), folder / "model.ckpt-3", conftest.CPU)
    network = classifier.Classifier(network)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, [50, 28, 28, 1], dtype=np.uint8)
    classes = network.probabilities(images).argmax(axis=1)
    a = images[0]
    same, other = images[1:][classes[1:] == classes[0]][0], images[classes != classes[0]][0]
    views = [np.array(one) for one in ([[a]], [[a, same]], [[a, other]], [[a, a], [a, other]], [[a, 0 * a]])]
    answers = network.classify([None] * 5, views)
    assert [answer.doubtful.tolist() for answer in answers] == [[False], [False], [True], [False, True], [True]]
    for answer in answers:
        np.testing.assert_allclose(answer.probabilities[0], network.probabilities(a[None])[0], atol=1e-6)
        np.testing.assert_allclose(answer.saliency[-1], answers[0].saliency[0], atol=1e-6)


@pytest.mark.slow
def test_saliency_is_the_gradient_of_the_class(tiny_shapes, untrained, monkeypatch):
    """Where it is large, a change of a pixel changes the logit of the class more than elsewhere."""
    monkeypatch.setattr(classifier, "SMOOTHING", 0.0)
    network = untrained()
    image = tiny_shapes.test.images[0]
    [found] = network.saliency(image[None], np.array([4]))
    assert found.shape == (32, 32) and found.max() == 1.0 and found.min() >= 0
    order = np.argsort(found, axis=None)

    def change(places):
        rows, columns = np.unravel_index(places, found.shape)
        effect = []
        for y, x in zip(rows, columns, strict=True):
            for channel in range(3):
                other = image.astype(np.float32)
                other[y, x, channel] += 8
                p = network.probabilities(np.stack([image.astype(np.float32), other]))
                effect.append(abs(np.log(p[1, 4] / p[0, 4])))
        return np.mean(effect)

    assert change(order[-5:]) > 3 * change(order[:5])


@pytest.mark.parametrize(("paper", "ink"), [("white", "black"), ("black", "white"), ((250, 240, 210), (20, 30, 120))])
def test_digit_is_centred_white_on_black(tmp_path, paper, ink):
    path = draw_seven(tmp_path / "seven.png", paper=paper, ink=ink)
    image = picture_to_input.digit(pictures.read(path))[0, 0, ..., 0].astype(float)
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20 and image.max() == 255
    assert np.ptp(columns) < np.ptp(rows)  # proportions kept
    y, x = (image.sum(axis=1) @ np.arange(28), image.sum(axis=0) @ np.arange(28)) / image.sum()
    assert abs(y - 14) <= 0.53 and abs(x - 14) <= 0.53


def test_json_and_csv_hold_every_picture(call, trained, tmp_path):
    good, bad = draw_seven(tmp_path / "seven.png"), tmp_path / "none.png"
    status, out, _ = call(app.main, *trained[1], "--json", good, bad)
    [row, error] = json.loads(out)
    assert status == 1 and error == {"picture": str(bad), "error": f"{bad} does not exist"}
    assert row["answer"] == max(row["probabilities"], key=row["probabilities"].get)
    assert row["probability"] == max(row["probabilities"].values())
    assert row["sure"] == (row["probability"] >= classifier.SURE)
    assert Image.open(row["annotated"]).width > 1000
    status, out, _ = call(app.main, *trained[1], "--csv", good, bad)
    [line, failed] = csv.DictReader(io.StringIO(out))
    assert status == 1 and failed["error"] == error["error"] and failed["answer"] == ""
    assert line["answer"] == row["answer"] and float(line[row["answer"]]) == row["probability"]


def test_without_pictures_the_answers_are_the_same(call, trained, tmp_path):
    path = draw_seven(tmp_path / "seven.png")
    [row], [bare] = (json.loads(call(app.main, *trained[1], *f, "--json", path)[1]) for f in ([], ["--no-pictures"]))
    assert bare == row | {"annotated": None}
    status, _, err = call(app.main, *trained[1], "--no-pictures", "--output-dir", tmp_path / "out", path)
    assert status == 1 and "--no-pictures makes none" in err and not (tmp_path / "out").exists()


def test_folders_globs_and_a_sheet(call, trained, tmp_path):
    folder = tmp_path / "some" / "deeper"
    folder.mkdir(parents=True)
    for name in ("b.png", "a.jpg", "c.txt"):
        if name != "c.txt":
            draw_seven(folder / name)
        else:
            (folder / name).write_text("notes")
    status, out, _ = call(app.main, *trained[1], "--sheet", tmp_path / "some", folder / "*.png")
    lines = [line.split()[0] for line in out.splitlines() if line.startswith(str(folder))]
    assert status == 0 and lines == [str(folder / "a.jpg"), str(folder / "b.png")]
    assert [p.name for p in (tmp_path / "logs/mnist/fully_connected/app").iterdir()] == ["sheet.png"]
    (tmp_path / "void").mkdir()
    status, _, err = call(app.main, *trained[1], tmp_path / "void")
    assert status == 1 and err == f"error: {tmp_path / 'void'} is a folder without pictures\n"


def test_a_picture_of_the_user_is_never_written_over(call, trained, tmp_path):
    brought = [draw_seven(tmp_path / f"{name}.png") for name in ("seven", "sheet")]
    draw_seven(tmp_path / "seven-2.png")
    before = {path: path.read_bytes() for path in tmp_path.glob("*.png")}
    for flags in ([], ["--sheet"]):
        status, _, _ = call(app.main, *trained[1], "--output-dir", tmp_path, *flags, *brought)
        assert status == 0 and all(path.read_bytes() == data for path, data in before.items())
    made = {path.name for path in tmp_path.glob("*.png")} - {path.name for path in before}
    assert made == {"seven-3.png", "sheet-2.png", "sheet-3.png"}


def test_annotated_pictures_are_not_read_again(call, trained, tmp_path):
    draw_seven(tmp_path / "seven.png")
    for _ in range(2):
        status, out, _ = call(app.main, *trained[1], "--output-dir", tmp_path / "out", tmp_path)
        assert status == 0 and "1 of 1 pictures" in out


def test_many_pictures_come_in_order(call, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(classifier, "CHUNK", 2)
    paths = [draw_seven(tmp_path / f"{i}.png") for i in range(5)]
    (tmp_path / "3.png").write_text("broken")
    status, out, _ = call(app.main, *trained[1], "--json", *paths)
    rows = json.loads(out)
    assert status == 1 and [row["picture"] for row in rows] == list(map(str, paths))
    assert ["error" in row for row in rows] == [False, False, False, True, False]


def test_unsure_answer_says_so(tiny):
    def answer(*best, doubtful=False):
        probabilities = np.array([[p, *[(1 - p) / 9] * 9] for p in best])
        views, saliency = np.zeros([len(best), 1, 28, 28, 1], np.uint8), np.zeros([len(best), 28, 28])
        doubtful = np.array([*[False] * (len(best) - 1), doubtful])
        picture = Image.new("RGB", (40, 40))
        return classifier.Answer(picture, views, probabilities, doubtful, saliency, tiny.class_names)

    assert not answer(0.99, doubtful=True).sure and str(answer(0.99, 0.99, doubtful=True)) == "not sure, perhaps 00"

    assert answer(0.95).sure and str(answer(0.95)) == "0"
    assert not answer(0.4).sure and str(answer(0.4)) == "not sure, perhaps 0"
    number = answer(0.9, 0.8, 0.99)
    assert number.text == "000" and number.sure and number.probability == pytest.approx(0.9 * 0.8 * 0.99)
    assert not answer(0.9, 0.3, 0.99).sure
    assert drawing.card(number).height == drawing.card(answer(0.9)).height == drawing.HEIGHT + 2 * drawing.MARGIN


def test_a_line_says_which_network_answers_how_good_it_is_and_how_to_name_another(call, trained, tmp_path):
    folder, flags = trained
    picture = draw_seven(tmp_path / "seven.png")
    better = folder.with_name(runs.PRETRAINED)
    shutil.copytree(folder, better)
    run = runs.read(folder, NETWORKS)
    for place, accuracy in ((folder, 0.91), (better, 0.92)):
        runs.write(place, dataclasses.replace(run, validation_accuracy=accuracy))
    status, out, err = call(app.main, *flags, picture)
    line = out.splitlines()[0]
    assert (
        status == 0 and err == "" and line.startswith("fully_connected trained on MNIST, validation accuracy 0.9200, ")
    )
    assert line.endswith("mnist/pretrained/model.ckpt-3 (best of 2; --checkpoint asks another one)")
    assert (tmp_path / "logs/mnist/pretrained/app/seven.png").exists()
    status, out, _ = call(app.main, *flags, "--checkpoint", folder, picture)
    assert out.splitlines()[0].endswith("0.9100, " + str(folder / "model.ckpt-3"))
    assert (tmp_path / "logs/mnist/fully_connected/app/seven.png").exists()
    status, out, err = call(app.main, *flags, "--json", picture)
    assert json.loads(out) and err == line + "\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "task, forward, data, most_bytes",
    [("mnist", forward, "real_mnist", 1_000_000), ("cifar10", cifar10_forward, "real_cifar10", 2_200_000)],
)
def test_pretrained_network_has_its_stated_accuracy(request, task, forward, data, most_bytes):
    folder = command_line.CHECKPOINT_DIR / task / runs.PRETRAINED
    assert sum(path.stat().st_size for path in folder.iterdir()) < most_bytes
    run, data = runs.read(folder), request.getfixturevalue(data)
    if data.digest != run.dataset_sha256:
        pytest.skip(f"the network learnt from another copy of {data.title}")
    [(_, result)] = testing.test(forward, run, data.test, [checkpoints.named(folder)], conftest.CPU)
    assert result.accuracy == pytest.approx(run.test_accuracy, abs=5e-4)  # a few images, for other machines


def test_pictures_or_a_page(call, trained, tmp_path):
    for flags, message in [
        ([], "name the pictures to classify, or --serve"),
        (["--serve", "x.png"], "name the pictures to classify, or --serve"),
        (["--serve", "--sheet"], "--sheet goes without --serve"),
        (["x.png", "--port", "80"], "--port goes with --serve"),
    ]:
        status, _, err = call(app.main, *trained[1], *flags)
        assert status == 1 and err.startswith(f"error: {message}") and err.count("\n") == 1


def test_json_is_valid_where_standard_output_is_not_utf_8(trained, tmp_path, monkeypatch):
    path = draw_seven(tmp_path / "sieben-é.png")
    with io.TextIOWrapper(io.BytesIO(), "ascii") as stdout:
        monkeypatch.setattr(sys, "argv", ["app.py", *map(str, trained[1]), "--json", str(path)])
        monkeypatch.setattr(sys, "stdout", stdout)
        with pytest.raises(SystemExit):
            command_line.run(app.main)
        [row] = json.loads(stdout.buffer.getvalue())
    assert row["picture"] == str(path)
