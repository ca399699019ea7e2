"""Targets, as targets.py says what they are: the files of a run and of an export."""

import shutil
from pathlib import Path

from common.app import exported
from common.training import restoring, runs
from mnist.forward import NETWORKS

import msgspec
import numpy as np
import tensorflow.compat.v1 as tf

PRETRAINED = Path(__file__).resolve().parents[2] / "checkpoints" / "mnist" / runs.PRETRAINED


def one_file(folder, name, make, read):
    """The target that is one of the files that make(folder) makes, and read(folder) reads."""
    make(folder)
    path = folder / name

    def read_one(content):
        path.unlink()  # what is mapped stays as it was
        path.write_bytes(content)
        read(folder)

    return [path.read_bytes()], read_one


def run_json(folder):
    return one_file(
        folder, "run.json", lambda f: shutil.copy(PRETRAINED / "run.json", f), lambda f: runs.read(f, NETWORKS)
    )


def export_json(folder):
    about = exported.About(
        network="n", dataset="d", title="t", class_names=("a", "b"), image_shape=(28, 28, 1), reading="", mirrors=True,
        accuracy="99 %",
    )  # fmt: skip
    check = exported.Check(bytes=5, difference=1e-7, same=1.0, accuracy=0.9)
    export = exported.Export(
        about=about, task="mnist", step=9, weights="averaged", digest="0", dataset_title="D", dataset_source="",
        images=9, accuracy=0.9, forms={"model.onnx": check},
    )  # fmt: skip
    name = exported.EXPORT
    return one_file(folder, name, lambda f: (f / name).write_bytes(msgspec.json.encode(export)), exported.read)


def _weights(folder):
    with tf.Graph().as_default(), tf.Session() as session:
        ones, shapes = tf.ones_initializer(), {"w": [3, 2], "deep/b": [2]}
        variables = {name: tf.get_variable(name, shape, initializer=ones) for name, shape in shapes.items()}
        session.run(tf.global_variables_initializer())
        tf.train.Saver(variables).save(session, str(folder / "model.ckpt-1"), write_meta_graph=False)
        np.savez(folder / "weights.npz", **session.run(variables))
        return variables


def _weights_file(folder, name, path):
    variables = {}

    def read(folder):
        restoring.check(variables, folder / path)
        restoring.read(folder / path)

    return one_file(folder, name, lambda f: variables.update(_weights(f)), read)


def weights_npz(folder):
    return _weights_file(folder, "weights.npz", "weights.npz")


def checkpoint_index(folder):
    return _weights_file(folder, "model.ckpt-1.index", "model.ckpt-1")


def checkpoint_data(folder):
    return _weights_file(folder, "model.ckpt-1.data-00000-of-00001", "model.ckpt-1")
