"""Hooks of the training loop: save, write summaries, stop cleanly.

A hook is called around each session.run(train_op); its `after_run` may ask the loop to stop.
"""

import os
import shutil
import signal
import sys
import threading

from common.command_line import print_nowhere, shown
from common.errors import UserError, reason
from common.training import runs

import tensorflow.compat.v1 as tf
from tqdm import tqdm

SUMMARY_STEPS = 50  # between scalars of the graph
PICTURE_STEPS = 500  # between histograms and pictures, which are large
PICTURES = "pictures"  # the collection of those


class CountSteps(tf.train.SessionRunHook):
    """Keeps the global step in self.step, without fetching it."""

    def is_due(self, step):
        """Whether it has more to do at a step than to count. The others may be taken several at a time."""
        return False

    def after_create_session(self, session, coord):
        self.step = session.run(tf.train.get_global_step())

    def after_run(self, run_context, run_values):
        self.step += 1
        self.after_step(run_context, run_values.results)

    def after_step(self, run_context, results):
        """Called after a step with what before_run asked for."""

    def after_loop(self, watched):
        """Called after steps at which nothing was due. watched: {name: array [steps]}."""
        self.step += len(watched["loss"])


class NotFinite(UserError):
    def __init__(self, step, what):
        super().__init__(
            f"training diverged at step {step}: {what}. Nothing that is not finite was saved. Start again in another "
            "--checkpoint-dir, with a smaller learning_rate or less of what else was set, by --set"
        )


class Save(CountSteps):
    """Saves a checkpoint every `every` steps and at the end, but never weights that are not finite.

    What is saved outlasts a loss of power. log: the EventFile of the run, to be complete up to each checkpoint: then
    TensorBoard's curves have no gap where a run goes on. Raises UserError where that fails, as on a full disk.
    """

    def __init__(self, saver, directory, every, log):
        self._saver, self._path, self._every, self._log = saver, directory / "model.ckpt", every, log

    def begin(self):
        with tf.name_scope("weights_are_finite"):
            self._finite = tf.reduce_all([tf.reduce_all(tf.is_finite(v)) for v in tf.trainable_variables()])

    def after_create_session(self, session, coord):
        super().after_create_session(session, coord)
        self._saved = self.step

    def is_due(self, step):
        return step % self._every == 0

    def after_step(self, run_context, results):
        if self.is_due(self.step):
            self._save(run_context.session)

    def end(self, session):
        if self.step != self._saved:
            self._save(session)

    def _save(self, session):
        if not session.run(self._finite):
            raise NotFinite(self.step, "a weight is not finite")
        self._log.flush()
        folder = self._path.parent
        try:
            self._saver.save(session, str(self._path), global_step=self.step, write_meta_graph=False)
            runs.to_disk(*folder.glob(f"{self._path.name}-{self.step}.*"), folder / "checkpoint", folder)
        except (tf.errors.OpError, OSError, ValueError) as error:  # ValueError: the folder is gone
            raise self._failed(error) from None
        self._saved = self.step

    def _failed(self, error):
        needed = sum(v.shape.num_elements() * v.dtype.size for v in tf.global_variables()) / 1e6
        folder = next(folder for folder in self._path.parents if folder.exists())  # it may have been deleted
        free = shutil.disk_usage(folder).free / 1e6
        saved = f"Step {self._saved} is saved; the same command goes on from it"
        return UserError(
            f"cannot save step {self.step} in {shown(self._path.parent)}: {reason(error)}. A checkpoint needs "
            f"{needed:.1f} MB, {free:.1f} MB are free. {saved if self._saved else 'Nothing is saved yet'}"
        )


class Summaries(CountSteps):
    """Writes the summaries of the graph for TensorBoard: scalars often, histograms and pictures now and then."""

    def __init__(self, log, batch):
        """log: an EventFile. batch: the tensors of step, images and labels: pictures are of it, not of the next one."""
        self._log, self._batch = log, batch
        self._scalars = tf.summary.merge_all(name="summaries")
        self._pictures = tf.summary.merge_all(PICTURES, name="summaries")

    def after_create_session(self, session, coord):
        super().after_create_session(session, coord)
        if self.step == 0:
            self._log.add_graph(session.graph)
        self._log.drop_from(self.step + 1)  # what an interrupted run wrote after its last checkpoint

    def is_due(self, step):
        return step == 1 or step % SUMMARY_STEPS == 0 or self._pictures_are_due(step)

    @staticmethod
    def _pictures_are_due(step):
        return step == 1 or step % PICTURE_STEPS == 0

    def before_run(self, run_context):
        scalars = self._scalars if self.is_due(self.step + 1) else []
        batch = self._batch if self._pictures_are_due(self.step + 1) else []
        return tf.train.SessionRunArgs((scalars, batch))

    def after_step(self, run_context, results):
        scalars, batch = results
        if scalars:
            self._log.add_summary(scalars, self.step)
        if self._pictures_are_due(self.step):  # in a run of its own: a histogram of NaN fails it
            try:
                pictures = run_context.session.run(self._pictures, dict(zip(self._batch, batch, strict=True)))
                self._log.add_summary(pictures, self.step)
            except tf.errors.InvalidArgumentError:
                raise NotFinite(self.step, "a gradient or an activation is not finite") from None


class StopOnSignal(tf.train.SessionRunHook):
    """On SIGINT, SIGTERM or SIGHUP lets the step end and the other hooks save. The same signal again ends it at once.

    Workers agree: a signal to one of them is enough, and all end after the step that follows. A context manager too:
    the signals are caught within it.
    """

    received = None  # the signal's number; SIGTERM where it was another worker that received one

    def __init__(self, workers=None):
        """workers: a cluster.Cluster, or None for a process alone."""
        self._workers = workers

    def __enter__(self):
        numbers = [signal.SIGINT, signal.SIGTERM]
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup wants it
            numbers.append(signal.SIGHUP)
        self._terminals = [stream for stream in (sys.stdout, sys.stderr) if stream.isatty()]
        self._seen, self._wakeup = os.pipe()
        if os.name == "posix":  # as set_wakeup_fd() wants it there
            os.set_blocking(self._wakeup, False)
        self._wakeup_before = signal.set_wakeup_fd(self._wakeup)
        self._before = {number: signal.signal(number, self._on_signal) for number in numbers}
        threading.Thread(target=self._tell, daemon=True).start()
        return self

    def __exit__(self, *error):
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._wakeup)  # which ends the thread

    def _tell(self):
        """Says at once that a signal was seen: _on_signal is called only when the step has ended."""
        told = []
        while byte := os.read(self._seen, 1):
            name, again = signal.Signals(byte[0]).name, byte in told
            first = f"this step ends and is saved; {name} again stops at once"
            try:
                tqdm.write(f"{name}: {'stopped before this step was saved' if again else first}", sys.stderr)
            except OSError:  # the terminal is gone
                for terminal in self._terminals:
                    print_nowhere(terminal)
            if again:
                os._exit(128 + byte[0])
            told.append(byte)
        os.close(self._seen)

    def _on_signal(self, number, frame):
        self.received = self.received or number  # SIGINT and SIGTERM at once are a first signal each

    def before_run(self, run_context):
        if not self._workers or self._workers.size == 1:
            return None
        return tf.train.SessionRunArgs(self._workers.stopping, {self._workers.stop: float(bool(self.received))})

    def after_run(self, run_context, run_values):
        asked = self.received if run_values.results is None else run_values.results
        if asked:
            self.received = self.received or signal.SIGTERM
            run_context.request_stop()
