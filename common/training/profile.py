"""The hook that records a step: how long each operation takes, and how much memory it asks for."""

from common.command_line import shown
from common.errors import UserError, writing
from common.training.hooks import CountSteps

import tensorflow.compat.v1 as tf
from tensorflow.python.client.timeline import Timeline
from tqdm import tqdm


class Profile(CountSteps):
    """Records one step for TensorBoard's graph, as a trace for Chrome and Perfetto, and as a table.

    The step computes what it always computes. Raises UserError where writing fails.
    """

    def __init__(self, at, last_step, log, log_dir):
        """at: the step. last_step: of the run; raises UserError if it ends before. log: an EventFile, in log_dir."""
        if at > last_step:
            raise UserError(f"--profile {at}: the run ends at step {last_step}; give that step or an earlier one")
        self._at, self._log, self._path = at, log, log_dir / f"profile-{at}.json"

    def is_due(self, step):
        return step == self._at

    def before_run(self, run_context):
        traced = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
        return tf.train.SessionRunArgs(None, options=traced) if self.is_due(self.step + 1) else None

    def after_run(self, run_context, run_values):
        super().after_run(run_context, run_values)
        if self.is_due(self.step):
            self._write(run_context.session.graph, run_values.run_metadata)

    def _write(self, graph, metadata):
        table = self._path.with_suffix(".txt")
        self._log.add_run_metadata(f"step {self._at}", metadata, self._at)
        with writing(self._path, (tf.errors.OpError, OSError)):
            self._path.write_text(Timeline(metadata.step_stats).generate_chrome_trace_format(show_memory=True))
            options = tf.profiler.ProfileOptionBuilder(tf.profiler.ProfileOptionBuilder.time_and_memory())
            options = options.order_by("micros").with_file_output(str(table)).build()
            tf.profiler.profile(graph, run_meta=metadata, cmd="op", options=options)
        tqdm.write(f"profile     {shown(self._path)}, {shown(table)}")
