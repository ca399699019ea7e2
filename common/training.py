"""The training session, what it writes for TensorBoard, and the run around it."""

import signal

from common import checkpoints, runs
from common.command_line import shown
from common.hooks import PICTURES

import tensorflow.compat.v1 as tf


def session(saver, checkpoint_dir, last_step, feed, config, hooks):
    """A MonitoredTrainingSession that goes on from the last checkpoint of checkpoint_dir, and ends at last_step.

    feed: what fills the local variables, once. hooks: those of common.hooks. Raises UserError if the checkpoint
    does not fit the graph.
    """
    checkpoints.go_on_from(checkpoint_dir, {v.op.name: v for v in tf.global_variables()})
    with tf.name_scope("session"):
        return tf.train.MonitoredTrainingSession(
            checkpoint_dir=str(checkpoint_dir),
            scaffold=tf.train.Scaffold(
                saver=saver, local_init_op=tf.local_variables_initializer(), local_init_feed_dict=feed
            ),
            config=config,
            # Save, Summaries and Report do these: the stock hooks put TensorBoard's files into checkpoint_dir, and
            # write a START event each, of which the second one drops the first scalars.
            save_checkpoint_steps=0,
            save_summaries_steps=0,
            log_step_count_steps=0,
            hooks=[tf.train.StopAtStepHook(last_step=last_step), *hooks],
        )


def averages_for_variables(ema):
    """A scope in which get_variable gives the moving averages of variables that exist: for validation in one graph."""

    def average(getter, *args, **kwargs):
        return ema.average(getter(*args, **kwargs))

    return tf.variable_scope(tf.get_variable_scope(), reuse=True, custom_getter=average)


def summarize(images, losses, learning_rate, ema):
    """Writes for TensorBoard: the losses and the learning rate; the input; weights, averages, activations."""
    for name, loss in losses.items():
        tf.summary.scalar(f"loss/{name}", loss)
    tf.summary.scalar("learning_rate", learning_rate)
    tf.summary.image("input", images, max_outputs=8, collections=[PICTURES])
    for variable in tf.trainable_variables():
        tf.summary.histogram(f"weights/{variable.op.name}", variable, collections=[PICTURES])
        tf.summary.histogram(f"averages/{variable.op.name}", ema.average(variable), collections=[PICTURES])
    for activation in tf.get_collection(tf.GraphKeys.ACTIVATIONS):
        name = activation.op.name
        tf.summary.histogram(f"activations/{name}", activation, collections=[PICTURES])
        with tf.name_scope("zero_fractions/"):  # with the slash: the same scope each time
            sparsity = tf.nn.zero_fraction(activation)
        tf.summary.scalar(f"sparsity/{name}", sparsity)


def run(train, record, checkpoint_dir, log_dir):
    """Calls train() for the run that `record` describes, in its folder, and prints what came of it.

    train() returns a Report, and the number of the signal that ended it early, or None. Returns the exit status: 0, or
    128 + that number. Raises UserError if the folder holds another run, or another trainer is at work there.
    """
    title, last_step = f"{record['network']} on {record['dataset_title']}", record["steps"]
    with runs.lock(checkpoint_dir):
        runs.start(checkpoint_dir, record)
        done = checkpoints.step(checkpoints.latest(checkpoint_dir))
        if done >= last_step:
            print(f"{title}: at step {done} already, in {shown(checkpoint_dir)}; --steps N trains on")
            return 0
        print(f"{title}: step {done} to {last_step}", flush=True)
        report, stopped_by = train()
    if stopped_by:
        name = signal.Signals(stopped_by).name
        print(f"stopped by {name} at step {report.step} of {last_step}; the same command goes on from there")
    print(
        f"{title}: validation accuracy {report.validation_accuracy:.4f} (EMA) at step {report.step}, "
        f"{report.seconds:.0f} s of training"
    )
    from common import plots  # matplotlib, which takes a second to import, is not needed before

    print(f"checkpoint  {shown(checkpoints.latest(checkpoint_dir))}")
    print(f"curves      {shown(plots.curves(log_dir, title))}", flush=True)
    return 128 + stopped_by if stopped_by else 0
