"""The files that TensorBoard reads, written at once, so that what fails is told where it fails."""

import os
import re
import socket
import time

from common.errors import writing

import tensorflow.compat.v1 as tf


class EventFile:
    """Writes for TensorBoard as tf.summary.FileWriter does, to a new file, which is made for the first event.

    TensorBoard reads files in the order of their names. So the name comes after those that are there, even if the clock
    was set back. Methods raise UserError where writing fails, as on a full disk.
    """

    def __init__(self, folder):
        """folder: pathlib.Path; made if it is not there."""
        self._folder, self._file = folder, None

    def _open(self):
        self._folder.mkdir(parents=True, exist_ok=True)
        stamps = [re.match(r"events\.out\.tfevents\.(\d{10})\.", path.name) for path in self._folder.iterdir()]
        seconds = max([int(time.time()), *(int(stamp[1]) + 1 for stamp in stamps if stamp)])
        self._path = self._folder / f"events.out.tfevents.{seconds}.{socket.gethostname()}.{os.getpid()}"
        self._file = tf.python_io.TFRecordWriter(str(self._path))
        self._add(file_version="brain.Event:2")

    def add_summary(self, summary, step):
        """summary: a tf.Summary, or its bytes."""
        self._add(summary=summary if isinstance(summary, tf.Summary) else tf.Summary.FromString(summary), step=step)

    def add_graph(self, graph):
        self._add(graph_def=graph.as_graph_def(add_shapes=True).SerializeToString())

    def add_run_metadata(self, tag, metadata, step):
        """metadata: the tf.RunMetadata of a step, which TensorBoard's graph shows under the tag."""
        self._add(tagged_run_metadata={"tag": tag, "run_metadata": metadata.SerializeToString()}, step=step)

    def drop_from(self, step):
        """TensorBoard shows no longer what earlier files have of this step and later ones."""
        self._add(session_log=tf.SessionLog(status=tf.SessionLog.START), step=step)

    def _add(self, **what):
        with writing(self._folder, (tf.errors.OpError, OSError)):
            if not self._file:
                self._open()
            self._file.write(tf.Event(wall_time=time.time(), **what).SerializeToString())

    def flush(self):
        """Hands what was added to the system: it stays even if this process is killed."""
        with writing(self._folder, (tf.errors.OpError, OSError)):
            self._file.flush()
            self._path.stat()  # fails if it was deleted meanwhile
