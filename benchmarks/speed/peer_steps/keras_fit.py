"""Keras 3 on TensorFlow: fit on arrays in memory, and train_on_batch."""

import functools

import keras
import numpy as np
import tensorflow as tf
from .problem import DECAY, EPSILON, MOMENTUM


def prepare(mode, problem, threads):
    """mode: fit or train_on_batch."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    keras.config.set_dtype_policy("mixed_bfloat16" if problem.precision == "bfloat16" else "float32")
    model = build(problem)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(problem.learning_rate, MOMENTUM), loss)
    images, labels, done = problem.images, problem.labels, 0

    class Losses(keras.callbacks.Callback):
        """What fit shows is the mean since its start."""

        def __init__(self):
            super().__init__()
            self.values, self.sum = [], 0.0

        def on_train_batch_end(self, batch, logs=None):
            total = logs["loss"] * (batch + 1)
            self.values.append(total - self.sum)
            self.sum = total

    @functools.cache
    def first(count):
        """Images and labels of the first steps, for fit."""
        batches = [problem.batch(step) for step in range(count)]
        return [np.concatenate([array[batch] for batch in batches]) for array in (images, labels)]

    def steps(count):
        nonlocal done
        done += count
        if mode == "train_on_batch":
            values = []
            for step in range(done - count, done):
                batch = problem.batch(step)
                model.reset_metrics()  # else it gives the mean since the start
                values.append(float(model.train_on_batch(images[batch], labels[batch])))
            return values
        losses = Losses()
        callbacks = [losses] if done == count else []  # the losses are compared at the start only, and cost time
        model.fit(*first(count), problem.batch_size, shuffle=False, verbose=0, callbacks=callbacks)
        return losses.values

    return steps


def build(problem):
    weights = problem.weights
    x = inputs = keras.Input(problem.images.shape[1:])
    layers = keras.layers
    values = []  # of each layer with weights, in the order of Keras
    for kind, *rest in problem.layers:
        if kind in ("conv", "whiten"):
            name, kernel, bias, padding = rest if kind == "conv" else (rest[0], 2, True, "VALID")
            w = weights[f"{name}/weights"]
            layer = layers.Conv2D(w.shape[-1], kernel, padding=padding.lower(), use_bias=bias, trainable=kind == "conv")
            values.append((layer, [w, weights[f"{name}/biases"]] if bias else [w]))
            x = layer(x)
        elif kind == "norm":
            layer = layers.BatchNormalization(momentum=DECAY, epsilon=EPSILON)
            keys = ("scale", "offset", "moving_mean", "moving_variance")
            values.append((layer, [weights[f"{rest[0]}/{key}"] for key in keys]))
            x = layer(x)
        elif kind == "pool":
            x = layers.MaxPooling2D(2, padding=rest[0].lower())(x)
        elif kind in ("relu", "gelu"):
            x = layers.Activation(kind if kind == "relu" else keras.activations.gelu)(x)
        elif kind == "flatten":
            x = layers.Flatten()(x)
        elif kind == "max":
            x = layers.GlobalMaxPooling2D()(x)
        elif kind == "dense":
            w = weights[f"{rest[0]}/weights"]
            layer = layers.Dense(w.shape[-1])
            values.append((layer, [w, weights[f"{rest[0]}/biases"]]))
            x = layer(x)
        elif kind == "divide":
            x = layers.Rescaling(1 / rest[0])(x)
    x = layers.Activation("linear", dtype="float32")(x)  # whatever the layers compute in
    model = keras.Model(inputs, x)
    for layer, value in values:
        layer.set_weights(value)
    return model
