"""Converts a SavedModel to ONNX or LiteRT, as a program: the converters need a process without graph mode.

    python convert.py onnx SAVED_MODEL MODEL.onnx NAMES.json              # NAMES: a list of the classes
    python convert.py float32 | float16 | int8 SAVED_MODEL MODEL.tflite IMAGES.npy

IMAGES: uint8 [n, height, width, channels], for int8 to take its scales from.
"""

import sys
from pathlib import Path

# This file's folder would be looked into first; and tf2onnx installs packages called tests, tools and examples.
sys.path.pop(0)

import numpy as np
import tensorflow as tf

OUTPUTS = ("probabilities", "class_index")  # LiteRT and ONNX have the names of the classes beside them
OPSET = 18  # of ONNX: tf2onnx 1.17 converts to no later one


def served(path, start="images"):
    """A function of what the tensor `start` in a SavedModel takes, its tf.TensorSpec, and what must live as long."""
    model = tf.saved_model.load(path, tags=["serve"])
    function = model.prune(f"{start}:0", {name: f"{name}:0" for name in OUTPUTS})
    given = function.inputs[0]  # the others are the weights
    return tf.function(lambda images: function(images)), tf.TensorSpec(given.shape, given.dtype, "images"), model


def onnx(source, target, names):
    import onnx
    import tf2onnx

    function, images, _ = served(source)
    graph, _ = tf2onnx.convert.from_function(function, [images], opset=OPSET)
    onnx.helper.set_model_props(graph, {"class_names": Path(names).read_text(encoding="utf-8")})
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, target)


def tflite(kind, source, target, images):
    whole = kind == "int8"
    function, spec, model = served(source, "pixels" if whole else "images")  # pixels are what images are cast to
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function(spec)], model)
    if kind == "float16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    if whole:
        calibration = np.load(images)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[None].astype(np.float32)] for image in calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type, converter.inference_output_type = tf.uint8, tf.float32
    Path(target).write_bytes(converter.convert())


if __name__ == "__main__":
    kind, *paths = sys.argv[1:]
    if kind == "onnx":
        onnx(*paths)
    else:
        tflite(kind, *paths)
