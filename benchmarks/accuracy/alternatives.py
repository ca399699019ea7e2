"""Compares the default CIFAR-10 network and recipe with alternatives, each trained for the same time.

    python benchmarks/accuracy/alternatives.py --seconds 600

For each alternative the speed is measured first; the number of epochs and the decay of the learning rate are then set
so that the run takes the given time and ends at the same share of the first learning rate. Everything else is the
default's recipe. Prints the accuracy on the validation images, with moving averages: the test images choose nothing.
"""

import argparse
import contextlib
import dataclasses
import io
import sys
import tempfile
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from benchmarks import runner
from cifar10 import backward, forward
from cifar10.networks import airbench
from common import command_line
from common.data import datasets
from common.graph import layers
from common.training import trainer

import tensorflow.compat.v1 as tf

DEFAULT = "airbench_slim"
END = 0.02  # share of the learning rate that is left at the end
SPEED_STEPS = 5, 35  # the difference of two short runs: what both have in common is no step


def widths(*channels):
    """The default network with other numbers of channels."""

    def network(x, train, regularizer, name, classes, **initial):
        return airbench.network(x, train, regularizer, classes, channels, **initial)

    return network


def with_relu(x, train, regularizer, name, classes, **initial):
    """The default network with ReLU."""
    with mock.patch.object(layers, "gelu", layers.relu):
        return forward.forward(x, train, regularizer, DEFAULT, classes, **initial)


def resnet9(x, train, regularizer, name, classes, **initial):
    """The ResNet-9 of DAWNBench (Page, 2018) at half its width, which then costs what the default network does."""

    def conv(x, channels, name, pool=False):
        with tf.variable_scope(name):
            x = layers.conv2d(x, channels, 3, regularizer, "conv", bias=None)
            x = layers.relu(layers.batch_norm(x, train, "norm"))
            return layers.max_pool(x) if pool else x

    x = conv(conv(x, 32, "prepare"), 64, "layer1", pool=True)
    x += conv(conv(x, 64, "residual1a"), 64, "residual1b")
    x = conv(conv(x, 128, "layer2", pool=True), 256, "layer3", pool=True)
    x += conv(conv(x, 256, "residual3a"), 256, "residual3b")
    return layers.dense(tf.reduce_max(x, axis=[1, 2]), classes, regularizer, "logits") / 8


def plain(x, train, regularizer, name, classes, **initial):
    """Three blocks of two 3×3 convolutions with batch normalisation: 32, 64, 128 channels."""
    for block, channels in enumerate((32, 64, 128), start=1):
        for i in (1, 2):
            with tf.variable_scope(f"block{block}_{i}"):
                x = layers.conv2d(x, channels, 3, regularizer, "conv", bias=None)
                x = layers.relu(layers.batch_norm(x, train, "norm"))
        x = layers.max_pool(x)
    return layers.dense(layers.flatten(x), classes, regularizer, "logits") / 8


ALTERNATIVES = {  # a network, and changes of the recipe
    "default: 32-128-256, GELU, exponential decay": (forward.forward, {}),
    "wider: 64-192-256": (widths(64, 192, 256), {}),
    "wider, as airbench: 64-256-256": (widths(64, 256, 256), {}),
    "ReLU": (with_relu, {}),
    "resnet9, half width": (resnet9, {}),
    "plain: 32-64-128": (plain, {}),
    "no cutout": (forward.forward, {"cutout": 0}),
    "unscaled biases": (forward.forward, {"bias_scale": 1.0}),
    "triangular schedule": (forward.forward, {"schedule": "triangular"}),
    "cosine schedule": (forward.forward, {"schedule": "cosine"}),
}


def train(network, recipe, data, steps, seed):
    """Trains for some steps: the report.Report of it."""
    mean, std = backward.mean_and_std(data.train.images)
    recipe = dataclasses.replace(recipe, save_steps=steps)
    run = trainer.describe(DEFAULT, recipe, data, mean, std, steps, seed)
    backward.forward = network
    quiet = contextlib.redirect_stdout(io.StringIO())
    with tempfile.TemporaryDirectory() as folder, tf.Graph().as_default(), quiet:
        report, stopped = backward.backward(run, data, Path(folder), Path(folder) / "logs", [runner.CPU])
    if stopped:
        sys.exit(128 + stopped)
    return report


def main():
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    count, seconds, names = command_line.positive(int), command_line.positive(float), list(ALTERNATIVES)
    parser.add_argument("--seconds", type=seconds, default=600.0, metavar="S", help="of training (%(default)s)")
    parser.add_argument("--seeds", type=count, default=1, metavar="N", help="runs of each (%(default)s)")
    parser.add_argument("--only", nargs="+", default=names, metavar="NAME", choices=names, help="; ".join(names))
    command_line.add_data_dir(parser)
    args = parser.parse_args()
    data = datasets.CIFAR10["cifar10"](args.data_dir)
    print(f"{runner.machine()}; {data.title}, {args.seconds:.0f} s each", flush=True)
    for name in args.only:
        network, changes = ALTERNATIVES[name]
        recipe = dataclasses.replace(forward.NETWORKS[DEFAULT].RECIPE, **changes)
        short, longer = (train(network, recipe, data, steps, seed=1).seconds for steps in SPEED_STEPS)
        steps = round(args.seconds / (longer - short) * (SPEED_STEPS[1] - SPEED_STEPS[0]))
        epochs = steps * recipe.batch_size / len(data.train.labels)
        recipe = dataclasses.replace(recipe, learning_rate_decay=END ** (1 / epochs))
        for seed in range(1, args.seeds + 1):
            report = train(network, recipe, data, steps, seed)
            print(
                f"{name:45}  seed {seed}  {epochs:4.1f} epochs in {report.seconds:.0f} s  "
                f"validation accuracy {report.validation.accuracy:.4f}",
                flush=True,
            )


if __name__ == "__main__":
    command_line.run(main)
