"""The first two steps of every network by its own recipe, beside numbers that are kept in golden.json.

They change with everything that a step is made of. Where that is meant, write them anew:

    PYTHONPATH=. python tests/test_golden.py > tests/golden.json
"""

import dataclasses
import json
import sys
import tempfile
import zlib
from pathlib import Path
from unittest import mock

import cifar10.backward
import cifar10.forward
import mnist.backward
import mnist.forward
from common.data import datasets
from common.graph import augmentation, batches
from common.training import checkpoints, hooks

import conftest
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import scalars, slow_but
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorflow.python.framework import random_seed

TASKS = {"mnist": (mnist.forward, mnist.backward, 1), "cifar10": (cifar10.forward, cifar10.backward, 3)}
NAMES = [f"{task}/{network}" for task, (forward, _, _) in TASKS.items() for network in forward.NETWORKS]
KEPT = Path(__file__).with_name("golden.json")
ATTRIBUTES = {  # of the operations that make a network what it is
    "Conv2D": ("strides", "padding"), "MatMul": (), "BiasAdd": (), "Relu": (), "FusedBatchNormV3": ("epsilon",),
    "MaxPool": ("ksize", "strides", "padding"), "AvgPool": ("ksize", "strides", "padding"), "Mean": (), "Erf": (),
    "LRN": ("depth_radius", "bias", "alpha", "beta"), "RandomUniform": (), "Softmax": (), "IdentityN": (),
}  # fmt: skip


def data_set(channels):
    """Noise, the same on every machine: 40 training, 10 validation and 10 test images."""
    random = np.random.default_rng(0)
    size = {1: 28, 3: 32}[channels]
    images = random.integers(0, 256, [60, size, size, channels], dtype=np.uint8)
    labels = random.integers(0, 10, 60, dtype=np.uint8)
    splits = [datasets.Split(images[a:b], labels[a:b]) for a, b in ((0, 40), (40, 50), (50, 60))]
    return datasets.DataSet("generated", "noise", tuple("0123456789"), "noise", *splits)


def seed_by_name(op_seed):
    """Instead of by the number of operations before it: another operation changes nothing then."""
    return 1, zlib.crc32(tf.get_default_graph().get_name_scope().encode()) % 2**31


def two_steps(name, folder):
    """Trains for two steps in a folder, with TensorBoard's log of both. Returns the run."""
    task, network = name.split("/")
    forward, backward, channels = TASKS[task]
    recipe = dataclasses.replace(forward.NETWORKS[network].RECIPE, batch_size=8)
    data = data_set(channels)
    with (
        tf.Graph().as_default(),
        mock.patch.object(hooks, "SUMMARY_STEPS", 1),
        mock.patch.object(random_seed, "get_seed", seed_by_name),
    ):
        run = conftest.described(network, data, recipe, steps=2)
        backward.backward(run, data, folder, folder / "logs", [conftest.CPU])
    return run, data


def measured(name, folder):
    """What golden.json has of a network after two_steps()."""
    loss = scalars(folder / "logs", "loss/total")
    values = conftest.variables(checkpoints.latest(folder))
    average = "/ExponentialMovingAverage"
    trained = {key.removesuffix(average) for key in values if key.endswith(average)}
    slots = [key for key in values if key.rpartition("/")[0] in trained and not key.endswith(average)]
    return {
        "losses": [loss[1], loss[2]],
        "batch-norm statistics": mean_size(values[key] for key in trained if "/moving_mean" in key),
        "optimiser's slots": mean_size(values[key] for key in slots),
        "averages less weights": mean_size(values[key + average] - values[key] for key in trained),
        "operations": operations(name),
        "recipe": dataclasses.asdict(TASKS[name.split("/")[0]][0].NETWORKS[name.split("/")[1]].RECIPE),
    }


def mean_size(arrays):
    arrays = [np.abs(array.astype(np.float64)).ravel() for array in arrays]
    return float(np.concatenate(arrays).mean()) if arrays else 0.0


def operations(name):
    """The operations of ATTRIBUTES in a network that trains, in order: "MaxPool [1, 2, 2, 1] [1, 2, 2, 1] SAME"."""
    task, network = name.split("/")
    forward, _, channels = TASKS[task]
    with tf.Graph().as_default() as graph:
        size = forward.IMAGE_SIZE
        forward.forward(tf.placeholder(tf.float32, [None, size, size, channels]), True, None, network, 10)
        return [
            " ".join([op.type, *(shown(op.get_attr(key)) for key in ATTRIBUTES[op.type])])
            for op in graph.get_operations()
            if op.type in ATTRIBUTES and "Initializer" not in op.name
        ]


def shown(value):
    return value.decode() if isinstance(value, bytes) else f"{value:.6g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize("name", slow_but(["mnist/convnet", "mnist/deep", "mnist/lenet5", "cifar10/complex"], NAMES))
def test_first_two_steps(name, tmp_path):
    two_steps(name, tmp_path)  # with few images a step
    found, kept = measured(name, tmp_path), json.loads(KEPT.read_text())[name]
    for key in ("operations", "recipe"):
        assert found.pop(key) == kept.pop(key)
    for key, value in kept.items():
        assert found[key] == pytest.approx(value, rel=2e-3, abs=1e-9), key
    assert found.keys() == kept.keys()


def pipeline(task, recipe, images, step, size):
    """The augmentation that a recipe names, seed 1."""
    if task == "mnist":
        return augmentation.random_affine(images, step, 1, recipe.degrees, recipe.scale, recipe.shear, recipe.shift)
    images = augmentation.random_crop(images, step, 1, recipe.padding, size)
    images = augmentation.random_mirror(images, step, 1) if recipe.mirror else images
    images = augmentation.random_light(images, step, 1, recipe.brightness, recipe.contrast)
    images = augmentation.random_color(images, step, 1, recipe.color)
    return augmentation.cutout(images, step, 1, recipe.cutout, fill=(120.0,) * 3)  # the mean in conftest.described()


@pytest.mark.parametrize(
    "name", slow_but(["mnist/convnet"], ["mnist/convnet", "mnist/softmax", "cifar10/airbench_slim", "cifar10/tutorial"])
)
def test_tensorboard_shows_the_images_that_the_recipe_makes(name, tmp_path):
    run, data = two_steps(name, tmp_path)
    task, network = name.split("/")
    log = EventAccumulator(str(tmp_path / "logs"), {"images": 0}).Reload()
    seen = [log.Images(f"input/image/{i}")[0].encoded_image_string for i in range(8)]
    step = tf.constant(0, tf.int64)  # what the first step was trained on
    train = batches.on_device(data.train, "data")
    images, _ = batches.shuffled(train, step, 8, 1)
    size = cifar10.forward.crop_size(network, 32) if task == "cifar10" else 28
    summaries = [tf.summary.image("input", x, 8) for x in (pipeline(task, run.recipe, images, step, size), images)]
    with tf.Session() as session:
        session.run(tf.local_variables_initializer(), train.feed)
        expected, plain = (
            [value.image.encoded_image_string for value in tf.Summary.FromString(summary).value]
            for summary in session.run(summaries)
        )
    assert seen == expected
    augments = network != "softmax"
    assert (seen != plain) == augments


if __name__ == "__main__":
    golden = {}
    for each in NAMES:
        with tempfile.TemporaryDirectory() as temporary:
            stdout, sys.stdout = sys.stdout, sys.stderr
            two_steps(each, Path(temporary))
            sys.stdout = stdout
            golden[each] = measured(each, Path(temporary))
    lines = ",\n".join(f"{json.dumps(each)}: {json.dumps(numbers)}" for each, numbers in golden.items())
    print(f"{{\n{lines}\n}}")
