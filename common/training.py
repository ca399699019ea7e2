"""What the trainers share: evaluations, TensorBoard's summaries, the loop, and the run around it."""

import dataclasses
import signal

from common import batches, calibration, checkpoints, device, evaluation, hooks, runs
from common.command_line import UserError, shown
from common.recipe import LASTING
from common.report import Report

import numpy as np
import tensorflow.compat.v1 as tf


def evaluators(forward, record, data, train, ema):
    """Evaluations with the moving averages of the weights, in the graph that trains.

    data: datasets.DataSet. train: its training images, a batches.OnDevice. Returns for report.Report and loop(): a dict
    from the name of the images to a function of a session, and what fills the local variables of these images.
    """

    def average(getter, *args, **kwargs):
        variable = getter(*args, **kwargs)
        shadow = ema.average(variable)
        return variable if shadow is None else shadow  # none of a variable that is not trained

    evaluated = {"validation": batches.on_device(data.validation, "validation_data")}
    if record["recipe"]["evaluate"] == "all":
        evaluated |= {"training_set": train, "test": batches.on_device(data.test, "test_data")}
    with tf.variable_scope(tf.get_variable_scope(), reuse=True, custom_getter=average):
        found = {
            name: evaluation.evaluator(split, lambda images: evaluation.logits(forward, record, images), name)
            for name, split in evaluated.items()
        }
    return found, {key: array for split in evaluated.values() for key, array in split.feed.items()}


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


def loop(train_op, watched, evaluators, feed, record, recipe, checkpoint_dir, log_dir, device_name):
    """Runs train_op up to the run's last step, or a signal, from the newest checkpoint if there is one.

    watched, evaluators: as for report.Report. feed: what fills the local variables, once. Returns that Report, and the
    number of the signal that ended it early, or None.
    Raises UserError if the checkpoint does not fit the graph.
    """
    checkpoints.go_on_from(checkpoint_dir, {v.op.name: v for v in tf.global_variables()})
    saver = tf.train.Saver(save_relative_paths=True)
    writer = tf.summary.FileWriter(str(log_dir))
    report = Report(watched, evaluators, recipe, record["dataset_title"], record["steps"], writer)
    save = hooks.Save(saver, checkpoint_dir, recipe.save_steps)
    last = tf.train.StopAtStepHook(last_step=record["steps"])
    with (
        hooks.StopOnSignal() as stop,
        tf.name_scope("session"),
        tf.train.MonitoredTrainingSession(
            checkpoint_dir=str(checkpoint_dir),
            scaffold=tf.train.Scaffold(
                saver=saver, local_init_op=tf.local_variables_initializer(), local_init_feed_dict=feed
            ),
            config=device.session_config(device_name, record["precision"]),
            # Save, Summaries and Report do these: the stock hooks put TensorBoard's files into checkpoint_dir, and
            # write a START event each, of which the second one drops the first scalars.
            save_checkpoint_steps=0,
            save_summaries_steps=0,
            log_step_count_steps=0,
            hooks=[last, report, hooks.Summaries(writer), save, stop],
        ) as session,
    ):
        while not session.should_stop():
            session.run(train_op)
    return report, stop.received if report.step < record["steps"] else None


def run(task, args, data, image_format, backward):
    """Trains by backward() what the flags ask for, in the folder of that run, and prints what came of it.

    args: from recipe.arguments(). image_format: the entries image_size, image_mean and image_std of run.json. Returns
    the exit status: 0, or 128 + the number of the signal that ended it. Raises UserError if the folder holds another
    run, or another trainer is at work there.
    """
    recipe, images = args.recipe, len(data.train.labels)
    if recipe.batch_size > images:
        raise UserError(f"batch_size {recipe.batch_size} is more than the {images} training images; set it to less")
    last_step = args.steps or max(1, round(recipe.epochs * images / recipe.batch_size))
    if last_step >= 2**31:
        raise UserError(f"{recipe.epochs:g} epochs are {last_step:g} steps; set epochs to less, or batch_size to more")
    record = {
        "network": args.network,
        "dataset": data.name,
        "dataset_title": data.title,
        "dataset_sha256": data.digest,
        "class_names": data.class_names,
        **image_format,
        "recipe": dataclasses.asdict(recipe),
        "seed": args.seed,
        "precision": args.precision,
        "steps": last_step,
        "versions": {"tensorflow": tf.__version__, "numpy": np.__version__},
    }
    checkpoint_dir = runs.folder(args.checkpoint_dir, task, args.network, data.name)
    log_dir = runs.folder(args.log_dir, task, args.network, data.name) / "train"
    log_dir.mkdir(parents=True, exist_ok=True)
    title = f"{args.network} on {data.title}"
    with runs.lock(checkpoint_dir):
        may_grow = recipe.schedule in LASTING  # the others end at a step that was fixed at the start
        runs.start(checkpoint_dir, record, may_grow)
        done = checkpoints.step(checkpoints.latest(checkpoint_dir))
        if done >= last_step:
            more = "; --steps N trains on" if may_grow else ""
            print(f"{title}: at step {done} already, in {shown(checkpoint_dir)}{more}")
            return 0
        print(f"{title}: step {done} to {last_step}", flush=True)
        report, stopped_by = backward(record, recipe, data, checkpoint_dir, log_dir, args.device)
        found, labels = report.validation
        temperature = calibration.temperature(found, labels)
        runs.write(checkpoint_dir, record | {"temperature": temperature})
    if stopped_by:
        name = signal.Signals(stopped_by).name
        print(f"stopped by {name} at step {report.step} of {last_step}; the same command goes on from there")
    before, after = (calibration.expected_error(p, labels) for p in (found, calibration.at(temperature, found)))
    print(
        f"{title}: validation accuracy {report.validation.accuracy:.4f} (EMA) at step {report.step}, "
        f"{report.seconds:.0f} s of training"
    )
    print(f"calibration {before:.2%} expected error, {after:.2%} at temperature {temperature:.2f} (validation)")
    from common import plots  # matplotlib, which takes a second to import, is not needed before

    print(f"checkpoint  {shown(checkpoints.latest(checkpoint_dir))}")
    print(f"curves      {shown(plots.curves(log_dir, title))}", flush=True)
    return 128 + stopped_by if stopped_by else 0
