"""Measures what the README says of training: accuracy, time, start-up and memory.

    python benchmarks/accuracy/defaults.py mnist                          # the default network, three seeds
    python benchmarks/accuracy/defaults.py cifar10 --networks airbench --seeds 1
    python benchmarks/accuracy/defaults.py mnist --dataset fashion
    python benchmarks/accuracy/defaults.py mnist --precision bfloat16

Each run is TASK/backward.py in a temporary folder, with its own recipe; its last checkpoint is tested afterwards, with
and without --tta. Training seconds count from the end of the first step to that checkpoint, with all validations and
summaries between.

Prints a line per run, and a table with the mean and the spread.
"""

import argparse
import importlib
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from benchmarks import add_precision, runner
from common import command_line
from common.data import datasets
from common.training import checkpoints, runs, testing


def measure(task, network, seed, data, args, import_seconds):
    """One run, all that is measured of it: {what: number}. args: of the command line."""
    forward = importlib.import_module(f"{task}.forward").forward
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        started = time.time()
        flags = {"seed": seed, "precision": args.precision, "dataset": data.name}
        memory = runner.run(runner.command(task, network, args.data_dir, folder, **flags))
        begun = runner.first_step(runs.folder(folder / "logs", task, network, data.name) / "train")
        directory = runs.folder(folder / "checkpoints", task, network, data.name)
        run, path = runs.read(directory), checkpoints.latest(directory)
        result = {}
        for name, tta in ("EMA", False), ("EMA, TTA", True):
            [(_, tested)] = testing.test(forward, run, data.test, [path], runner.CPU, tta=tta)
            result[f"test accuracy ({name}) %"] = 100 * tested.accuracy
        result["training s"] = Path(f"{path}.index").stat().st_mtime - begun
        result["start to first step, above import s"] = begun - started - import_seconds
        result["peak memory GiB"] = memory
    shown = ", ".join(f"{name} {value:.2f}" for name, value in result.items())
    print(f"{network} seed {seed}: {run.steps} steps, {shown}", flush=True)
    return result


def import_time():
    """Seconds of `import tensorflow` in a new process, the median of five."""
    times = []
    for _ in range(5):
        before = time.time()
        subprocess.run([sys.executable, "-c", "import tensorflow"], check=True, stderr=subprocess.DEVNULL)
        times.append(time.time() - before)
    return statistics.median(times)


def main():
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=list(datasets.FAMILIES))
    parser.add_argument("--networks", nargs="+", metavar="NAME", help="default: the task's default network")
    positive = command_line.positive(int)
    parser.add_argument("--seeds", type=positive, default=3, metavar="N", help="runs of each network (%(default)s)")
    add_precision(parser)
    parser.add_argument("--dataset", metavar="NAME", help="default: the task's own")
    command_line.add_data_dir(parser)
    args = parser.parse_args()
    family, name = datasets.FAMILIES[args.task], args.dataset or args.task
    if name not in family:
        parser.error(f"--dataset: {name} is none of {', '.join(family)}")
    data = family[name](args.data_dir)
    networks = args.networks or list(importlib.import_module(f"{args.task}.forward").NETWORKS)[:1]
    import_seconds = import_time()
    print(f"{runner.machine()}; {data.title}; commit {', '.join(runner.commit_and_date())}")
    print(f"import tensorflow: {import_seconds:.2f} s", flush=True)
    results = {
        network: [
            measure(args.task, network, seed, data, args, import_seconds)
            for seed in range(1, args.seeds + 1)
        ]
        for network in networks
    }
    print("\nmean (lowest to highest) of", args.seeds, "runs")
    for network, rows in results.items():
        print(network)
        for name in rows[0]:
            values = [row[name] for row in rows]
            print(f"  {name:38} {statistics.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})")


if __name__ == "__main__":
    command_line.run(main)
