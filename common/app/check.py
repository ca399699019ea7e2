"""Asks one exported form for its answers, as a program: what export.py compares with those of the session.

    python check.py FILE IMAGES.npy ANSWERS.npy TASK

FILE: of export.py's forms, or its folder. IMAGES: uint8 [n, height, width, channels]. ANSWERS: float32 [n, classes], to
be written. TASK: whose forward() builds the network that weights belong to; .onnx and .tflite need no TensorFlow.
"""

import importlib
import json
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from common.app import exported

import numpy as np

BATCH = 100  # images at a time


def saved_model(path):
    """A SavedModel, as a program for TensorFlow 2 loads it."""
    import tensorflow as tf

    model = tf.saved_model.load(str(path / "1"))
    return lambda images: model.signatures["serving_default"](images=tf.constant(images))["probabilities"].numpy()


def weights(path, task):
    """Weights, in a network that is built anew."""
    from common.app import trained
    from common.graph import device
    from common.training import checkpoints, runs

    forward = importlib.import_module(f"{task}.forward")
    with tempfile.TemporaryDirectory() as temporary:
        if path.is_dir():
            checkpoint = checkpoints.named(path)
        else:
            checkpoint = Path(temporary, "weights.npz")
            np.savez(checkpoint, **arrays(path))
        run = runs.read(path if path.is_dir() else path.parent, forward.NETWORKS)
        return trained.Network(forward.forward, run, checkpoint, device.resolve("cpu")).probabilities


def arrays(path):
    """The arrays in weights.npz, .npy or .txt, by name."""
    if path.suffix == ".npz":
        return dict(np.load(path, allow_pickle=False))
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=True).item()
    lines = path.read_text().splitlines()
    titles = [re.fullmatch(r"(\S+) (\w+) (\[.*\])", title).groups() for title in lines[::2]]
    return {
        name: np.array(values.split(), kind).reshape(json.loads(shape))
        for (name, kind, shape), values in zip(titles, lines[1::2], strict=True)
    }


def main(path, images, answers, task):
    path = Path(path)
    if path.name == "saved_model":
        ask = saved_model(path)
    elif path.suffix in (".onnx", ".tflite"):
        ask = exported.Network(path).probabilities
    else:
        ask = weights(path, task)
    images = np.load(images, mmap_mode="r")
    np.save(answers, np.concatenate([ask(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]))


if __name__ == "__main__":
    main(*sys.argv[1:])
