"""Trains an MNIST network; run mnist/test.py beside it to see the test accuracy come in.

    python mnist/backward.py                              # convnet: 99.58 % test accuracy after 132 s
    python mnist/backward.py --network lenet5             # 99.46 % after 179 s
    python mnist/backward.py --network fully_connected    # 98.93 % after 32 s
    python mnist/backward.py --set learning_rate=0.1 --checkpoint-dir try --log-dir try    # another recipe, elsewhere

(benchmarks/mnist.py: moving averages of the weights, mean of three seeds, two Zen 4 cores.)

A run that was stopped, in whatever way, goes on where it was when the same command is given again. The data set is
MNIST unless --dataset says otherwise; where it cannot be had, digits drawn from fonts.
"""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at mnist/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import batches, command_line, datasets, device, evaluation, hooks, runs, training
from mnist.forward import IMAGE_SIZE, NETWORKS, forward

import numpy as np
import tensorflow.compat.v1 as tf

IMAGE_MEAN, IMAGE_STD = 0.0, 255.0  # the input is (pixel - mean) / std: 0 is paper, and so is the convolutions' padding


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. --set changes single entries."""

    batch_size: int = 256  # images
    epochs: float = 8.0
    learning_rate: float = 0.3  # where the decay starts from
    learning_rate_decay: float = 0.57  # factor per epoch, applied smoothly
    warmup_steps: int = 50  # it first rises over these: large first steps inflate weights that L2 is slow to shrink
    momentum: float = 0.9  # Nesterov's
    regularizer: float = 5e-4  # of the L2 terms, ½Σw²
    moving_average_decay: float = 0.998  # per step
    degrees: float = 13.0  # augmentation: largest turn either way
    scale: float = 0.13  # largest change of height and of width
    shear: float = 0.2  # largest slant, pixels per row
    shift: float = 2.6  # largest move, pixels
    save_steps: int = 200  # between checkpoints, and between validations

    def __post_init__(self):
        if self.moving_average_decay >= 1:
            raise ValueError("moving_average_decay must be below 1")


RECIPES = {
    "convnet": Recipe(),
    "lenet5": Recipe(
        batch_size=128, learning_rate=0.05, learning_rate_decay=0.6, regularizer=1e-4,
        degrees=10.0, scale=0.1, shear=0.15, shift=2.0, save_steps=500,
    ),
    "fully_connected": Recipe(
        epochs=30.0, learning_rate=0.2, learning_rate_decay=0.87, regularizer=2e-5,
        degrees=6.0, scale=0.06, shear=0.1, shift=1.0, save_steps=500,
    ),
}


def standardize(images):
    return batches.standardize(images, IMAGE_MEAN, IMAGE_STD)


def backward(network, data, recipe, steps, seed, checkpoint_dir, log_dir, device_name):
    """Trains a network up to global step `steps`, from the last checkpoint in checkpoint_dir if there is one.

    data: datasets.DataSet. Returns the hooks.Report, and the number of the signal that ended it early, or None.
    """
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
        logits = forward(standardize(images), True, recipe.regularizer, network)

        # Loss: cross-entropy and the L2 terms that the weights left in a collection.
        with tf.name_scope("loss"):
            cross_entropy = tf.losses.sparse_softmax_cross_entropy(labels, logits, loss_collection=None)
            l2 = tf.add_n(tf.get_collection("losses"))
            loss = cross_entropy + l2
        with tf.name_scope("accuracy"):
            accuracy = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, 1, output_type=tf.int32), labels), tf.float32))

        # Learning rate: decays exponentially, after a short linear warm-up.
        with tf.name_scope("schedule"):
            epoch = train.size / recipe.batch_size  # steps
            learning_rate = tf.train.exponential_decay(recipe.learning_rate, step, epoch, recipe.learning_rate_decay)
            learning_rate *= tf.minimum(1.0, tf.cast(step + 1, tf.float32) / recipe.warmup_steps)

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
            validate = evaluation.evaluator(validation, lambda x: forward(standardize(x), False, None, network))

    # Saver, and what else goes along with the loop.
    saver = tf.train.Saver(save_relative_paths=True)
    writer = tf.summary.FileWriter(str(log_dir))
    report = hooks.Report(loss, accuracy, learning_rate, validate, recipe, data.title, steps, writer)
    save = hooks.Save(saver, checkpoint_dir, recipe.save_steps)

    # Loop.
    feed, config = train.feed | validation.feed, device.session_config(device_name)
    with (
        hooks.StopOnSignal() as stop,
        training.session(
            saver, checkpoint_dir, steps, feed, config, [report, hooks.Summaries(writer), save, stop]
        ) as session,
    ):
        while not session.should_stop():
            session.run(train_op)
    return report, stop.received


def main():
    parser = command_line.parser(__doc__, list(NETWORKS), datasets.MNIST_FAMILY)
    command_line.add_data_dir(parser)
    parser.set_defaults(network="convnet")
    number = command_line.positive(int)
    parser.add_argument("--steps", metavar="N", type=number, help="train up to this step, not by the recipe's epochs")
    parser.add_argument("--seed", metavar="N", type=number, default=1, help="of weights, batches and augmentation")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="change entries of the recipe")
    args = parser.parse_args()
    recipe = command_line.override(RECIPES[args.network], args.set)
    device_name = device.resolve(args.device)
    data = datasets.load_or_generate(args.dataset, args.data_dir)
    steps = args.steps or max(1, round(recipe.epochs * len(data.train.labels) / recipe.batch_size))
    record = {
        "network": args.network,
        "dataset": data.name,
        "dataset_title": data.title,
        "dataset_sha256": data.digest,
        "class_names": data.class_names,
        "image_size": IMAGE_SIZE,
        "image_mean": IMAGE_MEAN,
        "image_std": IMAGE_STD,
        "recipe": asdict(recipe),
        "seed": args.seed,
        "steps": steps,
        "versions": {"tensorflow": tf.__version__, "numpy": np.__version__},
    }
    checkpoint_dir = runs.folder(args.checkpoint_dir, "mnist", args.network, data.name)
    log_dir = runs.folder(args.log_dir, "mnist", args.network, data.name) / "train"
    log_dir.mkdir(parents=True, exist_ok=True)

    def train():
        return backward(args.network, data, recipe, steps, args.seed, checkpoint_dir, log_dir, device_name)

    return training.run(train, record, checkpoint_dir, log_dir)


if __name__ == "__main__":
    command_line.run(main)
