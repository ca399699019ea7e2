"""Trains a CIFAR-10 network; run cifar10/test.py beside it to see the test accuracy come in."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at cifar10/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from cifar10.forward import IMAGE_SIZE, forward, whitening_kernels
from common import batches, command_line, datasets, evaluation, training

import numpy as np
import tensorflow.compat.v1 as tf

WHITENING_IMAGES = 5000  # as many as its statistics need


@dataclass(frozen=True, kw_only=True)
class Recipe(training.Recipe):
    label_smoothing: float  # share of the label that is spread over all classes
    offset_scale: float  # of the learning rate for the offsets of batch normalisation
    padding: int = 2  # augmentation: largest move along each axis, pixels
    cutout: int  # side of the square that is painted over, pixels


RECIPES = {
    "airbench_slim": Recipe(
        batch_size=256, epochs=10.0, learning_rate=1.0, learning_rate_decay=0.68, warmup_steps=100, regularizer=5e-4,
        label_smoothing=0.2, offset_scale=16.0, cutout=8, moving_average_decay=0.998, save_steps=200,
    ),
}
RECIPES["airbench"] = replace(RECIPES["airbench_slim"], epochs=16.0, learning_rate_decay=0.785, cutout=12)


def backward(run, recipe, data, checkpoint_dir, log_dir, device_name):
    """Trains a network up to the last step of its run, from the newest checkpoint in checkpoint_dir if there is one.

    run: the record in run.json. recipe: Recipe. data: datasets.DataSet. Returns what training.loop() returns.
    """
    seed, mean, std = run["seed"], run["image_mean"], run["image_std"]
    tf.set_random_seed(seed)
    with tf.device(device_name):
        # Data: uint8, kept on the device.
        train = batches.on_device(data.train, "train_data")
        validation = batches.on_device(data.validation, "validation_data")

        # Batch: a function of (seed, global step) alone.
        global_step = tf.train.get_or_create_global_step()
        step = tf.identity(global_step, "step")  # read once, before the train step increments it
        images, labels = batches.shuffled(train, step, recipe.batch_size, seed)
        images = batches.random_crop(images, step, seed, recipe.padding)
        images = batches.random_mirror(images, step, seed)
        images = batches.cutout(images, step, seed, recipe.cutout, fill=mean)

        # Logits.
        whitening = whitening_kernels((data.train.images[:WHITENING_IMAGES] - np.float32(mean)) / np.float32(std))
        x = batches.standardize(images, mean, std)
        logits = forward(x, True, recipe.regularizer, run["network"], whitening)

        # Loss: cross-entropy with smoothed labels and the L2 terms that the weights left in a collection.
        with tf.name_scope("loss"):
            cross_entropy = tf.losses.softmax_cross_entropy(
                tf.one_hot(labels, len(run["class_names"])), logits,
                label_smoothing=recipe.label_smoothing, loss_collection=None,
            )
            l2 = tf.add_n(tf.get_collection("losses"))
            loss = cross_entropy + l2
        with tf.name_scope("accuracy"):
            accuracy = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, 1, output_type=tf.int32), labels), tf.float32))

        # Learning rate: decays exponentially, after a short linear warm-up.
        epoch = train.size / recipe.batch_size  # steps
        learning_rate = training.learning_rate(recipe, step, run["steps"], epoch)

        # Train step, after the updates of the batch-norm statistics.
        optimizer = tf.train.MomentumOptimizer(learning_rate, recipe.momentum, use_nesterov=True)
        with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
            train_step = optimizer.apply_gradients(
                [
                    (recipe.offset_scale * gradient if variable.op.name.endswith("offset") else gradient, variable)
                    for gradient, variable in optimizer.compute_gradients(loss)
                ],
                global_step,
            )

        # EMA, of the statistics too: inside the control dependency, or nothing would order it after the train step.
        ema = tf.train.ExponentialMovingAverage(recipe.moving_average_decay, global_step)
        with tf.control_dependencies([train_step]), tf.name_scope("moving_averages"):
            train_op = ema.apply(tf.trainable_variables() + tf.moving_average_variables())

        training.summarize(images, {"total": loss, "cross_entropy": cross_entropy, "l2": l2}, learning_rate, ema)
        with training.averages_for_variables(ema), tf.name_scope("validation"):
            validate = evaluation.evaluator(validation, lambda images: evaluation.logits(forward, run, images))

    # Saver and loop.
    watched = {"loss": loss, "accuracy": accuracy, "learning_rate": learning_rate}
    feed = train.feed | validation.feed
    return training.loop(train_op, watched, validate, feed, run, recipe, checkpoint_dir, log_dir, device_name)


def mean_and_std(images):
    """Of each channel, over all pixels of uint8 [n, height, width, channels]: float64 [channels], 0–255."""
    count = images[..., 0].size
    total = images.sum(axis=(0, 1, 2), dtype=np.int64)  # integers: exact, and no copy of the images as floats
    squares = np.einsum("nijc,nijc->c", images, images, dtype=np.int64, casting="safe")
    mean = total / count
    return mean, np.sqrt(squares / count - mean**2)


def main():
    args = training.parser(__doc__, RECIPES, datasets.CIFAR10).parse_args()
    recipe = training.recipe(args, RECIPES)
    data = datasets.load_or_generate(datasets.CIFAR10, args.dataset, args.data_dir)
    mean, std = mean_and_std(data.train.images)
    image_format = {"image_size": IMAGE_SIZE, "image_mean": mean.tolist(), "image_std": std.tolist()}
    return training.run("cifar10", args, recipe, data, image_format, backward)


if __name__ == "__main__":
    command_line.run(main)
