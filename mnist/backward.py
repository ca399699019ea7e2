"""Trains an MNIST network; run mnist/test.py beside it to see the test accuracy come in.

    python mnist/backward.py                              # convnet: 99.62 % test accuracy after 69 s
    python mnist/backward.py --network lenet5             # the other networks are in mnist/networks/
    python mnist/backward.py --set learning_rate=0.1 --checkpoint-dir try    # another recipe, elsewhere
    python mnist/backward.py --dataset my_letters.csv     # pictures of your own: a table, or one folder a class

(benchmarks/accuracy/defaults.py: moving averages of the weights, mean of six seeds, two Zen 4 cores, in bfloat16.)

A run that was stopped, in whatever way, goes on where it was when the same command is given again. The data set is
MNIST unless --dataset says otherwise; where it cannot be had, digits drawn from fonts.
"""

import sys
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at mnist/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import command_line
from common.data import datasets
from common.graph import augmentation, batches, device, layers, optimization, towers
from common.training import arguments, checkpoints, cluster, hooks, launch, members, start, trainer
from common.training.event_file import EventFile
from common.training.profile import Profile
from common.training.report import Report
from common.training.several import SeveralSteps
from mnist.forward import IMAGE_SIZE, NETWORKS, forward
from mnist.picture_to_input import READERS

import tensorflow.compat.v1 as tf

AS = "your own pictures: ink on paper, the default; plain, that of TFRecords: the whole picture in grey, as it is"
IMAGE_MEAN, IMAGE_STD = 0.0, 255.0  # the input is (pixel - mean) / std: 0 is paper, and so is the convolutions' padding


def backward(run, data, checkpoint_dir, log_dir, devices, workers=cluster.ALONE, profile=None):
    """Trains a network up to the last step of its run, from the newest checkpoint in checkpoint_dir if there is one.

    run: runs.Run. data: datasets.DataSet. checkpoint_dir, log_dir: pathlib.Path, or None in workers that are not the
    chief. devices: their names. workers: cluster.Cluster. profile: the step to record, or None. Returns a
    report.Report, and the number of the signal that ended it early, or None. Raises UserError if the checkpoint does
    not fit the graph, if training diverges, and if it cannot be saved.
    """
    recipe, seed = run.recipe, run.seed
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
                images = augmentation.random_mirror(images, step, seed) if recipe.mirror else images
                images = augmentation.random_light(images, step, seed, recipe.brightness, recipe.contrast)

                # Logits.
                x = batches.standardize(images, run.image_mean, run.image_std, run.precision)
                with optimization.initialized(recipe):
                    logits = forward(x, True, optimization.regularizer(recipe), run.network, len(run.class_names))

                # Loss: of the data, and the terms that the weights left in a collection.
                with tf.name_scope("loss"):
                    data_loss = optimization.data_loss(recipe, labels, logits, data.train.labels)
                    loss = tf.reduce_sum([data_loss, *tf.get_collection("losses")], name="sum")  # add_n's order varies
                with tf.name_scope("accuracy"):
                    right = tf.equal(tf.argmax(logits, 1, output_type=tf.int32), labels)
                    accuracy = tf.reduce_mean(tf.cast(right, tf.float32))

                # Gradients: those of one operation need not wait for each other.
                pairs = optimizer.compute_gradients(loss, gate_gradients=optimizer.GATE_NONE)
                gradients, variables = zip(*pairs, strict=True)
                collected = tf.get_collection("statistics"), tf.get_collection("losses")
                parts.append((gradients, *collected, data_loss, loss, accuracy))

        # Mean over the towers, and over all workers if there are such.
        own, whole = towers.mean(parts, workers.mean)
        gradients, statistics, penalties, data_loss, loss, accuracy = whole

        # Train step, after the updates of the batch-norm statistics.
        with tf.control_dependencies(layers.move_statistics(statistics)):
            train_step = optimizer.apply_gradients(zip(gradients, variables, strict=True), global_step)

        # EMA: made inside the control dependency, or nothing would order it after the train step.
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


def main():
    parser = arguments.parser(__doc__, "mnist", NETWORKS, datasets.MNIST)
    parser.add_argument("--as", choices=READERS, help=AS)
    args = arguments.parse(parser, "mnist", NETWORKS, datasets.MNIST)
    if args.workers > 1 and not args.only_pack and not members.is_told():
        return launch.workers(args.workers)
    data = arguments.load(args, NETWORKS, datasets.MNIST, READERS, IMAGE_SIZE, getattr(args, "as"))
    if args.only_pack:
        return 0
    how = IMAGE_MEAN, IMAGE_STD, args.steps, args.seed, args.precision, args.start_from
    run = trainer.describe(args.network, args.recipe, data, *how)
    with (
        members.join(device.session_config(args.device)) as workers,
        trainer.locked_folders("mnist", args, run, workers) as (run, checkpoint_dir, log_dir),
    ):
        if not trainer.begin(run, checkpoint_dir, workers):
            return 0
        report, stopped_by = backward(run, data, checkpoint_dir, log_dir, args.device, workers, args.profile)
        return trainer.finish(run, report, stopped_by, checkpoint_dir, log_dir)


if __name__ == "__main__":
    command_line.run(main)
