"""What the trainer does beside its bare step, and what each part of that costs.

    python benchmarks/speed/trainer.py                                  # convnet, airbench_slim, fully_connected
    python benchmarks/speed/trainer.py --networks lenet5 --rounds 9
    python benchmarks/speed/trainer.py --precision bfloat16             # for CPUs that have instructions for it

The bare step is that of peers.py. The trainer is TASK/backward.py as it is, and without one part at a time. Each has a
process of its own, and they take turns, A B C A B C …. What comes seldom (validation, saving, pictures) is timed by
itself, and shared out over the steps from one time to the next. Figures are medians over the rounds.
"""

import argparse
import contextlib
import dataclasses
import importlib
import os
import statistics
import sys
import tempfile
import time
import traceback
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from benchmarks import add_precision
from benchmarks.speed import peers
from benchmarks.speed.peer_steps.problem import NETWORKS

TURNS = {"fully_connected": 300, "convnet": 50, "airbench_slim": 50, "lenet5": 50, "airbench": 50}  # steps
WHOLE, BARE = "the trainer", "the bare step"
ENTRIES = {  # of the recipe, that make a part
    "augmentation": [
        "degrees", "scale", "shear", "shift", "padding", "mirror", "cutout", "color", "brightness", "contrast"
    ],
    "penalties": ["regularizer"],
}
PARTS = (*ENTRIES, "moving averages", "averages of the loss", "scalars", "hooks", "several steps a call")


def without(part):
    """Patches by which the trainer does without a part."""
    from common.training import hooks, several, trainer

    import tensorflow.compat.v1 as tf

    class OfTensors(tf.train.ExponentialMovingAverage):
        """Not of variables."""

        def apply(self, values):
            return super().apply([value for value in values if isinstance(value, tf.Tensor)])

        def average(self, value):
            return super().average(value) if isinstance(value, tf.Tensor) else value

    session, summarize = tf.train.SingularMonitoredSession, trainer.summarize
    not_averaged = lambda *args: summarize(*args) and tf.no_op()  # noqa: E731
    return {
        "moving averages": [mock.patch.object(tf.train, "ExponentialMovingAverage", OfTensors)],
        "averages of the loss": [mock.patch.object(trainer, "summarize", not_averaged)],
        "scalars": [mock.patch.object(hooks.Summaries, "is_due", lambda hook, step: False)],
        "hooks": [mock.patch.object(session, "run", lambda session, step: session.raw_session().run(step))],
        "several steps a call": [mock.patch.object(several, "SHORT", 0.0)],
    }.get(part, [])


class Trainer(peers.Worker):
    """A process that trains with TASK/backward.py, so many steps a turn."""

    @staticmethod
    def _work(pipe, module, prepare, part, problem, data_dir):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        with contextlib.suppress(EOFError):  # the comparison has ended
            try:
                train(pipe, part, problem, data_dir)
            except Exception:
                pipe.send(f"{traceback.format_exc()}error: see above")


def train(pipe, part, problem, data_dir):
    """Takes the steps that it is asked for by the pipe, and answers how many they were, the seconds of one, and {what:
    seconds} of what comes seldom, once each. part: the one to do without, or WHOLE.
    """
    from common.data import datasets
    from common.training import hooks, report, trainer

    import tensorflow.compat.v1 as tf

    module = importlib.import_module(f"{problem.task}.backward")
    data = datasets.load(datasets.FAMILIES[problem.task], problem.task, data_dir)
    turn, apart, began, taken, reports = TURNS[problem.name], {}, 0.0, 0, []

    def should_stop(session):
        nonlocal began, taken
        step = reports[0].step if part != "hooks" else taken
        if step % turn == 0:
            pipe.send(((time.perf_counter() - began - sum(apart.values())) / turn, dict(apart)))
            pipe.recv()
            time.sleep(0.3)  # the threads of the one before wait in a loop for so long
            apart.clear()
            began = time.perf_counter()
        taken += 1
        return False

    def timed(owner, attribute, what):
        function = getattr(owner, attribute)

        def call(*args):
            since = time.perf_counter()
            function(*args)
            apart[what] = apart.get(what, 0) + time.perf_counter() - since

        return mock.patch.object(owner, attribute, call)

    class Report(report.Report):
        def begin(self):
            reports.append(self)

    recipe = module.NETWORKS[problem.name].RECIPE
    entries = {entry: 0 for entry in ENTRIES.get(part, ()) if hasattr(recipe, entry)}
    recipe = dataclasses.replace(recipe, save_steps=turn, **entries)
    with contextlib.ExitStack() as patches, tempfile.TemporaryDirectory() as folder:
        for patch in (
            *without(part), timed(report.Report, "_report", "validation"), timed(hooks.Save, "_save", "saving"),
            timed(hooks.Summaries, "after_step", "pictures"), mock.patch.object(hooks, "PICTURE_STEPS", turn),
            mock.patch.object(module, "Report", Report),
            mock.patch.object(tf.train.SingularMonitoredSession, "should_stop", should_stop),
        ):  # fmt: skip
            patches.enter_context(patch)
        how = *input_of(module, data), 10**6
        run = trainer.describe(problem.name, recipe, data, *how, precision=problem.precision)
        module.backward(run, data, Path(folder), Path(folder) / "logs", ["/device:CPU:0"])


def input_of(module, data):
    """Mean and deviation of the pixels, as TASK/backward.py takes them."""
    if hasattr(module, "mean_and_std"):
        return module.mean_and_std(data.train.images)
    return module.IMAGE_MEAN, module.IMAGE_STD


def main():
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = list(TURNS)
    parser.add_argument(
        "--networks", nargs="+", choices=names, default=names[:3], metavar="NAME", help=", ".join(names)
    )
    add_precision(parser)
    parser.add_argument("--without", nargs="*", choices=PARTS, default=PARTS, metavar="PART", help="; ".join(PARTS))
    parser.add_argument("--rounds", type=command_line.positive(int), default=5, metavar="N", help="(%(default)s)")
    command_line.add_data_dir(parser)
    args = parser.parse_args()
    threads = os.cpu_count()
    print(f"{peers.in_process('machine', threads)[0]}; {args.precision}, {args.rounds} rounds", flush=True)
    for task, name in NETWORKS:
        if name not in args.networks:
            continue
        problem = peers.in_process("problem_of", task, name, args.data_dir)[0]._replace(precision=args.precision)
        workers = {part: Trainer("", part, problem, args.data_dir) for part in (WHOLE, *args.without)}
        workers[BARE] = peers.Worker(*peers.MODES[peers.OURS], problem, threads)
        show(problem, take_turns(workers, problem, args.rounds))


def take_turns(workers, problem, rounds):
    """{name: [(seconds of a step, {what comes seldom: seconds})]}."""
    turns = {name: [] for name in workers}
    for i in range(rounds + 1):
        for name, worker in workers.items():
            answer, seconds = worker(TURNS[problem.name])
            turn = (seconds / TURNS[problem.name], {}) if name == BARE else (answer, seconds)
            if i:  # the first compiles
                turns[name].append(turn)
    for worker in workers.values():
        worker.close()
    return turns


def show(problem, turns):
    """Prints a table: milliseconds of a step, and what the parts are of it."""
    every = importlib.import_module(f"{problem.task}.forward").NETWORKS[problem.name].RECIPE.save_steps
    steps = {name: [seconds for seconds, _ in values] for name, values in turns.items()}
    bare, whole = (statistics.median(steps[name]) for name in (BARE, WHOLE))
    print(f"\n{problem.name}: {BARE} {1000 * bare:.2f} ms, {WHOLE}'s steps {1000 * whole:.2f} ms")
    for part in steps:
        if part not in (BARE, WHOLE):
            saved = [1 - a / b for a, b in zip(steps[part], steps[WHOLE], strict=True)]
            print(f"  {part:24} {statistics.median(saved):6.1%} of that ({min(saved):.1%} to {max(saved):.1%})")
    for what, between in (("validation", every), ("saving", every), ("pictures", 500)):
        seconds = statistics.median(apart[what] for _, apart in turns[WHOLE])
        whole += seconds / between
        print(f"  {what:24} {seconds:6.3f} s every {between} steps: {1000 * seconds / between:.2f} ms a step")
    ratios = [a / b for a, b in zip(steps[BARE], steps[WHOLE], strict=True)]
    print(f"  steps {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}) of the bare step's speed")
    print(f"  with what comes seldom {bare / whole:.3f}", flush=True)


if __name__ == "__main__":
    with mock.patch.dict(os.environ):  # as in peers.py
        from common import command_line

    command_line.run(main)
