"""Hooks of the training loop: save, report, validate, stop cleanly.

A hook is called around each session.run(train_op); its `after_run` may ask the loop to stop.
"""

import signal
import time
from pathlib import Path

from common.command_line import UserError

import numpy as np
import tensorflow.compat.v1 as tf
from tqdm import tqdm

SUMMARY_STEPS = 50  # between scalars of the graph
PICTURE_STEPS = 500  # between histograms and pictures, which are large
PICTURES = "pictures"  # the collection of those


class CountSteps(tf.train.SessionRunHook):
    """Keeps the global step in self.step, without fetching it."""

    def after_create_session(self, session, coord):
        self.step = session.run(tf.train.get_global_step())

    def after_run(self, run_context, run_values):
        self.step += 1
        self.after_step(run_context, run_values.results)

    def after_step(self, run_context, results):
        """Called after each step with what before_run asked for."""


class NotFinite(UserError):
    def __init__(self, step, what):
        super().__init__(
            f"training diverged at step {step}: {what}. Nothing that is not finite was saved. Start "
            "again in another --checkpoint-dir with a smaller learning_rate, by --set"
        )


class Save(CountSteps):
    """Saves a checkpoint every `every` steps and at the end, but never weights that are not finite."""

    def __init__(self, saver, directory, every):
        self._saver, self._path, self._every = saver, str(Path(directory) / "model.ckpt"), every

    def begin(self):
        with tf.name_scope("weights_are_finite"):
            self._finite = tf.reduce_all([tf.reduce_all(tf.is_finite(v)) for v in tf.trainable_variables()])

    def after_create_session(self, session, coord):
        super().after_create_session(session, coord)
        self._saved = self.step

    def after_step(self, run_context, results):
        if self.step % self._every == 0:
            self._save(run_context.session)

    def end(self, session):
        if self.step != self._saved:
            self._save(session)

    def _save(self, session):
        if not session.run(self._finite):
            raise NotFinite(self.step, "a weight is not finite")
        self._saver.save(session, self._path, global_step=self.step, write_meta_graph=False)
        self._saved = self.step


class Summaries(CountSteps):
    """Writes the summaries of the graph for TensorBoard: scalars often, histograms and pictures now and then."""

    def __init__(self, writer):
        self._writer = writer
        self._scalars = tf.summary.merge_all(name="summaries")
        self._pictures = tf.summary.merge_all(PICTURES, name="summaries")

    def after_create_session(self, session, coord):
        super().after_create_session(session, coord)
        if self.step == 0:
            self._writer.add_graph(session.graph)
        # What an interrupted run wrote after its last checkpoint is dropped from TensorBoard's curves.
        self._writer.add_session_log(tf.SessionLog(status=tf.SessionLog.START), self.step + 1)

    def before_run(self, run_context):
        return tf.train.SessionRunArgs(self._scalars) if self._is_due(self.step + 1, SUMMARY_STEPS) else None

    def after_step(self, run_context, scalars):
        if scalars:
            self._writer.add_summary(scalars, self.step)
        if self._is_due(self.step, PICTURE_STEPS):  # in a run of its own: a histogram of NaN fails it
            try:
                self._writer.add_summary(run_context.session.run(self._pictures), self.step)
            except tf.errors.InvalidArgumentError as error:
                raise NotFinite(self.step, str(error).splitlines()[0]) from None

    @staticmethod
    def _is_due(step, every):
        return step == 1 or step % every == 0

    def end(self, session):
        self._writer.flush()


class StopOnSignal(tf.train.SessionRunHook):
    """On SIGINT or SIGTERM lets the step end, and the other hooks save. The same signal again ends the program at once.

    A context manager too: the signals are caught within it.
    """

    received = None  # the signal's number

    def __enter__(self):
        self._before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number, frame):
        self.received = self.received or number
        signal.signal(number, self._before[number])  # SIGINT and SIGTERM at once are still a first signal each

    def after_run(self, run_context, run_values):
        if self.received:
            run_context.request_stop()


class Report(CountSteps):
    """Shows progress, validates, and stops a run that diverged: a bar on a terminal, plain lines elsewhere.

    watched: the tensors "loss", "accuracy" and "learning_rate". evaluators: by the name of the images, "validation"
    first; each is a function of a session that gives an evaluation.Evaluation, called every recipe.save_steps and at
    the end.
    """

    def __init__(self, watched, evaluators, recipe, data_title, last_step, writer):
        self._fetches = watched
        self._evaluators, self._data_title, self._last_step = evaluators, data_title, last_step
        self._batch_size, self._every = recipe.batch_size, recipe.save_steps
        self._writer = writer
        self.validation_accuracy = None

    def after_create_session(self, session, coord):
        super().after_create_session(session, coord)
        self._correct = 0.0  # sum of the batches' accuracies since the last report
        self._reported = self.step
        self._started = self._reported_at = time.perf_counter()
        self._bar = tqdm(
            total=self._last_step, initial=self.step, bar_format="{n}/{total} {bar} {remaining} left{postfix}",
            dynamic_ncols=True, disable=None,  # None: no bar where standard error is not a terminal
        )

    def before_run(self, run_context):
        return tf.train.SessionRunArgs(self._fetches)

    def after_step(self, run_context, results):
        if not np.isfinite(results["loss"]):
            self._bar.close()
            raise NotFinite(self.step, f"the loss is {results['loss']}")
        self._results = results
        self._correct += results["accuracy"]
        if not self._bar.disable:
            self._show_in_bar()
        self._bar.update()
        if self.step % self._every == 0:
            self._report(run_context.session)

    def end(self, session):
        if self.step != self._reported:
            self._report(session)
        self._writer.flush()
        self._bar.close()

    def _report(self, session):
        accuracies = {name: evaluate(session).accuracy for name, evaluate in self._evaluators.items()}
        self.validation_accuracy = accuracies["validation"]
        now = time.perf_counter()
        steps = self.step - self._reported
        speed = steps * self._batch_size / (now - self._reported_at)  # images/s, with the pauses to save and validate
        for tag, value in {
            "accuracy/training": self._correct / steps,
            **{f"accuracy/{name}": accuracy for name, accuracy in accuracies.items()},
            "images_per_second": speed,
        }.items():
            self._writer.add_summary(tf.Summary(value=[tf.Summary.Value(tag=tag, simple_value=value)]), self.step)
        self._correct, self._reported, self._reported_at = 0.0, self.step, now
        self.seconds = now - self._started
        if self._bar.disable:
            shown = "  ".join(f"{name.replace('_', ' ')} accuracy {a:.4f}" for name, a in accuracies.items())
            left = (self._last_step - self.step) * self._batch_size / speed
            print(
                f"step {self.step}/{self._last_step}  loss {self._results['loss']:.4f}  "
                f"learning rate {self._results['learning_rate']:.5f}  "
                f"{shown} ({self._data_title})  {speed:,.0f} images/s  "
                f"{left // 60:.0f}:{left % 60:02.0f} left",
                flush=True,
            )

    def _show_in_bar(self):
        rate = (self._bar.format_dict["rate"] or 0) * self._batch_size
        loss, learning_rate = self._results["loss"], self._results["learning_rate"]
        shown = [f" {rate:,.0f} images/s", f"loss {loss:.3f}", f"lr {learning_rate:.4f}"]
        if self.validation_accuracy is not None:
            shown.append(f"val {self.validation_accuracy:.4f}")
        self._bar.set_postfix_str("  ".join(shown), refresh=False)
