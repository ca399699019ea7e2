"""Watches memory, handles and threads of long runs, and draws them over time.

    python benchmarks/faults/long_runs.py         # writes docs/long-runs.png

100,000 training steps of softmax, 10,000 pictures through each app, 10,000 requests to the page. No use may grow in the
second half of a run by more than MOST; what TensorBoard reads may grow with the steps only. On Linux.
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from benchmarks import runner
from common import command_line
from common.data import datasets

import matplotlib
import numpy as np
import psutil
from PIL import Image

matplotlib.use("agg")
from matplotlib import pyplot as plt  # noqa: E402

MOST = {"memory, MiB": 20, "handles": 2, "threads": 2}  # from the half to the end, medians of a tenth of the run
OUTPUT = ROOT / "docs" / "long-runs.png"


def watched(words, drive=lambda process: process.wait()):
    """Runs a program to the end, or as long as drive(process) takes: {what: values}, [seconds]."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            list(map(str, words)), stdout=subprocess.PIPE, stderr=errors, text=True, env=runner.ENVIRONMENT
        )
        driver = threading.Thread(target=drive, args=(process,))
        driver.start()
        seen, seconds, begun = {name: [] for name in MOST}, [], time.time()
        inside = psutil.Process(process.pid)
        while driver.is_alive():
            try:
                use = inside.memory_info().rss / 2**20, inside.num_fds(), inside.num_threads()
            except psutil.NoSuchProcess:
                break
            for values, value in zip(seen.values(), use, strict=True):
                values.append(value)
            seconds.append(time.time() - begun)
            time.sleep(0.25)
        driver.join()
        process.kill()
        process.wait()
        errors.seek(0)
        if "Traceback" in (said := errors.read()):  # some of MNIST's digits are too faint or too wide for the app
            sys.exit(said)
    return seen, seconds


def read_all(process):
    for _ in process.stdout:
        pass
    process.wait()


def ask(pictures, times):
    """A function that sends pictures to the page in turn, four at a time, as often as told in all."""

    def drive(process):
        address = next(line.split()[0] for line in process.stdout if line.startswith("http"))

        def send(data):
            with urllib.request.urlopen(f"{address}/classify", data, timeout=60) as answer:
                answer.read()

        with ThreadPoolExecutor(4) as pool:
            for _ in pool.map(send, itertools.islice(itertools.cycle(pictures), times)):
                pass

    return drive


def save(folder, images, count, side):
    """Writes images as PNG files of side × side pixels."""
    folder.mkdir()
    for i in range(count):
        Image.fromarray(images[i % len(images)].squeeze()).resize((side, side)).save(folder / f"{i:05}.png")


def growth(values):
    """How much the last tenth is above the middle one, of what is left without the start."""
    tenth = max(1, len(values) // 10)
    return np.median(values[-tenth:]) - np.median(values[len(values) // 2 : len(values) // 2 + tenth])


def draw(found, path):
    figure, axes = plt.subplots(len(MOST), len(found), figsize=(13, 6), layout="constrained", squeeze=False)
    for column, (title, (seen, seconds)) in zip(axes.T, found.items(), strict=True):
        for axis, (name, values) in zip(column, seen.items(), strict=True):
            axis.plot(seconds, values, linewidth=1.2)
            axis.set_ylim(0, max(values) * 1.25)
            axis.grid(alpha=0.25)
            axis.spines[["top", "right"]].set_visible(False)
            if axis in axes[:, 0]:
                axis.set_ylabel(name)
        column[0].set_title(title, fontsize=10)
        column[-1].set_xlabel("seconds")
    figure.savefig(path, dpi=110)


def main():
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    count = command_line.positive(int)
    parser.add_argument("--steps", type=count, default=100_000, metavar="N", help="of training (%(default)s)")
    parser.add_argument("--pictures", type=count, default=10_000, metavar="N", help="and requests (%(default)s)")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="PNG", help="%(default)s")
    command_line.add_data_dir(parser)
    args = parser.parse_args()
    print(runner.machine(), flush=True)
    found = {}
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        words = runner.command("mnist", "softmax", args.data_dir, place)
        found[f"{args.steps:,} steps"] = watched([*words, "--steps", args.steps], read_all)
        logged = sum(file.stat().st_size for file in place.rglob("events*"))
        print(f"TensorBoard's files: {logged / 1e6:.1f} MB, {logged / args.steps:.0f} bytes a step")
        for task, side in ("mnist", 140), ("cifar10", 32):
            split = {"mnist": datasets.MNIST, "cifar10": datasets.CIFAR10}[task][task](args.data_dir).test
            save(place / task, split.images, args.pictures, side)
            app = [sys.executable, ROOT / task / "app.py", "--checkpoint", ROOT / "checkpoints" / task / "pretrained"]
            words = [*app, "--output-dir", place / f"{task} answers", place / task]
            found[f"{args.pictures:,} pictures, {task}/app.py"] = watched(words, read_all)
            if task == "mnist":
                some = [path.read_bytes() for path in sorted((place / task).iterdir())[:100]]
                drive = ask(some, args.pictures)
                found[f"{args.pictures:,} requests"] = watched([*app, "--serve", "--port", "0"], drive)
    faults = []
    for title, (seen, seconds) in found.items():
        grown = {name: growth(values) for name, values in seen.items()}
        faults += [f"{title}: {name} +{grown[name]:.1f}" for name in seen if grown[name] > MOST[name]]
        each = "  ".join(f"{name} {max(seen[name]):.0f} ({grown[name]:+.1f})" for name in seen)
        print(f"{title:34} {seconds[-1]:4.0f} s  at most, and growth in the second half: {each}")
    draw(found, args.output)
    print("; ".join(faults) or f"no slope; {command_line.shown(args.output)}")
    return 1 if faults else 0


if __name__ == "__main__":
    command_line.run(main)
