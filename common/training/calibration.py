"""Probabilities that can be believed: of the answers given with 80 %, four in five are right."""

import numpy as np

BINS = 15  # as in Guo et al.
LEAST = 50  # images: fewer say nothing of how sure a network may be


def temperature(probabilities, labels):
    """The number that the logits are to be divided by: the one with the least cross-entropy.

    1 if no answer is wrong, and of fewer than 50 images.

    Guo et al., "On Calibration of Modern Neural Networks", 2017. probabilities: float [n, classes], of images that did
    not train. labels: int [n].
    """
    if len(labels) < LEAST:
        return 1.0
    if (probabilities.argmax(axis=1) == labels).all():  # the least would be at 0, where every answer is certain
        return 1.0

    from scipy import optimize  # here, as it takes a fifth of a second, and training starts without it

    def cross_entropy(log_temperature):
        calibrated = at(np.exp(log_temperature), probabilities)
        return -np.log(calibrated[np.arange(len(labels)), labels].clip(1e-38)).mean()

    best = optimize.minimize_scalar(cross_entropy, bounds=np.log([0.2, 20]), method="bounded")
    return float(np.exp(best.x))


def at(temperature, probabilities):
    """The probabilities that the logits give when they are divided by a temperature."""
    logits = np.log(np.asarray(probabilities, np.float64).clip(1e-38)) / temperature  # up to a constant, which cancels
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def expected_error(probabilities, labels):
    """Expected calibration error, 0 to 1: how far the accuracy is from the probability of the answers, on average.

    Answers of like probability are compared together, in 15 bins. probabilities: float [n, classes]. labels: int [n].
    """
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    return float(np.abs(np.bincount(bins, right - sure, BINS)).sum() / len(labels))
