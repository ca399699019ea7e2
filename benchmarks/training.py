"""Measures what the README says of training: accuracy, time to accuracy, start-up and memory.

    python benchmarks/training.py mnist                          # the default network, three seeds
    python benchmarks/training.py cifar10 --networks airbench --seeds 1

Each run is TASK/backward.py in a temporary folder, with its own recipe but other checkpoints, each with a validation:
that costs time, which is counted. The checkpoints are linked away as they come and tested afterwards, so that testing
takes no time from training. Training seconds count from the end of the first step to the last checkpoint.

Prints a line per run, and a table with the mean and the spread.
"""

import argparse
import importlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

from benchmarks import trainer
from common import checkpoints, command_line, datasets, runs, testing

TARGET = {"mnist": 0.992, "cifar10": 0.826}  # of the time to accuracy
SAVE_STEPS = {"convnet": 50}  # others by their recipe


def train(task, network, seed, data_dir, folder):
    """One run in `folder`: its start as time.time(), its peak memory in GiB, and its checkpoints, all kept."""
    settings = [f"save_steps={SAVE_STEPS[network]}"] if network in SAVE_STEPS else []
    command = trainer.command(task, network, data_dir, folder, settings, seed)
    kept = folder / "kept"
    kept.mkdir()
    started = time.time()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ended = 0
    while not ended:
        time.sleep(0.2)
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        for index in (folder / "checkpoints" / task / network).glob("*.index"):
            if not (kept / index.name).exists():
                data = index.with_suffix(".data-00000-of-00001")
                os.link(data, kept / data.name)
                os.link(index, kept / index.name)
    if status:
        sys.exit(f"error: {' '.join(map(str, command))} failed")
    return started, usage.ru_maxrss / 2**20


def measure(task, network, seed, data, data_dir, import_seconds):
    """One run, all that is measured of it: {what: number}."""
    forward = importlib.import_module(f"{task}.forward").forward
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        started, memory = train(task, network, seed, data_dir, folder)
        begun = trainer.first_step(folder / "logs" / task / network / "train")
        paths = sorted((p.with_suffix("") for p in (folder / "kept").glob("*.index")), key=checkpoints.step)
        seconds = {checkpoints.step(p): Path(f"{p}.index").stat().st_mtime - begun for p in paths}
        record = runs.read(folder / "checkpoints" / task / network)
        accuracies = {step: r.accuracy for step, r in testing.test(forward, record, data.test, paths, trainer.CPU)}
        last = max(accuracies)
        target = TARGET[task]
        result = {
            "test accuracy (EMA) %": 100 * accuracies[last],
            "training s": seconds[last],
            f"s to {target:.1%}": next((seconds[s] for s, a in accuracies.items() if a >= target), None),
            "start to first step, above import s": begun - started - import_seconds,
            "peak memory GiB": memory,
        }
        if task == "cifar10":
            [(_, mirrored)] = testing.test(forward, record, data.test, paths[-1:], trainer.CPU, tta=True)
            result["test accuracy (EMA, TTA) %"] = 100 * mirrored.accuracy
    shown = ", ".join(f"{name} {'never' if value is None else f'{value:.2f}'}" for name, value in result.items())
    print(f"{network} seed {seed}: {last} steps, {shown}", flush=True)
    for step in accuracies:
        print(f"  step {step}  {seconds[step]:.0f} s  {accuracies[step]:.4f}")
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=list(datasets.FAMILIES))
    parser.add_argument("--networks", nargs="+", help="default: the task's default network")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each network (default: 3)")
    command_line.add_data_dir(parser)
    args = parser.parse_args()
    data = datasets.FAMILIES[args.task][args.task](args.data_dir)
    networks = args.networks or list(importlib.import_module(f"{args.task}.forward").NETWORKS)[:1]
    import_seconds = import_time()
    print(f"{trainer.machine()}; {data.title}")
    print(f"import tensorflow: {import_seconds:.2f} s", flush=True)
    results = {
        network: [
            measure(args.task, network, seed, data, args.data_dir, import_seconds)
            for seed in range(1, args.seeds + 1)
        ]
        for network in networks
    }
    print("\nmean (lowest to highest) of", args.seeds, "runs")
    for network, rows in results.items():
        print(network)
        for name in rows[0]:
            values = [row[name] for row in rows]
            if None in values:
                print(f"  {name:38} not reached in {values.count(None)} of {len(values)}")
            else:
                print(f"  {name:38} {statistics.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})")


if __name__ == "__main__":
    main()
