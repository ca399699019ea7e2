"""The forms of an export: how each is written, and how each is asked again, in a process of its own."""

import contextlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from common.errors import UserError
from common.training import evaluation, restoring, runs

import numpy as np
import tensorflow.compat.v1 as tf

FILES = {  # of each form, files and folders
    "saved_model": ["saved_model"],
    "tflite": ["model.tflite", "model-float16.tflite", "model-int8.tflite"],
    "onnx": ["model.onnx"],
    "npz": ["weights.npz"],
    "npy": ["weights.npy"],
    "text": ["weights.txt"],
    "checkpoint": ["checkpoint", "checkpoint-float16"],
}
PACKAGES = {"tflite": ["ai_edge_litert"], "onnx": ["onnxruntime", "onnx", "tf2onnx"]}  # that only these need
KINDS = {"model.onnx": "onnx"} | dict(zip(FILES["tflite"], ("float32", "float16", "int8"), strict=True))
ROUNDED = [*FILES["tflite"][1:], FILES["checkpoint"][1]]  # weights of fewer bits
CALIBRATION = 500  # validation images from which int8 takes its scales
VERSION = "1"  # folder of a SavedModel: TensorFlow Serving takes the highest number


class Served(NamedTuple):
    """A network as it answers, in an open session.

    signatures: of the SavedModel. variables: by their names in a checkpoint. arrays: of the weights, by the variables'
    own names.
    """

    run: runs.Run
    session: tf.Session
    signatures: dict
    variables: dict
    arrays: dict
    step: int


@contextlib.contextmanager
def served(forward, run, checkpoint, raw, photos):
    """A Served of the weights in a checkpoint.

    forward: the task's. run: runs.Run. raw: the weights themselves, not their moving averages. photos: as of
    export.export().
    """
    # Zeros to begin with: initial values of networks would be constants in the SavedModel, as large as the weights.
    with tf.Graph().as_default(), tf.variable_scope("", initializer=tf.zeros_initializer()):
        signatures = graph(forward, run, photos)
        step = tf.train.get_or_create_global_step()
        variables = restoring.averages(run, raw)
        own = {v.op.name: v for v in tf.global_variables()}
        saver = tf.train.Saver(variables)
        with tf.Session(config=tf.ConfigProto(device_count={"GPU": 0})) as session:
            restoring.restore(session, saver, variables, checkpoint)
            arrays, step = session.run([own, step])
            # The checkpoint that is written has the names of averages, though raw: apps and testers read those.
            yield Served(run, session, signatures, restoring.averages(run), arrays, int(step))


def graph(forward, run, photos):
    """Builds what answers in the current graph: the signatures by name. The arguments are those of served()."""
    images = tf.placeholder(tf.uint8, [None, *run.image_shape], "images")
    _, probabilities = evaluation.calibrated(forward, run, tf.cast(images, tf.float32, "pixels"))
    signatures = {"serving_default": _signature({"images": images}, _outputs(probabilities, run))}
    if photos:
        with tf.name_scope("photos"), tf.variable_scope(tf.get_variable_scope(), reuse=True):
            contents = tf.placeholder(tf.string, [None], "bytes")
            views = photos(contents, run)  # [n, views, height, width, channels]
            flat = tf.cast(tf.reshape(views, [-1, *run.image_shape]), tf.float32)
            each = tf.nn.softmax(evaluation.logits(forward, run, *evaluation.mirrored(run, flat)) / run.temperature)
            mean = tf.reduce_mean(tf.reshape(each, [-1, tf.shape(views)[1], len(run.class_names)]), axis=1)
            signatures["bytes"] = _signature({"bytes": contents}, _outputs(mean, run))
    return signatures


def _outputs(probabilities, run):
    index = tf.argmax(probabilities, axis=1, output_type=tf.int32, name="class_index")
    name = tf.gather(tf.constant(run.class_names), index, name="class_name")
    return {"probabilities": probabilities, "class_index": index, "class_name": name}


def _signature(inputs, outputs):
    info = [{k: tf.saved_model.build_tensor_info(v) for k, v in tensors.items()} for tensors in (inputs, outputs)]
    return tf.saved_model.build_signature_def(*info, tf.saved_model.PREDICT_METHOD_NAME)


def save_model(network, folder):
    """Writes a Served as a SavedModel, in the layout of TensorFlow Serving: folder/1/."""
    builder = tf.saved_model.Builder(str(folder / VERSION))
    builder.add_meta_graph_and_variables(
        network.session, [tf.saved_model.SERVING], network.signatures, strip_default_attrs=True
    )
    builder.save()


def prepare(work, network, data):
    """Puts what converters and checks read into a folder: SavedModel, classes, test and calibration images.

    network: Served. data: datasets.DataSet.
    """
    save_model(network, work / "saved_model")
    (work / "classes.json").write_text(json.dumps(network.run.class_names, ensure_ascii=False), encoding="utf-8")
    every = np.linspace(0, len(data.validation.labels) - 1, CALIBRATION).astype(int)
    np.save(work / "calibration.npy", data.validation.images[np.unique(every)])
    np.save(work / "images.npy", data.test.images[:])


def write(path, network, work):
    """Writes one of FILES. network: Served. work: a folder that prepare() filled."""
    name = path.name
    if name in KINDS:
        extra = "classes.json" if name == "model.onnx" else "calibration.npy"
        program("convert.py", KINDS[name], work / "saved_model" / VERSION, path, work / extra)
    elif name == "saved_model":
        shutil.copytree(work / name, path)
    elif name == "weights.npz":
        np.savez(path, **network.arrays)
    elif name == "weights.npy":
        np.save(path, network.arrays, allow_pickle=True)  # a dict is no array: only pickle can hold it
    elif name == "weights.txt":
        with path.open("w") as file:
            for title, array in sorted(network.arrays.items()):
                print(title, array.dtype, list(array.shape), file=file)
                print(*map(str, array.ravel()), file=file)  # as many digits as tell it from its neighbours
    else:
        path.mkdir()
        save(network, path / f"model.ckpt-{network.step}", np.float16 if name in ROUNDED else np.float32)
        runs.write(path, network.run)


def save(network, path, dtype):
    """Writes the weights of a Served as a checkpoint: those of float32 as dtype."""
    arrays = [network.arrays[variable.op.name] for variable in network.variables.values()]
    arrays = [array.astype(dtype) if array.dtype == np.float32 else array for array in arrays]
    with tf.Graph().as_default(), tf.Session() as session:  # no graph takes operations from two threads
        given = [tf.placeholder(array.dtype) for array in arrays]
        slices = [""] * len(arrays)  # whole variables
        writing = tf.raw_ops.SaveV2(
            prefix=str(path), tensor_names=[*network.variables], shape_and_slices=slices, tensors=given
        )
        session.run(writing, dict(zip(given, arrays, strict=True)))


def ask(path, task, work):
    """What a form answers to the images in work: float32 [n, classes]."""
    answers = work / f"{path.name}.answers.npy"
    program("check.py", path, work / "images.npy", answers, task)
    return np.load(answers)


class Failed(UserError):
    """A program that converts or checks failed. Its text is the program's last line."""


def program(script, *arguments):
    """Runs a program of this folder: with nothing of what this process imported. Raises Failed."""
    command = [sys.executable, Path(__file__).with_name(script), *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode == -signal.SIGINT or "KeyboardInterrupt" in done.stderr:
        raise KeyboardInterrupt
    if done.returncode:
        raise Failed(f"{script} failed: {(done.stderr.strip().splitlines() or ['killed'])[-1]}")
