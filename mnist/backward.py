"""Trains an MNIST network; run mnist/test.py beside it to see the test accuracy come in.

    python mnist/backward.py                              # convnet: 99.58 % test accuracy after 132 s
    python mnist/backward.py --network lenet5             # 99.46 % after 179 s
    python mnist/backward.py --network fully_connected    # 98.93 % after 32 s
    python mnist/backward.py --set learning_rate=0.1 --checkpoint-dir try --log-dir try    # another recipe, elsewhere

(benchmarks/training.py: moving averages of the weights, mean of three seeds, two Zen 4 cores.)

A run that was stopped, in whatever way, goes on where it was when the same command is given again. The data set is
MNIST unless --dataset says otherwise; where it cannot be had, digits drawn from fonts.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at mnist/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import batches, command_line, datasets, evaluation, training
from mnist.forward import IMAGE_SIZE, forward

import tensorflow.compat.v1 as tf

IMAGE_MEAN, IMAGE_STD = 0.0, 255.0  # the input is (pixel - mean) / std: 0 is paper, and so is the convolutions' padding


@dataclass(frozen=True, kw_only=True)
class Recipe(training.Recipe):
    degrees: float  # augmentation: largest turn either way
    scale: float  # largest change of height and of width
    shear: float  # largest slant, pixels per row
    shift: float  # largest move, pixels


RECIPES = {
    "convnet": Recipe(
        batch_size=256, epochs=8.0, learning_rate=0.3, learning_rate_decay=0.57, regularizer=5e-4,
        degrees=13.0, scale=0.13, shear=0.2, shift=2.6, moving_average_decay=0.998, save_steps=200,
    ),
    "lenet5": Recipe(
        batch_size=128, epochs=8.0, learning_rate=0.05, learning_rate_decay=0.6, regularizer=1e-4,
        degrees=10.0, scale=0.1, shear=0.15, shift=2.0, moving_average_decay=0.998, save_steps=500,
    ),
    "fully_connected": Recipe(
        batch_size=256, epochs=30.0, learning_rate=0.2, learning_rate_decay=0.87, regularizer=2e-5,
        degrees=6.0, scale=0.06, shear=0.1, shift=1.0, moving_average_decay=0.998, save_steps=500,
    ),
}


def backward(record, recipe, data, checkpoint_dir, log_dir, device_name):
    """Trains a network up to the last step of its run, from the newest checkpoint in checkpoint_dir if there is one.

    record: of run.json. recipe: Recipe. data: datasets.DataSet. Returns what training.loop() returns.
    """
    seed = record["seed"]
    tf.set_random_seed(seed)
    with tf.device(device_name):
        # Data: uint8, kept on the device.
        train = batches.on_device(data.train, "train_data")
        validation = batches.on_device(data.validation, "validation_data")

        # Batch: a function of (seed, global step) alone.
        global_step = tf.train.get_or_create_global_step()
        step = tf.identity(global_step, "step")  # read once, before the train step increments it
        images, labels = batches.shuffled(train, step, recipe.batch_size, seed)
        images = batches.random_affine(images, step, seed, recipe.degrees, recipe.scale, recipe.shear, recipe.shift)

        # Logits.
        x = batches.standardize(images, record["image_mean"], record["image_std"])
        logits = forward(x, True, recipe.regularizer, record["network"])

        # Loss: cross-entropy and the L2 terms that the weights left in a collection.
        with tf.name_scope("loss"):
            cross_entropy = tf.losses.sparse_softmax_cross_entropy(labels, logits, loss_collection=None)
            l2 = tf.add_n(tf.get_collection("losses"))
            loss = cross_entropy + l2
        with tf.name_scope("accuracy"):
            accuracy = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, 1, output_type=tf.int32), labels), tf.float32))

        # Learning rate: decays exponentially, after a short linear warm-up.
        epoch = train.size / recipe.batch_size  # steps
        learning_rate = training.learning_rate(recipe, step, record["steps"], epoch)

        # Train step, after the updates of the batch-norm statistics.
        optimizer = tf.train.MomentumOptimizer(learning_rate, recipe.momentum, use_nesterov=True)
        with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
            train_step = optimizer.minimize(loss, global_step)

        # EMA: made inside the control dependency, or nothing would order it after the train step.
        ema = tf.train.ExponentialMovingAverage(recipe.moving_average_decay, global_step)
        with tf.control_dependencies([train_step]), tf.name_scope("moving_averages"):
            train_op = ema.apply(tf.trainable_variables() + tf.moving_average_variables())

        training.summarize(images, {"total": loss, "cross_entropy": cross_entropy, "l2": l2}, learning_rate, ema)
        with training.averages_for_variables(ema), tf.name_scope("validation"):
            validate = evaluation.evaluator(validation, lambda images: evaluation.logits(forward, record, images))

    # Saver and loop.
    watched = {"loss": loss, "accuracy": accuracy, "learning_rate": learning_rate}
    feed = train.feed | validation.feed
    return training.loop(train_op, watched, validate, feed, record, recipe, checkpoint_dir, log_dir, device_name)


def main():
    args = training.arguments(__doc__, RECIPES, datasets.MNIST)
    data = datasets.load_or_generate(datasets.MNIST, args.dataset, args.data_dir)
    image_format = {"image_size": IMAGE_SIZE, "image_mean": IMAGE_MEAN, "image_std": IMAGE_STD}
    return training.run("mnist", args, data, image_format, backward)


if __name__ == "__main__":
    command_line.run(main)
