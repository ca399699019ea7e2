"""Measures the seconds of training to a test accuracy: this kit's recipes, and the notes' of the same aim.

    python benchmarks/accuracy/time_to_accuracy.py mnist                          # 99.2 % and 99.5 %, three seeds
    python benchmarks/accuracy/time_to_accuracy.py cifar10                        # 82.6 % and 87 %, takes a day
    python benchmarks/accuracy/time_to_accuracy.py cifar10 --networks bn_convnet --seeds 1 --limit 3000
    python benchmarks/accuracy/time_to_accuracy.py mnist --networks convnet --precision bfloat16
    python benchmarks/accuracy/time_to_accuracy.py mnist --networks convnet --set epochs=2 schedule=cosine

Each run is TASK/backward.py in a temporary folder, with its own recipe, but a checkpoint and with it a validation more
often: that costs time, which is counted. With --set, they are as rare as in the recipe, unless save_steps is set, too.
The checkpoints are linked away as they come and tested afterwards, so that testing takes no time from training. Seconds
count from the end of the first step. The networks take turns, a seed each, ours first; those of the notes are stopped
after 10 times what ours took at most, so far, to the higher accuracy. With --limit, each run is stopped after so long.
The last checkpoint is also tested with --tta.
"""

import argparse
import importlib
import math
import os
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from benchmarks import add_precision, runner
from common import command_line
from common.data import datasets
from common.training import checkpoints, runs, testing

TARGETS = {"mnist": (0.992, 0.995), "cifar10": (0.826, 0.87)}
NETWORKS = {  # ours; the notes' of which they say as much as the lower target, or the most
    "mnist": ("convnet", "convnet_slim", "deep"),
    "cifar10": ("airbench_slim", "bn_convnet", "tutorial"),
}
SAVE_STEPS = {"convnet": 50, "deep": 300, "bn_convnet": 500}  # others by their recipe
TIMES = 10


def train(network, seed, args, folder, limit):
    """A run in `folder`, stopped after `limit` seconds; all its checkpoints are in folder/kept.

    args: of the command line.
    """
    settings = args.set or ([f"save_steps={SAVE_STEPS[network]}"] if network in SAVE_STEPS else [])
    command = runner.command(args.task, network, args.data_dir, folder, settings, seed, args.precision)
    kept = folder / "kept"
    kept.mkdir()

    def keep():
        for index in (folder / "checkpoints" / args.task / network).glob("*.index"):
            if not (kept / index.name).exists():
                data = index.with_suffix(".data-00000-of-00001")
                os.link(data, kept / data.name)
                os.link(index, kept / index.name)

    runner.run(command, limit, keep)


def curve(network, seed, data, args, limit):
    """[(seconds of training, test accuracy)] of a run's checkpoints; that of the last with --tta, or None."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, task = Path(temporary), args.task
        train(network, seed, args, folder, limit)
        begun = runner.first_step(folder / "logs" / task / network / "train")
        paths = sorted((p.with_suffix("") for p in (folder / "kept").glob("*.index")), key=checkpoints.step)
        seconds = [Path(f"{p}.index").stat().st_mtime - begun for p in paths]
        run = runs.read(folder / "checkpoints" / task / network)
        forward = importlib.import_module(f"{task}.forward").forward
        results = testing.test(forward, run, data.test, paths, runner.CPU)
        points = list(zip(seconds, (result.accuracy for _, result in results), strict=True))
        if not points:
            return points, None
        [(_, last)] = testing.test(forward, run, data.test, paths[-1:], runner.CPU, tta=True)
        return points, last.accuracy


def main():
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=list(TARGETS))
    parser.add_argument("--networks", nargs="+", metavar="NAME", help="default: all of the task")
    count, seconds = command_line.positive(int), command_line.positive(float)
    parser.add_argument("--seeds", type=count, default=3, metavar="N", help="runs of each (%(default)s)")
    parser.add_argument("--limit", type=seconds, metavar="SECONDS", help="stop each run after so long")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="changes of the recipe")
    add_precision(parser)
    command_line.add_data_dir(parser)
    args = parser.parse_args()
    known, targets = NETWORKS[args.task], TARGETS[args.task]
    networks = args.networks or known
    if unknown := set(networks) - set(known):
        parser.error(f"--networks: {', '.join(unknown)} is none of {', '.join(known)}")
    data = datasets.FAMILIES[args.task][args.task](args.data_dir)
    print(", ".join([f"{runner.machine()}; {data.title}", args.precision, *args.set]))
    reached = {network: {target: [] for target in targets} for network in networks}
    slowest = 0.0  # of ours, to the higher target or to its end
    for seed in range(1, args.seeds + 1):
        for network in sorted(networks, key=known.index):
            limit = args.limit or (TIMES * slowest if slowest and network != known[0] else math.inf)
            points, with_tta = curve(network, seed, data, args, limit)
            print(f"{network}, seed {seed}")
            for at, accuracy in points:
                print(f"  {at:5.0f} s  {accuracy:.2%}", flush=True)
            if with_tta is not None:
                print(f"  with --tta  {with_tta:.2%}", flush=True)
            for target in targets:
                reached[network][target].append(next((at for at, accuracy in points if accuracy >= target), None))
            if network == known[0]:
                slowest = max(slowest, reached[network][targets[-1]][-1] or points[-1][0])
    print(f"\nseconds to a test accuracy: median (lowest to highest) of {args.seeds} runs")
    for network, by_target in reached.items():
        for target, seconds in by_target.items():
            there = sorted(s for s in seconds if s is not None)
            spread = f"{statistics.median(there):.0f} s ({there[0]:.0f} to {there[-1]:.0f})" if there else ""
            missed = f"not reached in {len(seconds) - len(there)} of {len(seconds)} runs" if None in seconds else ""
            print(f"  {network:15} {target:6.1%}  {'; '.join(filter(None, (spread, missed)))}")


if __name__ == "__main__":
    command_line.run(main)
