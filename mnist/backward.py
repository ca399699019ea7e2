"""Trains an MNIST network; run mnist/test.py beside it to see the test accuracy come in.

    python mnist/backward.py                              # convnet: 99.58 % test accuracy after 125 s
    python mnist/backward.py --network lenet5             # the other networks are in mnist/networks/
    python mnist/backward.py --set learning_rate=0.1 --checkpoint-dir try --log-dir try    # another recipe, elsewhere

(benchmarks/training.py: moving averages of the weights, mean of three seeds, two Zen 4 cores.)

A run that was stopped, in whatever way, goes on where it was when the same command is given again. The data set is
MNIST unless --dataset says otherwise; where it cannot be had, digits drawn from fonts.
"""

import sys
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at mnist/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import batches, command_line, datasets, optimization, training
from common.recipe import arguments
from mnist.forward import IMAGE_SIZE, NETWORKS, forward

import tensorflow.compat.v1 as tf

IMAGE_MEAN, IMAGE_STD = 0.0, 255.0  # the input is (pixel - mean) / std: 0 is paper, and so is the convolutions' padding
RECIPES = {name: network.RECIPE for name, network in NETWORKS.items()}


def backward(record, recipe, data, checkpoint_dir, log_dir, device_name):
    """Trains a network up to the last step of its run, from the newest checkpoint in checkpoint_dir if there is one.

    record: of run.json. recipe: Recipe. data: datasets.DataSet. Returns what training.loop() returns.
    """
    seed = record["seed"]
    tf.set_random_seed(seed)
    with tf.device(device_name):
        # Data: uint8, kept on the device.
        train = batches.on_device(data.train, "train_data")

        # Batch: a function of (seed, global step) alone.
        global_step = tf.train.get_or_create_global_step()
        step = tf.identity(global_step, "step")  # read once, before the train step increments it
        images, labels = batches.shuffled(train, step, recipe.batch_size, seed)
        images = batches.random_affine(images, step, seed, recipe.degrees, recipe.scale, recipe.shear, recipe.shift)

        # Logits.
        x = batches.standardize(images, record["image_mean"], record["image_std"])
        with optimization.initialized(recipe):
            logits = forward(x, True, optimization.regularizer(recipe), record["network"])

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
        gradients = optimizer.compute_gradients(loss)
        with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
            train_step = optimizer.apply_gradients(gradients, global_step)

        # EMA: made inside the control dependency, or nothing would order it after the train step.
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


def main():
    args = arguments(__doc__, RECIPES, datasets.MNIST)
    data = datasets.load_or_generate(datasets.MNIST, args.dataset, args.data_dir)
    image_format = {"image_size": IMAGE_SIZE, "image_mean": IMAGE_MEAN, "image_std": IMAGE_STD}
    return training.run("mnist", args, data, image_format, backward)


if __name__ == "__main__":
    command_line.run(main)
