"""What both trainers share: the command line, evaluations, TensorBoard's summaries, and a run's beginning and end."""

import argparse
import contextlib
import dataclasses
import os
import signal
from pathlib import Path

from common import command_line
from common.command_line import CHECKPOINT_DIR, ROOT, shown
from common.data import datasets, packing, records
from common.errors import UserError, writing
from common.graph import batches, device
from common.training import calibration, checkpoints, evaluation, hooks, runs
from common.training import recipe as recipes

import numpy as np
import tensorflow.compat.v1 as tf


def parser(description, networks, family):
    """The command line of a trainer. networks: modules by name, the default first. family: of data sets."""
    parser = command_line.parser(description, list(networks), list(family))
    command_line.add_data_dir(parser)
    whole = command_line.positive(int)
    parser.add_argument("--steps", metavar="N", type=whole, help="train up to this step, not by the recipe's epochs")
    parser.add_argument("--seed", metavar="N", type=whole, default=1, help="of weights, batches and augmentation (1)")
    parser.add_argument(
        "--precision", choices=device.PRECISIONS, default="float32",
        help="of convolutions and matrix products: float32, the default; bfloat16 on a CPU, float16 on a GPU",
    )
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="change entries of the recipe, below"
    )
    parser.add_argument(
        "--start-from", metavar="CHECKPOINT",
        help="weights to begin with: of a checkpoint, pretrained or none (pretrained for your own pictures, else none)",
    )
    parser.add_argument(
        "--in-memory", metavar="GB", type=float,
        help="your own pictures are read from the disk if they are more than this (default: half of what is free)",
    )
    parser.add_argument("--only-pack", action="store_true", help="pack your own pictures, and do not train")
    parser.epilog = _recipe_table(networks)
    return parser


def arguments(parser, task, networks, family):
    """What the command line asks for; `own`, `network`, `device` and `start_from` are resolved.

    own: whether the data set is pictures of one's own. Raises UserError for a device that is not there or does not
    compute in the precision, and for an entry of the recipe that is invalid or changes nothing.
    """
    args = parser.parse_args()
    args.own = bool(args.dataset) and args.dataset not in family
    if args.only_pack and not args.own:
        raise UserError("--only-pack needs --dataset with a folder, a table or TFRecords of your own pictures")
    pretrained = CHECKPOINT_DIR / task / runs.PRETRAINED
    known = runs.read(pretrained).network if args.own and checkpoints.latest(pretrained) else None
    args.network = args.network or known or next(iter(networks))
    if args.start_from is None:
        args.start_from = "pretrained" if args.network == known else "none"
    if args.start_from != "none":
        args.start_from = checkpoints.named(pretrained if args.start_from == "pretrained" else args.start_from)
    args.device = device.resolve(args.device)
    device.check_precision(args.precision, args.device)
    recipes.change(networks[args.network].RECIPE, args.set)  # before the pictures are packed, which may take long
    return args


def load(args, networks, family, readers, size, reading=None):
    """The data set that the command line asks for; and args.recipe, which may depend on it.

    For pictures of one's own: readers: functions as packing.pack() takes them, by name. size: of what they give.
    reading: the name; or if None, the first, and of TFRecords the last, which takes them as they are.
    """
    recipe = networks[args.network].RECIPE
    if args.own:
        limit = None if args.in_memory is None else args.in_memory * 1e9
        reading = reading or list(readers)[-1 if records.files(Path(args.dataset)) else 0]
        data = datasets.packed(packing.pack(args.dataset, args.data_dir, reading, readers[reading], size), limit)
        recipe = recipe.for_own(len(data.train.labels))
    else:
        data = datasets.load_or_generate(family, args.dataset, args.data_dir)
    args.recipe = recipes.change(recipe, args.set)
    return data


def _recipe_table(networks):
    """For --help: the recipe of the network that the command line names, or of the default one."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("--network", choices=networks)
    try:
        name = parser.parse_known_args()[0].network or next(iter(networks))
    except argparse.ArgumentError:  # told by the parser of all flags
        return ""
    return f"the recipe of {name}, for --set:\n{recipes.table(networks[name].RECIPE)}"


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
        start_from="" if start_from == "none" else os.path.relpath(start_from, ROOT),
        steps=steps,
        versions={"tensorflow": tf.__version__, "numpy": np.__version__},
    )


@contextlib.contextmanager
def locked_folders(task, args, run):
    """The run as it goes on there, its folder of checkpoints, and of logs, while no other trainer is at work there.

    Raises UserError if the folder holds another run, or another trainer is at work there.
    """
    checkpoint_dir = runs.folder(args.checkpoint_dir, task, run.network, run.dataset)
    log_dir = runs.folder(args.log_dir, task, run.network, run.dataset) / "train"
    log_dir.mkdir(parents=True, exist_ok=True)
    with runs.lock(checkpoint_dir):
        yield runs.continued(checkpoint_dir, run), checkpoint_dir, log_dir


def begin(run, checkpoint_dir):
    """Whether there are steps to train: then writes run.json. Prints which, or that there are none."""
    title, done = f"{run.network} on {run.dataset_title}", checkpoints.step(checkpoints.latest(checkpoint_dir))
    if done < run.steps:
        runs.write(checkpoint_dir, run)
        print(f"{title}: step {done} to {run.steps}", flush=True)
        return True
    # The other schedules end at a step that was fixed at the start.
    more = "; --steps N trains on" if run.recipe.schedule in recipes.LASTING else ""
    print(f"{title}: at step {done} already, in {shown(checkpoint_dir)}{more}")
    return False


def evaluators(forward, run, data, train, ema):
    """Evaluations with the moving averages of the weights, in the graph that trains.

    forward: the task's. data: datasets.DataSet. train: its training images, a batches.OnDevice. Returns a dict from the
    name of the images to a function of a session, for report.Report, and the feed of the images' local variables.
    """

    def average(getter, *args, **kwargs):
        variable = getter(*args, **kwargs)
        shadow = ema.average(variable)
        return variable if shadow is None else shadow  # none of a variable that is not trained

    splits = {"validation": batches.source(data.validation, "validation_data")}
    if run.recipe.evaluate == "all":
        splits |= {"training_set": train, "test": batches.source(data.test, "test_data")}
    with tf.variable_scope(tf.get_variable_scope(), reuse=True, custom_getter=average):
        functions = {
            name: evaluation.evaluator(split, lambda images: evaluation.logits(forward, run, images), name)
            for name, split in splits.items()
        }
    return functions, {key: array for split in splits.values() for key, array in split.feed.items()}


def summarize(images, data_loss, loss, gradients, learning_rate, ema):
    """Writes for TensorBoard: each term of the loss, raw and averaged; the learning rate; the input; weights, their
    averages, gradients and activations.

    gradients: (gradient, variable) pairs. Returns the operation that averages the losses: run it with each step.
    """
    losses = {"loss/total": loss, "loss/data": data_loss}
    losses |= {f"penalty/{term.op.name}": term for term in tf.get_collection("losses")}
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
        name = activation.op.name
        tf.summary.histogram(f"activations/{name}", activation, collections=[hooks.PICTURES])
        if activation.op.type == "Relu":  # others are hardly ever 0
            with tf.name_scope("zero_fractions/"):  # with the slash: the same scope each time
                sparsity = tf.nn.zero_fraction(activation)
            tf.summary.scalar(f"sparsity/{name}", sparsity)
    return averaging


def finish(run, report, stopped_by, checkpoint_dir, log_dir):
    """Fits the temperature, draws the curves, and prints what came of the training.

    report: report.Report. stopped_by: the number of the signal that ended it early, or None. Returns the exit status:
    0, or 128 + that number.
    """
    title = f"{run.network} on {run.dataset_title}"
    probabilities, labels = report.validation
    temperature = calibration.temperature(probabilities, labels)
    accuracy = report.validation.accuracy
    runs.write(checkpoint_dir, dataclasses.replace(run, temperature=temperature, validation_accuracy=accuracy))
    calibrated = calibration.at(temperature, probabilities)
    before, after = (calibration.expected_error(p, labels) for p in (probabilities, calibrated))
    if stopped_by:
        name = signal.Signals(stopped_by).name
        print(f"stopped by {name} at step {report.step} of {run.steps}; the same command goes on from there")
    accuracies = f"validation accuracy {accuracy:.4f}, mean of classes {report.validation.class_mean:.4f}"
    print(f"{title}: {accuracies} (EMA) at step {report.step}, {report.seconds:.0f} s of training")
    print(f"calibration {before:.2%} expected error, {after:.2%} at temperature {temperature:.2f} (validation)")
    print(f"checkpoint  {shown(checkpoints.latest(checkpoint_dir))}")
    from common.training import plots  # matplotlib, which takes a second to import, is not needed before

    with writing(log_dir / "curves.png"):
        print(f"curves      {shown(plots.curves(log_dir, title))}", flush=True)
    return 128 + stopped_by if stopped_by else 0
