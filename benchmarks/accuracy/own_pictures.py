"""Measures training on pictures of one's own: accuracy and seconds, with and without what was learnt before.

    python benchmarks/accuracy/own_pictures.py cifar10 clothing/                     # three seeds, default flags
    python benchmarks/accuracy/own_pictures.py cifar10 clothing/ --starts pretrained none features
    python benchmarks/accuracy/own_pictures.py cifar10 clothing/ --flags --size 64 --network airbench_slim
    python benchmarks/accuracy/own_pictures.py cifar10 signs/ --pictures 5 10 20 40 80    # so many of each class

The folder has one sub-folder a class. The split is what packing makes; with --pictures the training part has so many
pictures of each class, and the other parts stay. Training seconds count from the end of the first step to the last
checkpoint, with all validations and summaries between. Prints a line per run, and a table of the test accuracies with
mean and spread; with --validation of the validation images, to choose by.

The start "features" is examples/features.py on the same split: its seconds are those of all features and the training.
"""

import argparse
import contextlib
import importlib
import io
import math
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from benchmarks import runner
from common import command_line
from common.data import datasets, records
from common.training import checkpoints, runs, testing
from examples import features

import tensorflow.compat.v1 as tf

FEATURES = "features"  # a start


def measure(args, source, start, seed, data_dir):
    """One run: (accuracy, mean of the classes, seconds of training, steps)."""
    if start == FEATURES:
        return measure_features(args, source, seed, data_dir)
    forward = importlib.import_module(f"{args.task}.forward").forward
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        words = [sys.executable, ROOT / args.task / "backward.py", "--dataset", source, "--device", "cpu"]
        words += ["--seed", str(seed), "--data-dir", data_dir, "--checkpoint-dir", folder, *args.flags]
        runner.run(words + (["--start-from", start] if start else []))
        [(directory, run)] = runs.find(folder, args.task)
        begun = runner.first_step(folder / "logs" / args.task / directory.name / "train")
        path = checkpoints.latest(directory)
        data = datasets.packed(run.dataset_folder)
        split = data.validation if args.validation else data.test
        [(step, tested)] = testing.test(forward, run, split, [path], runner.CPU)
        return tested.accuracy, tested.class_mean, Path(f"{path}.index").stat().st_mtime - begun, step


def measure_features(args, source, seed, data_dir):
    with contextlib.redirect_stdout(io.StringIO()):
        class_names, splits = features.own(source, data_dir)
        begun = time.time()
        evaluations = features.learn(features.features(splits), splits, len(class_names), seed)
    tested = evaluations[0 if args.validation else 1]
    return tested.accuracy, tested.class_mean, time.time() - begun, features.STEPS


def fewer(packed, folder, count):
    """A folder of links to the pictures of a packed data set, split as it is, with `count` of each class to train.

    count: or math.inf, for all.
    """
    held = records.read(packed)
    taken = defaultdict(int)
    for part in records.PARTS:
        for shard in held.shards[part]:
            for content in tf.python_io.tf_record_iterator(str(packed / shard)):
                feature = tf.train.Example.FromString(content).features.feature
                label = feature["label"].int64_list.value[0]
                taken[part, label] += 1
                if part != "train" or taken[part, label] <= count:
                    source = Path(held.root, os.fsdecode(feature["source"].bytes_list.value[0]))
                    target = folder / part / held.class_names[label] / f"{taken[part, label]}{source.suffix}"
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.symlink_to(source)
    return folder


def pack(args, source, data_dir):
    """Packs a folder by the task's own program. Returns the packed folder."""
    words = [sys.executable, ROOT / args.task / "backward.py", "--dataset", source, "--data-dir", data_dir]
    for flag in {"--size", "--as"} & set(args.flags):
        words += args.flags[args.flags.index(flag) :][:2]
    runner.run([*words, "--only-pack"])
    return max(data_dir.glob(f"*/{records.DATASET}"), key=lambda path: path.stat().st_mtime).parent


def main():
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=list(datasets.FAMILIES))
    parser.add_argument("folder", type=Path)
    positive = command_line.positive(int)
    parser.add_argument("--seeds", type=positive, default=3, metavar="N", help="runs of each (%(default)s)")
    parser.add_argument("--starts", nargs="+", default=[""], help="for --start-from (the default of backward.py)")
    parser.add_argument("--pictures", nargs="+", type=positive, default=[0], metavar="N", help="of each class to train")
    parser.add_argument("--validation", action="store_true", help="measure the validation images")
    parser.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="the rest goes to backward.py")
    args = parser.parse_args()
    print(f"{runner.machine()}; {args.folder.name}; commit {', '.join(runner.commit_and_date())}", flush=True)
    rows = {}
    with tempfile.TemporaryDirectory() as temporary:
        data_dir = Path(temporary)
        whole = pack(args, args.folder, data_dir)
        for count in args.pictures:
            for start in args.starts:
                links = count or start == FEATURES  # whose pictures are read anew
                source = fewer(whole, data_dir / "links" / f"{count}{start}", count or math.inf) if links else whole
                title = " ".join(filter(None, [f"{count} a class" if count else "all", start]))
                rows[title] = [measure(args, source, start, seed, data_dir) for seed in range(1, args.seeds + 1)]
                for seed, (accuracy, class_mean, seconds, steps) in enumerate(rows[title], 1):
                    shown = f"{accuracy:.2%}, mean of classes {class_mean:.2%}"
                    print(f"{title} seed {seed}: {shown}, {seconds:.1f} s, {steps} steps", flush=True)
    print(f"\n| {args.folder.name} | {'validation' if args.validation else 'test'} | mean of classes | seconds |")
    print("| --- | --- | --- | --- |")
    for title, runs_of in rows.items():
        shown = [_spread([100 * run[i] for run in runs_of], " %") for i in (0, 1)]
        print(f"| {title} | {' | '.join(shown)} | {_spread([run[2] for run in runs_of], '', 0)} |")


def _spread(values, unit, digits=2):
    return (
        f"{statistics.mean(values):.{digits}f}{unit} ({min(values):.{digits}f} to {max(values):.{digits}f})"
        if len(values) > 1 else f"{values[0]:.{digits}f}{unit}"
    )  # fmt: skip


if __name__ == "__main__":
    command_line.run(main)
