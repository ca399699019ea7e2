"""Measures what stands between the command of a trainer and the end of its first step.

    python benchmarks/speed/startup.py mnist
    python benchmarks/speed/startup.py cifar10 --rounds 9

Each round is a new process, on the CPU, that trains the task's default network and stops after the first step. Prints
the median of each part, and the spread.
"""

import argparse
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)


class Done(Exception):
    """The first step has ended. Its argument: {part: seconds}."""


class Parts:
    """Seconds by name; what a part calls that is a part itself counts there alone."""

    def __init__(self, begun):
        self.seconds, self._names, self._since = {}, ["the rest"], begun

    def switch(self, *names):
        """What runs from now on belongs to the last name."""
        now = time.time()
        name = self._names[-1]
        self.seconds[name] = self.seconds.get(name, 0) + now - self._since
        self._names, self._since = [*names], now

    def of(self, owner, attribute, name):
        """A patch under which a function is a part."""
        function = getattr(owner, attribute)

        def timed(*args, **kwargs):
            before = self._names
            self.switch(*before, name)
            try:
                return function(*args, **kwargs)
            finally:
                self.switch(*before)

        return mock.patch.object(owner, attribute, timed)


def first_step(task, begun):
    """Runs the trainer up to its first step, in this process; {part: seconds} since `begun`, as of time.time()."""
    parts = Parts(begun)
    parts.switch("import of TensorFlow")  # up to here: Python itself
    parts.seconds = {"Python": parts.seconds.pop("the rest")}
    from common import command_line, graph_mode  # noqa: F401 (TensorFlow)

    parts.switch("other imports")
    backward = importlib.import_module(f"{task}.backward")
    from common.data import datasets
    from common.training import event_file, hooks, trainer

    import tensorflow.compat.v1 as tf

    parts.switch("the rest")
    run = tf.train.SingularMonitoredSession.run

    def run_once(session, *args, **kwargs):
        parts.switch("first step")
        run(session, *args, **kwargs)
        parts.switch("end")
        raise Done(parts.seconds.copy())  # without what is left to do, such as to close the session

    with tempfile.TemporaryDirectory() as folder, ExitStack() as patches:
        flags = ["--dataset", task, "--device", "cpu", "--checkpoint-dir", folder, "--log-dir", f"{folder}/logs"]
        patches.enter_context(mock.patch.object(sys, "argv", ["backward.py", *flags]))
        patches.enter_context(mock.patch.object(tf.train.SingularMonitoredSession, "run", run_once))
        for owner, attribute, name in (
            (datasets, "load_or_generate", "data"),
            (backward, "backward", "graph: the step"),
            (trainer, "evaluators", "graph: evaluations"),
            (trainer, "summarize", "graph: summaries"),
            (tf.train, "SingularMonitoredSession", "session and initial values"),
            (event_file.EventFile, "add_graph", "graph for TensorBoard"),
            (hooks.Summaries, "begin", "graph: summaries"),
            (hooks.Summaries, "after_step", "pictures for TensorBoard"),
        ):
            patches.enter_context(parts.of(owner, attribute, name))
        try:
            command_line.run(backward.main)
        except Done as done:
            return done.args[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["mnist", "cifar10"])
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="(%(default)s)")
    parser.add_argument("--begun", type=float, help=argparse.SUPPRESS)  # in the process that is measured
    args = parser.parse_args()
    if args.begun:
        print(json.dumps(first_step(args.task, args.begun)))
        return
    if args.rounds < 1:
        parser.error("--rounds must be at least 1")
    rounds = []
    for _ in range(args.rounds):
        command = [sys.executable, __file__, args.task, "--begun", str(time.time())]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr.strip())
        rounds.append(json.loads(done.stdout.splitlines()[-1]))
    for name in rounds[0]:
        values = [seconds[name] for seconds in rounds]
        print(f"{name:28} {statistics.median(values):6.2f} s ({min(values):.2f} to {max(values):.2f})")
    totals = [sum(seconds.values()) for seconds in rounds]
    print(f"{'all':28} {statistics.median(totals):6.2f} s ({min(totals):.2f} to {max(totals):.2f})")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
