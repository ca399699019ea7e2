"""Trains the networks of the notes by their own recipes, and writes docs/results.md and docs/results.png.

    python benchmarks/accuracy/reproduce.py                                # all, up to 22 minutes each
    python benchmarks/accuracy/reproduce.py --only tutorial --limit 3600   # one of them, for an hour at most

A run that does not end within the limit is stopped, and what it had reached by then is written down.
docs/results.json keeps what was measured, so that single networks can be measured again.
"""

import argparse
import importlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from benchmarks import operations, runner
from benchmarks.accuracy import results_page
from common import command_line
from common.data import datasets
from common.training import checkpoints, runs, testing

import tensorflow.compat.v1 as tf


class Row(NamedTuple):
    """A line of the table. headline: of the notes, and on which images. settings: for --set, called `recipe`."""

    task: str
    network: str
    headline: str = ""
    recipe: str = ""
    settings: tuple = ()

    @property
    def name(self):
        return f"{self.network}, {self.recipe}" if self.recipe else self.network


TODAY = ("optimizer=nesterov", "moving_average_decay=0.998", "warmup_steps=50")  # and a rate that falls fast
ROWS = (
    Row("mnist", "softmax", "91 % test"),
    Row("mnist", "fully_connected", "about 98 % test"),
    Row(
        "mnist", "fully_connected", "", "recipe of today",
        (*TODAY, "epochs=30", "learning_rate=0.2", "learning_rate_decay=0.87", "regularizer=2e-5", "batch_size=256",
         "degrees=6", "scale=0.06", "shear=0.1", "shift=1"),
    ),
    Row("mnist", "mechanics"),
    Row("mnist", "deep", "99.2 % test"),
    Row("mnist", "lenet5"),
    Row(
        "mnist", "lenet5", "", "recipe of today",
        (*TODAY, "epochs=8", "learning_rate=0.05", "learning_rate_decay=0.6", "batch_size=128",
         "degrees=10", "scale=0.1", "shear=0.15", "shift=2"),
    ),
    Row("mnist", "convnet"),
    Row("cifar10", "two_layer_fc", "43 to 45 % validation"),
    Row("cifar10", "three_layer_convnet", "47.5 % validation", "SGD", ("optimizer=sgd",)),
    Row("cifar10", "three_layer_convnet", "57 % validation"),
    Row("cifar10", "simple", "37 % validation"),
    Row("cifar10", "complex", "53.8 % validation"),
    Row("cifar10", "global_average", "70.8 % validation, 69.6 % test"),
    Row("cifar10", "bn_convnet", "82.6 % validation"),
    Row("cifar10", "tutorial", "86 % test"),
    Row("cifar10", "airbench_slim"),
)


def size(task, network):
    """(parameters, multiply-adds of one image): those of the convolutions and matrix products."""
    forward = importlib.import_module(f"{task}.forward")
    with tf.Graph().as_default():
        side = forward.IMAGE_SIZE
        logits = forward.forward(tf.zeros([1, side, side, forward.NUM_CHANNELS]), False, None, network, classes=10)
        return sum(v.shape.num_elements() for v in tf.trainable_variables()), operations.multiply_adds(logits.op)


def train(row, limit, data_dir, folder):
    """Runs the trainer in `folder`, for at most `limit` seconds."""
    command = runner.command(row.task, row.network, data_dir, folder, row.settings)
    runner.run(command, limit)
    if not any(folder.rglob("model.ckpt-*.index")):
        sys.exit(f"error: {row.name} saved nothing within {limit:g} s")


def measure(row, limit, data, data_dir):
    """One run, all that is measured of it."""
    forward = importlib.import_module(f"{row.task}.forward").forward
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        train(row, limit, data_dir, folder)
        directory = runs.folder(folder / "checkpoints", row.task, row.network, row.task)
        run, path = runs.read(directory), checkpoints.latest(directory)
        accuracies = {}
        for split in ("validation", "test"):
            for raw in (False, True):
                [(step, result)] = testing.test(forward, run, getattr(data, split), [path], runner.CPU, raw=raw)
                accuracies[f"{split}{'_raw' if raw else ''}"] = result.accuracy
        log_dir = runs.folder(folder / "logs", row.task, row.network, row.task) / "train"
        start = runner.first_step(log_dir)
        curve = [(time - start, accuracy) for _, accuracy, time in runner.scalars(log_dir, "accuracy/validation")]
    parameters, products = size(row.task, row.network)
    seconds = curve[-1][0]
    commit, date = runner.commit_and_date()
    return {
        "commit": commit,
        "date": date,
        "machine": runner.machine(),
        "parameters": parameters,
        "multiply_adds": products,
        "data": data.title,
        "step": int(step),
        "steps": run.steps,
        "batch_size": run.recipe.batch_size,
        "seconds": seconds,
        "images_per_second": step * run.recipe.batch_size / seconds,
        "accuracies": accuracies,
        "curve": [(round(at, 2), round(accuracy, 4)) for at, accuracy in curve],
    }


def main():
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = dict.fromkeys(name for row in ROWS for name in (row.network, row.name))
    parser.add_argument("--only", nargs="+", choices=list(names), metavar="NAME")
    seconds = command_line.positive(float)
    parser.add_argument("--limit", type=seconds, default=1320.0, help="seconds of each run (default: %(default)s)")
    command_line.add_data_dir(parser)
    args = parser.parse_args()
    kept = ROOT / "docs" / "results.json"
    results = json.loads(kept.read_text()) if kept.exists() else {}
    data = {}
    for row in ROWS:
        if args.only is None or {row.network, row.name} & set(args.only):
            data[row.task] = data.get(row.task) or datasets.FAMILIES[row.task][row.task](args.data_dir)
            started = time.perf_counter()
            results[row.name] = measure(row, args.limit, data[row.task], args.data_dir)
            accuracies = ", ".join(f"{k} {v:.4f}" for k, v in results[row.name]["accuracies"].items())
            print(f"{row.name}: {accuracies}, {time.perf_counter() - started:.0f} s", flush=True)
            lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(result)}" for name, result in results.items())
            kept.write_text(f"{{\n{lines}\n}}\n")
            results_page.write(ROWS, results)


if __name__ == "__main__":
    command_line.run(main)
