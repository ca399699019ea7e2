"""Short runs on tiny data, what they left behind, and other programs and pictures."""

import dataclasses
import hashlib
import subprocess
import sys

import cifar10.backward
import cifar10.forward
from common.training import runs
from mnist import backward
from mnist.forward import NETWORKS

import conftest
import pytest
from conftest import CPU, environment
from PIL import Image, ImageDraw

TINY = {name: dataclasses.replace(module.RECIPE, batch_size=8, save_steps=4) for name, module in NETWORKS.items()}
RUN = runs.Run(
    network="fully_connected", dataset="mnist", dataset_title="MNIST", dataset_sha256="s",
    class_names=tuple("0123456789"), image_size=28, image_mean=0.0, image_std=255.0, recipe=TINY["fully_connected"],
    seed=1, steps=10,
)  # fmt: skip


def slow_but(quick, names):
    """For parametrize: all names, those that are not quick marked as slow."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


def train(folder, data, steps, network="fully_connected", seed=1, precision="float32", devices=(CPU,), **changes):
    """Trains an MNIST network on tiny data to a global step; the last checkpoint's variables by name."""
    recipe = dataclasses.replace(TINY[network], **changes)
    return conftest.train(backward, folder, data, recipe, steps, network, seed, precision, devices)


def scalars(log_dir, tag):
    """What TensorBoard shows of a scalar: {step: value}. Fails if it shows a step twice."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shown = EventAccumulator(str(log_dir), {"scalars": 0}).Reload().Scalars(tag)
    assert len({e.step for e in shown}) == len(shown)
    return {e.step: e.value for e in shown}


def train_objects(folder, data, steps, network="airbench_slim", seed=1, devices=(CPU,), **changes):
    """The same for CIFAR-10."""
    changes = {"batch_size": 8, "save_steps": 4} | changes
    recipe = dataclasses.replace(cifar10.forward.NETWORKS[network].RECIPE, **changes)
    return conftest.train(cifar10.backward, folder, data, recipe, steps, network, seed, devices=devices)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def draw_seven(path, mode="RGB", paper="white", ink="black"):
    image = Image.new(mode, (200, 240), paper)
    ImageDraw.Draw(image).line([(50, 60), (150, 60), (95, 190)], fill=ink, width=18, joint="curve")
    image.save(path)
    return path


def python(program, folder):
    """What a program prints that knows nothing of this repository."""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout
