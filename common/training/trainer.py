"""What both trainers share: evaluations, TensorBoard's summaries, and a run's beginning and end."""

import contextlib
import dataclasses
import os
import signal

from common.command_line import ROOT, shown
from common.errors import UserError, writing
from common.graph import batches, device, towers
from common.training import agreement, calibration, checkpoints, cluster, evaluation, hooks, runs
from common.training import recipe as recipes

import numpy as np
import tensorflow.compat.v1 as tf

HISTOGRAM_IMAGES = 32  # of a batch, for activations: a histogram takes 45 ns for each of millions of values


def describe(
    network, recipe, data, image_mean, image_std, steps=None, seed=1, precision="float32", start_from="none"
):
    """The runs.Run of a network that learns by a recipe.

    data: datasets.DataSet. image_mean, image_std: pixel values 0–255, one number or one a channel. steps: the last one,
    by the recipe's epochs unless told. start_from: the path of a checkpoint, or "none". Raises UserError for more
    images or steps than there can be.
    """
    images = len(data.train.labels)
    if recipe.batch_size > images:
        raise UserError(f"batch_size {recipe.batch_size} is more than the {images} training images; set it to less")
    steps = steps or max(1, round(recipe.epochs * images / recipe.batch_size))
    if steps >= 2**31:
        raise UserError(f"{recipe.epochs:g} epochs are {steps:g} steps; set epochs to less, or batch_size to more")
    return runs.Run(
        network=network,
        dataset=data.name,
        dataset_title=data.title,
        dataset_sha256=data.digest,
        class_names=data.class_names,
        image_size=data.train.images.shape[1],
        image_mean=image_mean,
        image_std=image_std,
        recipe=recipe,
        seed=seed,
        precision=precision,
        reading=data.reading,
        dataset_folder=data.folder,
        dataset_source=data.source,
        start_from="" if start_from == "none" else os.path.relpath(start_from, ROOT),
        steps=steps,
        versions={"tensorflow": tf.__version__, "numpy": np.__version__},
    )


@contextlib.contextmanager
def locked_folders(task, args, run, workers):
    """The run as it goes on there, its folder of checkpoints, and of logs, while no other trainer is at work there.

    args: of arguments.parse(). All workers call it, and have the precision of the chief if theirs is left to auto. Of
    those that are not the chief: the run, None and None. Raises UserError if the folder holds another run, another
    trainer is at work there, or a device does not compute in the precision.
    """
    checkpoint_dir = log_dir = None
    with contextlib.ExitStack() as locked:
        if workers.is_chief:
            checkpoint_dir = runs.folder(args.checkpoint_dir, task, run.network, run.dataset)
            log_dir = runs.folder(args.log_dir, task, run.network, run.dataset) / "train"
            log_dir.mkdir(parents=True, exist_ok=True)
            locked.enter_context(runs.lock(checkpoint_dir))
            run = agreement.continued(checkpoint_dir, run, args.auto_precision)
        chiefs = workers.exchange(run.precision)[0]
        if args.auto_precision:
            device.check_precision(chiefs, args.device)
            run = dataclasses.replace(run, precision=chiefs)
        yield run, checkpoint_dir, log_dir


def begin(run, checkpoint_dir, workers=cluster.ALONE):
    """Whether there are steps to train: then writes run.json. Prints which, or that there are none.

    Raises UserError if the workers are not to train the same run, by the same program.
    """
    title, done = f"{run.network} on {run.dataset_title}", 0
    if workers.is_chief:
        done = checkpoints.step(checkpoints.newest_whole(checkpoint_dir))
    done = workers.exchange(done)[0]
    if workers.size > 1:
        workers.check_alike(agreement.what_all_share(run))
    if not workers.is_chief:
        return done < run.steps
    if done < run.steps:
        runs.write(checkpoint_dir, run)
        together = f", {workers.size} workers" if workers.size > 1 else ""
        print(f"{title}: step {done} to {run.steps}, {run.precision}{together}", flush=True)
        return True
    # The other schedules end at a step that was fixed at the start.
    more = "; a larger --steps trains on" if run.recipe.schedule in recipes.LASTING else ""
    print(f"{title}: at step {done} already, in {shown(checkpoint_dir)}{more}")
    return False


def evaluators(forward, run, data, train, ema, workers):
    """Evaluations with the moving averages of the weights, in the graph that trains.

    forward: the task's. data: datasets.DataSet. train: its training images, a batches.OnDevice. Returns a dict from the
    name of the images to a function of a session, for report.Report, and the feed of the images' local variables.
    """

    def average(getter, *args, **kwargs):
        variable = getter(*args, **kwargs)
        shadow = ema.average(variable)
        return variable if shadow is None else shadow  # none of a variable that is not trained

    def network(images):
        return evaluation.logits(forward, run, images, precision=run.precision)  # in float32 it would take long

    splits = {"validation": batches.source(data.validation, "validation_data")}
    if run.recipe.evaluate == "all":
        splits |= {"training_set": train, "test": batches.source(data.test, "test_data")}
    with tf.variable_scope(tf.get_variable_scope(), reuse=True, custom_getter=average):
        functions = {name: evaluation.evaluator(split, network, name, workers) for name, split in splits.items()}
    return functions, {key: array for split in splits.values() for key, array in split.feed.items()}


def summarize(images, data_loss, loss, penalties, gradients, learning_rate, ema):
    """Writes for TensorBoard: each term of the loss, raw and averaged; the learning rate; the input; weights, their
    averages and gradients; the activations of HISTOGRAM_IMAGES images.

    gradients: (gradient, variable) pairs. Returns the operation that averages the losses: run it with each step.
    """
    losses = {"loss/total": loss, "loss/data": data_loss}
    losses |= {f"penalty/{term.op.name}": term for term in penalties}
    average = tf.train.ExponentialMovingAverage(0.9, zero_debias=True, name="average")
    averaging = average.apply(list(losses.values()))
    for name, value in losses.items():
        tf.summary.scalar(name, value)
        with tf.control_dependencies([averaging]), tf.name_scope("averaged_losses/"):  # one box in TensorBoard's graph
            averaged = average.average(value).read_value()
        tf.summary.scalar(f"{name}_averaged", averaged)
    tf.summary.scalar("learning_rate", learning_rate)
    tf.summary.image("input", images, max_outputs=8, collections=[hooks.PICTURES])
    for gradient, variable in gradients:
        for kind, value in ("weights", variable), ("averages", ema.average(variable)), ("gradients", gradient):
            tf.summary.histogram(f"{kind}/{variable.op.name}", value, collections=[hooks.PICTURES])
    for activation in tf.get_collection(tf.GraphKeys.ACTIVATIONS):
        name = towers.plain_name(activation)
        with tf.name_scope("some_activations/"):  # with the slash: the same scope each time
            some = activation[:HISTOGRAM_IMAGES]
        tf.summary.histogram(f"activations/{name}", some, collections=[hooks.PICTURES])
        if activation.op.type == "Relu":  # others are hardly ever 0
            with tf.name_scope("zero_fractions/"):
                sparsity = tf.nn.zero_fraction(activation)
            tf.summary.scalar(f"sparsity/{name}", sparsity)
    return averaging


def finish(run, report, stopped_by, checkpoint_dir, log_dir):
    """Draws the curves, and prints what came of the training; of one that was stopped, only that.

    report: report.Report. stopped_by: the number of the signal that ended it early, or None. Returns the exit status:
    0, or 128 + that number.
    """
    title = f"{run.network} on {run.dataset_title}"
    if not checkpoint_dir:  # a worker that is not the chief
        return 128 + stopped_by if stopped_by else 0
    if stopped_by:
        name = signal.Signals(stopped_by).name
        print(f"stopped by {name} at step {report.step} of {run.steps}; the same command goes on from there")
        print(f"checkpoint  {shown(checkpoints.latest(checkpoint_dir))}")
        return 128 + stopped_by
    probabilities, labels = report.validation
    calibrated = calibration.at(report.temperature, probabilities)
    before, after = (calibration.expected_error(p, labels) for p in (probabilities, calibrated))
    accuracies = f"validation {report.validation.text} (EMA)"
    since = f" since step {report.begun}" if report.begun else ""
    print(f"{title}: {accuracies} at step {report.step}, {report.seconds:.0f} s of training{since}")
    print(f"calibration {before:.2%} expected error, {after:.2%} at temperature {report.temperature:.2f} (validation)")
    print(f"checkpoint  {shown(checkpoints.latest(checkpoint_dir))}")
    from common.training import plots  # matplotlib, which takes a second to import, is not needed before

    with writing(log_dir / "curves.png"):
        path = plots.curves(log_dir, title)
    print(f"curves      {shown(path)}", flush=True)
    return 0
