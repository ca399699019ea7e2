"""Trains an MNIST network; run mnist/test.py beside it to see the test accuracy come in.

    python mnist/backward.py                              # convnet: 99.58 % test accuracy after 126 s
    python mnist/backward.py --network lenet5             # the other networks are in mnist/networks/
    python mnist/backward.py --set learning_rate=0.1 --checkpoint-dir try    # another recipe, elsewhere
    python mnist/backward.py --dataset my_letters.csv     # pictures of your own: a table, or one folder a class

(benchmarks/accuracy/defaults.py: moving averages of the weights, mean of three seeds, two Zen 4 cores.)

A run that was stopped, in whatever way, goes on where it was when the same command is given again. The data set is
MNIST unless --dataset says otherwise; where it cannot be had, digits drawn from fonts.
"""

import sys
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at mnist/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import command_line
from common.data import datasets
from common.graph import batches, device, optimization
from common.training import arguments, checkpoints, hooks, start, trainer
from common.training.event_file import EventFile
from common.training.report import Report
from mnist.forward import IMAGE_SIZE, NETWORKS, forward
from mnist.picture_to_input import READERS

import tensorflow.compat.v1 as tf

AS = "your own pictures: ink on paper, the default; plain, that of TFRecords: the whole picture in grey, as it is"
IMAGE_MEAN, IMAGE_STD = 0.0, 255.0  # the input is (pixel - mean) / std: 0 is paper, and so is the convolutions' padding


def backward(run, data, checkpoint_dir, log_dir, device_name):
    """Trains a network up to the last step of its run, from the newest checkpoint in checkpoint_dir if there is one.

    run: runs.Run. data: datasets.DataSet. checkpoint_dir, log_dir: pathlib.Path. Returns a report.Report, and the
    number of the signal that ended it early, or None. Raises UserError if the checkpoint does not fit the graph, if
    training diverges, and if it cannot be saved.
    """
    recipe, seed = run.recipe, run.seed
    tf.set_random_seed(seed)
    with tf.device(device_name):
        # Data: uint8, kept on the device, or streamed from the disk.
        train = batches.source(data.train, "train_data")

        # Batch: a function of (seed, global step) alone.
        global_step = tf.train.get_or_create_global_step()
        step = tf.identity(global_step, "step")  # read once, before the train step increments it
        _, images, labels = batch = step, *batches.shuffled(train, step, recipe.batch_size, seed)
        affine = recipe.degrees, recipe.scale, recipe.shear, recipe.shift, recipe.edges
        images = batches.random_affine(images, step, seed, *affine)
        images = batches.random_mirror(images, step, seed) if recipe.mirror else images
        images = batches.random_light(images, step, seed, recipe.brightness, recipe.contrast)

        # Logits.
        x = batches.standardize(images, run.image_mean, run.image_std)
        with optimization.initialized(recipe):
            logits = forward(x, True, optimization.regularizer(recipe), run.network, len(run.class_names))

        # Loss: of the data, and the terms that the weights left in a collection.
        with tf.name_scope("loss"):
            data_loss = optimization.data_loss(recipe, labels, logits, data.train.labels)
            loss = tf.reduce_sum([data_loss, *tf.get_collection("losses")], name="sum")  # add_n's order varies
        with tf.name_scope("accuracy"):
            accuracy = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, 1, output_type=tf.int32), labels), tf.float32))

        # Learning rate: warm-up and decay as the recipe says, exponential unless it says otherwise.
        epoch = train.size / recipe.batch_size  # steps
        learning_rate = optimization.learning_rate(recipe, step, run.steps, epoch)

        # Train step, after the updates of the batch-norm statistics.
        optimizer = optimization.optimizer(recipe, learning_rate, run.precision)
        gradients = optimizer.compute_gradients(loss)
        with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
            train_step = optimizer.apply_gradients(gradients, global_step)

        # EMA: made inside the control dependency, or nothing would order it after the train step.
        ema = tf.train.ExponentialMovingAverage(recipe.moving_average_decay, global_step)
        with tf.control_dependencies([train_step]), tf.name_scope("moving_averages"):
            averages = ema.apply(tf.trainable_variables() + tf.moving_average_variables())

        summaries = trainer.summarize(images, data_loss, loss, gradients, learning_rate, ema)
        train_op = tf.group(averages, summaries)
        evaluators, evaluation_feed = trainer.evaluators(forward, run, data, train, ema)

    # Saver: of every variable, so that a run goes on from its checkpoint as if it had never stopped.
    saver = tf.train.Saver(save_relative_paths=True)
    checkpoints.go_on_from(checkpoint_dir)

    # Hooks: called around each step.
    log = EventFile(log_dir)  # TensorBoard's
    watched = {"loss": loss, "accuracy": accuracy, "learning_rate": learning_rate}
    report = Report(run, watched, evaluators, checkpoint_dir, log)  # progress, validation
    save = hooks.Save(saver, checkpoint_dir, recipe.save_steps, log)
    stop = hooks.StopOnSignal()  # Ctrl-C
    last = tf.train.StopAtStepHook(last_step=run.steps)

    # Session: with the variables of the newest checkpoint, or their initial values. Loop.
    scaffold = tf.train.Scaffold(
        saver=saver, init_fn=start.weights(run, ema, checkpoint_dir), local_init_feed_dict=train.feed | evaluation_feed
    )
    with (
        tf.name_scope("session"),
        stop,
        tf.train.MonitoredTrainingSession(
            checkpoint_dir=str(checkpoint_dir),
            scaffold=scaffold,
            config=device.session_config(device_name, run.precision),
            hooks=[stop, last, report, hooks.Summaries(log, batch), save],  # save flushes what those before it log
            save_checkpoint_steps=0,  # not by the stock hooks: they would put the logs beside the checkpoints
            save_summaries_steps=0,
            log_step_count_steps=0,
        ) as session,
    ):
        while not session.should_stop():
            session.run(train_op)
    return report, stop.received if report.step < run.steps else None


def main():
    parser = arguments.parser(__doc__, NETWORKS, datasets.MNIST)
    parser.add_argument("--as", choices=READERS, help=AS)
    args = arguments.parse(parser, "mnist", NETWORKS, datasets.MNIST)
    data = arguments.load(args, NETWORKS, datasets.MNIST, READERS, IMAGE_SIZE, getattr(args, "as"))
    if args.only_pack:
        return 0
    how = IMAGE_MEAN, IMAGE_STD, args.steps, args.seed, args.precision, args.start_from
    run = trainer.describe(args.network, args.recipe, data, *how)
    with trainer.locked_folders("mnist", args, run) as (run, checkpoint_dir, log_dir):
        if not trainer.begin(run, checkpoint_dir):
            return 0
        report, stopped_by = backward(run, data, checkpoint_dir, log_dir, args.device)
        return trainer.finish(run, report, stopped_by, checkpoint_dir, log_dir)


if __name__ == "__main__":
    command_line.run(main)
