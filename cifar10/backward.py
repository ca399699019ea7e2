"""Trains a CIFAR-10 network; run cifar10/test.py beside it to see the test accuracy come in.

    python cifar10/backward.py                        # airbench_slim: 88.2 % after 16 min; 89.0 % with test.py --tta
    python cifar10/backward.py --network airbench     # 89.8 % after 44 min; 90.5 % with --tta
    python cifar10/backward.py --schedule cosine --checkpoint-dir try --log-dir try    # another recipe, elsewhere

(benchmarks/training.py: moving averages of the weights, on a JPEG copy of CIFAR-10; mean of three seeds, and one run of
airbench; two Zen 4 cores.)

A run that was stopped, in whatever way, goes on where it was when the same command is given again. The data set is
CIFAR-10 unless --dataset says otherwise; where it cannot be had, drawn shapes.
"""

import sys
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at cifar10/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from cifar10.forward import IMAGE_SIZE, NETWORKS, crop_size, forward, initial_values
from common import batches, command_line, datasets, optimization, training
from common.recipe import arguments

import numpy as np
import tensorflow.compat.v1 as tf

INITIAL_IMAGES = 5000  # that a network may look at before it starts

RECIPES = {name: network.RECIPE for name, network in NETWORKS.items()}


def backward(record, recipe, data, checkpoint_dir, log_dir, device_name):
    """Trains a network up to the last step of its run, from the newest checkpoint in checkpoint_dir if there is one.

    record: of run.json. recipe: Recipe. data: datasets.DataSet. Returns what training.loop() returns.
    """
    seed, mean, std = record["seed"], record["image_mean"], record["image_std"]
    tf.set_random_seed(seed)
    with tf.device(device_name):
        # Data: uint8, kept on the device.
        train = batches.on_device(data.train, "train_data")

        # Batch: a function of (seed, global step) alone.
        global_step = tf.train.get_or_create_global_step()
        step = tf.identity(global_step, "step")  # read once, before the train step increments it
        images, labels = batches.shuffled(train, step, recipe.batch_size, seed)
        images = batches.random_crop(images, step, seed, recipe.padding, crop_size(record["network"]))
        images = batches.random_mirror(images, step, seed) if recipe.mirror else images
        images = batches.random_light(images, step, seed, recipe.brightness, recipe.contrast)
        images = batches.cutout(images, step, seed, recipe.cutout, fill=mean)

        # Logits.
        with optimization.initialized(recipe):
            logits = forward(
                batches.standardize(images, mean, std), True, optimization.regularizer(recipe), record["network"],
                **initial_values(record["network"], data.train.images[:INITIAL_IMAGES], mean, std),
            )

        # Loss: of the data, and the terms that the weights left in a collection.
        with tf.name_scope("loss"):
            data_loss = optimization.data_loss(recipe, labels, logits)
            loss = tf.reduce_sum([data_loss, *tf.get_collection("losses")], name="sum")  # add_n's order varies
        with tf.name_scope("accuracy"):
            accuracy = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, 1, output_type=tf.int32), labels), tf.float32))

        # Learning rate: warm-up and decay as the recipe says, exponential unless it says otherwise.
        epoch = train.size / recipe.batch_size  # steps
        learning_rate = optimization.learning_rate(recipe, step, record["steps"], epoch)

        # Train step, after the updates of the batch-norm statistics.
        optimizer = optimization.optimizer(recipe, learning_rate, record["precision"])
        gradients = scale_biases(optimizer.compute_gradients(loss), recipe.bias_scale)
        with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
            train_step = optimizer.apply_gradients(gradients, global_step)

        # EMA, of the statistics too: inside the control dependency, or nothing would order it after the train step.
        ema = tf.train.ExponentialMovingAverage(recipe.moving_average_decay, global_step)
        with tf.control_dependencies([train_step]), tf.name_scope("moving_averages"):
            averages = ema.apply(tf.trainable_variables() + tf.moving_average_variables())

        summaries = training.summarize(images, data_loss, loss, gradients, learning_rate, ema)
        train_op = tf.group(averages, summaries)
        evaluators, evaluation_feed = training.evaluators(forward, record, data, train, ema)

    # Saver and loop.
    watched = {"loss": loss, "accuracy": accuracy, "learning_rate": learning_rate}
    feed = train.feed | evaluation_feed
    return training.loop(train_op, watched, evaluators, feed, record, recipe, checkpoint_dir, log_dir, device_name)


def scale_biases(gradients, factor):
    """(gradient, variable) pairs with those of the batch-norm offsets multiplied: they learn too slowly otherwise."""
    return [(factor * g if variable.op.name.endswith("/offset") else g, variable) for g, variable in gradients]


def mean_and_std(images):
    """Of each channel, over all pixels of uint8 [n, height, width, channels]: float64 [channels], 0–255."""
    count = images[..., 0].size
    total = images.sum(axis=(0, 1, 2), dtype=np.int64)  # integers: exact, and no copy of the images as floats
    squares = np.einsum("nijc,nijc->c", images, images, dtype=np.int64, casting="safe")
    mean = total / count
    return mean, np.sqrt(squares / count - mean**2)


def main():
    args = arguments(__doc__, RECIPES, datasets.CIFAR10)
    data = datasets.load_or_generate(datasets.CIFAR10, args.dataset, args.data_dir)
    mean, std = mean_and_std(data.train.images)
    image_format = {"image_size": IMAGE_SIZE, "image_mean": mean.tolist(), "image_std": std.tolist()}
    return training.run("cifar10", args, data, image_format, backward)


if __name__ == "__main__":
    command_line.run(main)
