"""Temperature and calibration error, on probabilities whose truth is known."""

from common.training import calibration

import numpy as np
import pytest


def drawn(temperature, n=40_000):
    """Probabilities of logits that are too large by a factor, and labels drawn from the true ones."""
    random = np.random.default_rng(0)
    truth = np.exp(random.normal(scale=2, size=[n, 5]))
    truth /= truth.sum(axis=1, keepdims=True)
    labels = (truth.cumsum(axis=1) < random.random([n, 1])).sum(axis=1).clip(max=4)
    return calibration.at(1 / temperature, truth), labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_temperature_is_found_and_mends_the_error(temperature):
    probabilities, labels = drawn(temperature)
    found = calibration.temperature(probabilities, labels)
    assert found == pytest.approx(temperature, rel=0.05)
    before = calibration.expected_error(probabilities, labels)
    after = calibration.expected_error(calibration.at(found, probabilities), labels)
    assert after < 0.01 and (before > 0.05 or temperature == 1)


def test_few_images_fit_no_temperature():
    probabilities, labels = drawn(2.0, calibration.LEAST)
    assert calibration.temperature(probabilities, labels) != 1
    assert calibration.temperature(probabilities[1:], labels[1:]) == 1


def test_expected_error_by_hand():
    sure = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 2)
    labels = np.array([0, 0, 0, 1, 0, 1])  # 3 of 4 right at 0.9, 1 of 2 at 0.6
    assert calibration.expected_error(sure, labels) == pytest.approx((4 * 0.15 + 2 * 0.1) / 6)


def test_an_answer_of_certainty_is_in_the_last_bin():
    sure = np.array([[1.0, 0.0], [0.95, 0.05]])
    labels = np.array([1, 0])  # the certain one is wrong
    assert calibration.expected_error(sure, labels) == pytest.approx(abs(-1 + 0.05) / 2)


def test_probabilities_of_0_and_1_stay_numbers():
    found = calibration.at(2.0, np.array([[1.0, 0.0], [0.5, 0.5]]))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert np.isfinite(found).all() and found[1, 0] == 0.5
