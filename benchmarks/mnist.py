"""Measures what the README says of MNIST: accuracy, time to accuracy, start-up and memory of training runs.

    python benchmarks/mnist.py                                   # the networks by their recipes, three seeds each
    python benchmarks/mnist.py --networks convnet --seeds 1

Each run is mnist/backward.py in a temporary folder, with its own recipe but more checkpoints, each with a validation:
that costs time, which is counted. The checkpoints are linked away as they come and tested afterwards, so that testing
takes no time from training. Training seconds count from the end of the first step to the last checkpoint.

Prints a line per run, and a table with the mean and the spread.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

from common import checkpoints, datasets, device, runs
from mnist import test
from mnist.forward import NETWORKS

TARGET = 0.992  # of the time to accuracy
SAVE_STEPS = {"convnet": 50, "lenet5": 250, "fully_connected": 500}


def train(network, seed, data_dir, folder):
    """One run in `folder`: its start as time.time(), its peak memory in GiB, and its checkpoints, all kept."""
    command = [sys.executable, ROOT / "mnist/backward.py", "--network", network, "--dataset", "mnist"]
    command += ["--seed", str(seed), "--data-dir", data_dir, "--set", f"save_steps={SAVE_STEPS[network]}"]
    command += ["--checkpoint-dir", folder / "checkpoints", "--log-dir", folder / "logs", "--device", "cpu"]
    kept = folder / "kept"
    kept.mkdir()
    started = time.time()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ended = 0
    while not ended:
        time.sleep(0.2)
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        for index in (folder / "checkpoints/mnist" / network).glob("*.index"):
            if not (kept / index.name).exists():
                data = index.with_suffix(".data-00000-of-00001")
                os.link(data, kept / data.name)
                os.link(index, kept / index.name)
    if status:
        sys.exit(f"error: {' '.join(map(str, command))} failed")
    return started, usage.ru_maxrss / 2**20


def first_step(log_dir):
    """When the first step had ended, by the log, as time.time()."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(log_dir)).Reload().Scalars("loss/total")[0].wall_time


def measure(network, seed, data, data_dir, import_seconds):
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        started, memory = train(network, seed, data_dir, folder)
        begun = first_step(folder / "logs/mnist" / network / "train")
        paths = sorted((p.with_suffix("") for p in (folder / "kept").glob("*.index")), key=checkpoints.step)
        run = runs.read(folder / "checkpoints/mnist" / network)
        accuracies = {}
        for step, result in test.test(run, data.test, paths, device.resolve("cpu")):
            accuracies[step] = result.accuracy
        seconds = {checkpoints.step(p): Path(f"{p}.index").stat().st_mtime - begun for p in paths}
    reached = next((seconds[step] for step, accuracy in accuracies.items() if accuracy >= TARGET), None)
    last = max(accuracies)
    result = {
        "test accuracy (EMA)": 100 * accuracies[last],
        "training s": seconds[last],
        f"s to {TARGET:.1%}": reached,
        "start to first step, above import s": begun - started - import_seconds,
        "peak memory GiB": memory,
    }
    shown = ", ".join(f"{name} {'never' if value is None else f'{value:.2f}'}" for name, value in result.items())
    print(f"{network} seed {seed}: {last} steps, {shown}", flush=True)
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
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--seeds", type=int, default=3, help="runs of each network (default: 3)")
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("DATA_DIR", ROOT / "data")))
    args = parser.parse_args()
    data = datasets.load("mnist", args.data_dir)
    import_seconds = import_time()
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"import tensorflow: {import_seconds:.2f} s", flush=True)
    results = {
        network: [measure(network, seed, data, args.data_dir, import_seconds) for seed in range(1, args.seeds + 1)]
        for network in args.networks
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
