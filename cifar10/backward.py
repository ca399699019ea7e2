"""Trains a CIFAR-10 network; run cifar10/test.py beside it to see the test accuracy come in.

    python cifar10/backward.py                          # airbench_slim: 88.4 % after 10 min; 89.5 % with test.py --tta
    python cifar10/backward.py --network airbench       # 89.8 % after 44 min in float32; 90.5 % with --tta
    python cifar10/backward.py --set schedule=cosine --checkpoint-dir try      # another recipe, elsewhere
    python cifar10/backward.py --dataset my_photos/     # pictures of your own: one folder a class, or a table

(Moving averages of the weights, on a JPEG copy of CIFAR-10: docs/cifar10.md. Mean of three seeds in bfloat16, and one
run of airbench; two Zen 4 cores.)

A run that was stopped, in whatever way, goes on where it was when the same command is given again. The data set is
CIFAR-10 unless --dataset says otherwise; where it cannot be had, drawn shapes.
"""

import sys
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at cifar10/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from cifar10.forward import IMAGE_SIZE, NETWORKS, check_size, crop_size, forward, initial_values
from cifar10.picture_to_input import WHOLE, reader
from common import command_line
from common.data import datasets
from common.graph import augmentation, batches, device, layers, optimization, towers
from common.training import arguments, checkpoints, cluster, hooks, launch, members, start, trainer
from common.training.event_file import EventFile
from common.training.profile import Profile
from common.training.report import Report
from common.training.several import SeveralSteps

import numpy as np
import tensorflow.compat.v1 as tf

LARGEST = 128  # pixels, both ways, of pictures of one's own
SIZE = f"of your own pictures, to which they are squeezed: pixels, both ways, up to {LARGEST} (default: {IMAGE_SIZE})"
INITIAL_PIXELS = 5000 * 32 * 32  # of the images that a network may look at before it starts: bounds the memory


def backward(run, data, checkpoint_dir, log_dir, devices, workers=cluster.ALONE, profile=None):
    """Trains a network up to the last step of its run, from the newest checkpoint in checkpoint_dir if there is one.

    run: runs.Run. data: datasets.DataSet. checkpoint_dir, log_dir: pathlib.Path, or None in workers that are not the
    chief. devices: their names. workers: cluster.Cluster. profile: the step to record, or None. Returns a
    report.Report, and the number of the signal that ended it early, or None. Raises UserError if the checkpoint does
    not fit the graph, if training diverges, and if it cannot be saved.
    """
    recipe, seed, mean, std = run.recipe, run.seed, run.image_mean, run.image_std
    tf.set_random_seed(seed)
    with tf.device(devices[0]):
        # Data: uint8, kept on the device, or streamed from the disk.
        train = batches.source(data.train, "train_data")

        global_step = tf.train.get_or_create_global_step()
        step = tf.identity(global_step, "step")  # read once, before the train step increments it

        # Learning rate: warm-up and decay as the recipe says, exponential unless it says otherwise.
        epoch = train.size / recipe.batch_size  # steps
        learning_rate = optimization.learning_rate(recipe, step, run.steps, epoch)
        optimizer = optimization.optimizer(recipe, learning_rate, run.precision)

        # Towers: one a device, each with its part of the batch. Most runs have one, and the whole batch.
        parts, batch = [], [step]
        for tower in towers.over(devices, workers.part):
            with tower:
                # Batch, or a part of it: a function of (seed, global step) alone.
                images, labels = batches.shuffled(train, step, recipe.batch_size, seed)
                batch += images, labels
                affine = recipe.degrees, recipe.scale, recipe.shear, recipe.shift, recipe.edges
                images = augmentation.random_affine(images, step, seed, *affine)
                side = crop_size(run.network, run.image_size)
                images = augmentation.random_crop(images, step, seed, recipe.padding, side)
                images = augmentation.random_mirror(images, step, seed) if recipe.mirror else images
                images = augmentation.random_light(images, step, seed, recipe.brightness, recipe.contrast)
                images = augmentation.random_color(images, step, seed, recipe.color)
                images = augmentation.cutout(images, step, seed, recipe.cutout, fill=mean)

                # Logits.
                first = data.train.images[: INITIAL_PIXELS // run.image_size**2]
                initial = initial_values(run.network, first, mean, std)
                x = batches.standardize(images, mean, std, run.precision)
                with optimization.initialized(recipe):
                    regularizer = optimization.regularizer(recipe)
                    logits = forward(x, True, regularizer, run.network, len(run.class_names), **initial)

                # Loss: of the data, and the terms that the weights left in a collection.
                with tf.name_scope("loss"):
                    data_loss = optimization.data_loss(recipe, labels, logits, data.train.labels)
                    loss = tf.reduce_sum([data_loss, *tf.get_collection("losses")], name="sum")  # add_n's order varies
                with tf.name_scope("accuracy"):
                    right = tf.equal(tf.argmax(logits, 1, output_type=tf.int32), labels)
                    accuracy = tf.reduce_mean(tf.cast(right, tf.float32))

                # Gradients: those of one operation need not wait for each other.
                pairs = optimizer.compute_gradients(loss, gate_gradients=optimizer.GATE_NONE)
                pairs = [(g, variable) for g, variable in pairs if g is not None]  # what stays as it is has none
                gradients, variables = zip(*scale_biases(pairs, recipe.bias_scale), strict=True)
                collected = tf.get_collection("statistics"), tf.get_collection("losses")
                parts.append((gradients, *collected, data_loss, loss, accuracy))

        # Mean over the towers, and over all workers if there are such.
        own, whole = towers.mean(parts, workers.mean)
        gradients, statistics, penalties, data_loss, loss, accuracy = whole

        # Train step, after the updates of the batch-norm statistics.
        with tf.control_dependencies(layers.move_statistics(statistics)):
            train_step = optimizer.apply_gradients(zip(gradients, variables, strict=True), global_step)

        # EMA, of the statistics too: inside the control dependency, or nothing would order it after the train step.
        ema = tf.train.ExponentialMovingAverage(recipe.moving_average_decay, global_step)
        with tf.control_dependencies([train_step]), tf.name_scope("moving_averages"):
            averages = ema.apply(tf.trainable_variables() + tf.moving_average_variables())

        own = zip(own[0], variables, strict=True)  # gradients: pictures of them are made by the chief alone
        summaries = trainer.summarize(images, data_loss, loss, penalties, own, learning_rate, ema)
        train_op = tf.group(averages, summaries)
        evaluators, evaluation_feed = trainer.evaluators(forward, run, data, train, ema, workers)

    # Saver: of every variable, so that a run goes on from its checkpoint as if it had never stopped.
    saver, start_weights = tf.train.Saver(save_relative_paths=True), None
    if workers.is_chief:
        checkpoints.go_on_from(checkpoint_dir)
        start_weights = start.weights(run, ema, checkpoint_dir)

    # Hooks: called around each step. Workers that are not the chief write nothing.
    log = EventFile(log_dir)  # TensorBoard's
    watched = {"loss": loss, "accuracy": accuracy, "learning_rate": learning_rate}
    report = Report(run, watched, evaluators, checkpoint_dir, log)  # progress, validation
    stop = hooks.StopOnSignal(workers)  # Ctrl-C
    called = [stop, tf.train.StopAtStepHook(last_step=run.steps), report]
    if workers.size > 1:
        called.insert(0, cluster.KeepAlike(workers, recipe.save_steps))
    if workers.is_chief:
        save = hooks.Save(saver, checkpoint_dir, recipe.save_steps, log)
        called += [hooks.Summaries(log, batch), save]  # save flushes what those before it log
        if profile:
            called.append(Profile(profile, run.steps, log, log_dir))
    if workers.size == 1:
        called.insert(0, SeveralSteps(train_op, watched, called))

    # Session: with the variables of the newest checkpoint, or their initial values. Loop.
    scaffold = tf.train.Scaffold(
        saver=saver, init_fn=start_weights, local_init_feed_dict=train.feed | evaluation_feed
    )
    with (
        tf.name_scope("session"),
        stop,
        tf.train.SingularMonitoredSession(  # not MonitoredTrainingSession: that goes on by itself when a worker is lost
            called,
            scaffold,
            workers.target,
            workers.config or device.session_config(devices),
            checkpoint_dir and str(checkpoint_dir),
        ) as session,
    ):
        while not session.should_stop():
            session.run(train_op)
    return report, stop.received if report.step < run.steps else None


def scale_biases(gradients, factor):
    """(gradient, variable) pairs with those of the batch-norm offsets multiplied: they learn too slowly otherwise."""
    return [(factor * g if variable.op.name.endswith("/offset") else g, variable) for g, variable in gradients]


def mean_and_std(images):
    """Of each channel, over all pixels of uint8 [n, height, width, channels]: a float each, 0–255."""
    total, squares = np.zeros([2, *images.shape[1:]], np.int64)  # of each place; integers are exact
    for first in range(0, len(images), 250):  # they may be on the disk
        part = images[first : first + 250]
        total += part.sum(axis=0, dtype=np.uint32)
        squares += np.square(part, dtype=np.uint16).sum(axis=0, dtype=np.uint32)
    count = np.prod(images.shape[:3])
    mean = total.sum(axis=(0, 1)) / count
    std = np.sqrt(squares.sum(axis=(0, 1)) / count - mean**2).clip(0.01)  # of images that are all alike
    return tuple(mean.tolist()), tuple(std.tolist())


def main():
    parser = arguments.parser(__doc__, "cifar10", NETWORKS, datasets.CIFAR10)
    parser.add_argument("--size", metavar="N", type=command_line.positive(int, LARGEST), help=SIZE)
    args = arguments.parse(parser, "cifar10", NETWORKS, datasets.CIFAR10)
    size = args.size or IMAGE_SIZE
    check_size(args.network, size)  # before packing, which may take long
    if args.workers > 1 and not args.only_pack and not members.is_told():
        return launch.workers(args.workers)
    data = arguments.load(args, NETWORKS, datasets.CIFAR10, {WHOLE: reader(WHOLE, size)}, size)
    if args.only_pack:
        return 0
    how = *mean_and_std(data.train.images), args.steps, args.seed, args.precision, args.start_from
    run = trainer.describe(args.network, args.recipe, data, *how)
    with (
        members.join(device.session_config(args.device)) as workers,
        trainer.locked_folders("cifar10", args, run, workers) as (run, checkpoint_dir, log_dir),
    ):
        if not trainer.begin(run, checkpoint_dir, workers):
            return 0
        report, stopped_by = backward(run, data, checkpoint_dir, log_dir, args.device, workers, args.profile)
        return trainer.finish(run, report, stopped_by, checkpoint_dir, log_dir)


if __name__ == "__main__":
    command_line.run(main)
