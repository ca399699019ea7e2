"""What a network answers: views of a photo and their mean, the temperature, which pixels decided, and doubt."""

import dataclasses

from cifar10 import backward as cifar10_backward
from cifar10.forward import NETWORKS as CIFAR10
from cifar10.forward import forward as cifar10_forward
from cifar10.picture_to_input import views
from common.app import classifier, drawing
from common.app import trained as trained_network
from common.training import calibration, runs
from mnist.forward import NETWORKS, forward

import conftest
import numpy as np
import pytest
from PIL import Image


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
