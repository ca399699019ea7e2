"""The apps: pictures in, answers out."""

import dataclasses

from cifar10 import app as cifar10_app
from cifar10 import backward as cifar10_backward
from cifar10.forward import forward as cifar10_forward
from common import answers, pictures
from mnist import app

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
        tmp_path / "empty.png": "shows no digit",
        tmp_path / "cut.png": "cannot be read",
        tmp_path / "none.png": "does not exist",
        tmp_path: "is a folder",
    }
    status, out, err = call(app.main, *trained[1], *bad, *good)
    assert status == 1
    for path, message in bad.items():
        assert f"error: {path} {message}" in err
    assert err.count("\n") == len(bad)
    assert all(f"{path}  " in out for path in good)
    assert sorted(p.name for p in (tmp_path / "logs/mnist/fully_connected/app").iterdir()) == ["7-2.png", "7.png"]


@pytest.mark.parametrize("size", [(400, 300), (300, 400), (17, 33), (1, 5), (32, 32)])
def test_views_of_a_photo_are_the_whole_and_squares_along_it(size):
    width, height = size
    ramp = np.linspace(0, 255, max(size)).astype(np.uint8)  # along the longer side
    grey = np.broadcast_to(ramp if width >= height else ramp[:, None], (height, width))
    views = cifar10_app.network_input(Image.fromarray(np.stack([grey] * 3, axis=-1)))
    assert views.shape == (4, 32, 32, 3) and views.dtype == np.uint8
    whole, first, middle, last = views.mean(axis=(1, 2, 3))
    assert whole == pytest.approx(127, abs=4) and middle == pytest.approx(127, abs=4)
    assert first == pytest.approx(255 - last, abs=4)
    assert last - first == pytest.approx(255 * (max(size) - min(size)) / (max(size) - 1), abs=8)


def test_classify_is_the_mean_over_the_views(tiny_shapes, tmp_path, monkeypatch):
    recipe = dataclasses.replace(cifar10_backward.RECIPES["airbench_slim"], batch_size=8)
    conftest.train(cifar10_backward, tmp_path, tiny_shapes, recipe, 2, "airbench_slim")
    record = conftest.record("airbench_slim", tiny_shapes, recipe, steps=2)
    monkeypatch.setattr(answers, "BATCH_SIZE", 2)

    def classify(views):
        return answers.classify(cifar10_forward, record, views, tmp_path / "model.ckpt-2", conftest.CPU, tta=True)

    images = tiny_shapes.test.images[:12]
    together = classify(images.reshape(3, 4, 32, 32, 3))
    each = classify(images[:, None])
    np.testing.assert_allclose(together, each.reshape(3, 4, 10).mean(axis=1), atol=1e-5)
    np.testing.assert_allclose(classify(images[:, None, :, ::-1]), each, atol=1e-5)  # mirror images
    assert each.std(axis=0).max() > 1e-3


@pytest.mark.parametrize(("paper", "ink"), [("white", "black"), ("black", "white"), ((250, 240, 210), (20, 30, 120))])
def test_network_input_is_centred_white_on_black(tmp_path, paper, ink):
    path = draw_seven(tmp_path / "seven.png", paper=paper, ink=ink)
    image = app.network_input(pictures.read(path))[0, ..., 0].astype(float)
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20 and image.max() == 255
    assert np.ptp(columns) < np.ptp(rows)  # proportions kept
    y, x = (image.sum(axis=1) @ np.arange(28), image.sum(axis=0) @ np.arange(28)) / image.sum()
    assert abs(y - 13.5) <= 0.5 and abs(x - 13.5) <= 0.5
