"""The values that networks start from, against the notes and closed formulas."""

import cifar10.forward
import mnist.forward
from cifar10.networks import airbench as airbench_network

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from test_networks import images, run

TRUNCATED = 0.8796  # of the standard deviation that a normal distribution keeps when it is cut at two of them


@pytest.mark.parametrize(
    ("task", "name", "variable", "std", "mean"),
    [
        (mnist.forward, "softmax", "logits/weights", 0.0, 0.0),
        (mnist.forward, "mechanics", "hidden1/weights", TRUNCATED * 784**-0.5, 0.0),
        (mnist.forward, "mechanics", "hidden2/weights", TRUNCATED * 128**-0.5, 0.0),
        (mnist.forward, "deep", "conv2/weights", TRUNCATED * 0.1, 0.0),
        (mnist.forward, "deep", "hidden/biases", 0.0, 0.1),
        (mnist.forward, "lenet5", "hidden/weights", TRUNCATED * 0.1, 0.0),
        (mnist.forward, "lenet5", "hidden/biases", 0.0, 0.0),
        (cifar10.forward, "two_layer_fc", "hidden/weights", (2 / 3072) ** 0.5, 0.0),
        (cifar10.forward, "tutorial", "conv1/weights", TRUNCATED * 0.05, 0.0),
        (cifar10.forward, "tutorial", "conv1/biases", 0.0, 0.0),
        (cifar10.forward, "tutorial", "conv2/biases", 0.0, 0.1),
        (cifar10.forward, "tutorial", "local3/weights", TRUNCATED * 0.04, 0.0),
        (cifar10.forward, "tutorial", "local4/biases", 0.0, 0.1),
        (cifar10.forward, "tutorial", "softmax_linear/weights", TRUNCATED / 192, 0.0),
    ],
)
def test_initial_values_are_those_of_the_notes(task, name, variable, std, mean):
    tf.set_random_seed(1)
    task.forward(images(task), True, None, name, 10)
    [values] = run({v.op.name: v for v in tf.global_variables()}[variable])
    assert values.std() == pytest.approx(std, rel=0.06, abs=1e-6)
    assert values.mean() == pytest.approx(mean, abs=0.06 * std + 1e-6)


def test_whitening_kernels_whiten_patches():
    random = np.random.default_rng(0)
    rough = random.normal(size=[200, 36, 36, 3])
    smooth = sum(rough[:, y : y + 32, x : x + 32] for y in range(5) for x in range(5))  # neighbours are alike
    smooth[..., 1] += smooth[..., 0]  # and so are channels
    kernels = airbench_network.initial(smooth.astype(np.float32))["whitening"]
    assert kernels.shape == (2, 2, 3, 24) and kernels.dtype == np.float32
    np.testing.assert_array_equal(kernels[..., 12:], -kernels[..., :12])
    out = run(tf.nn.conv2d(tf.constant(smooth, tf.float32), kernels[..., :12], strides=1, padding="VALID"))[0]
    covariance = out.reshape(-1, 12).T @ out.reshape(-1, 12) / (200 * 31 * 31)
    np.testing.assert_allclose(covariance, np.eye(12), atol=0.03)
