"""Measures pictures that are streamed from the disk beside the same pictures in memory, and packing.

    python benchmarks/speed/streaming.py

Writes the training images of MNIST and CIFAR-10 as TFRecords, packs them by the task's program, and trains with and
without --in-memory 0, in turns. The speed is that of the trainer from step 100 on: images a second between the
summaries, without validation. Prints the ratio for each network: the median of the rounds, lowest and highest.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from benchmarks import runner
from common import command_line
from common.data import datasets, records
from common.training import runs

import tensorflow.compat.v1 as tf

NETWORKS = {"fully_connected": ("mnist", 2000, 256), "airbench_slim": ("cifar10", 250, 256)}  # task, steps, batch size
FIRST = 100  # the step from which on speed is measured


def write(split, path):
    with tf.python_io.TFRecordWriter(str(path)) as writer:
        for image, label in zip(split.images, split.labels, strict=True):
            features = {
                "img_raw": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image.tobytes()])),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[int(label)])),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def speed(task, network, packed, steps, batch_size, *flags):
    """Images a second of one training."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        words = [sys.executable, ROOT / task / "backward.py", "--dataset", packed, "--device", "cpu"]
        words += ["--network", network, "--steps", str(steps), "--checkpoint-dir", folder]
        words += ["--start-from", "none", *flags, "--set", f"batch_size={batch_size}", f"save_steps={steps}"]
        runner.run(words)
        [(directory, _)] = runs.find(folder, task)
        points = runner.scalars(folder / "logs" / task / directory.name / "train", "loss/total")
        points = [(step, when) for step, _, when in points if step >= FIRST]
        return (points[-1][0] - points[0][0]) * batch_size / (points[-1][1] - points[0][1])


def main():
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=command_line.positive(int), default=5, metavar="N", help="(%(default)s)")
    command_line.add_data_dir(parser)
    args = parser.parse_args()
    print(f"{runner.machine()}; commit {', '.join(runner.commit_and_date())}")
    with tempfile.TemporaryDirectory() as temporary:
        for network, (task, steps, batch_size) in NETWORKS.items():
            data_dir = Path(temporary, task)
            data_dir.mkdir()
            data = datasets.FAMILIES[task][task](args.data_dir)
            write(data.train, data_dir / "train.tfrecords")
            before = time.time()
            flags = ["--dataset", data_dir / "train.tfrecords", "--data-dir", data_dir, "--only-pack"]
            memory = runner.run([sys.executable, ROOT / task / "backward.py", *flags])
            seconds = time.time() - before
            print(f"{task}: {len(data.train.labels):,} images packed in {seconds:.0f} s, {memory:.2f} GiB at most")
            [packed] = (path.parent for path in data_dir.glob(f"*/{records.DATASET}"))
            ratios = []
            for _ in range(args.rounds):
                how = task, network, packed, steps, batch_size
                streamed, in_memory = speed(*how, "--in-memory", "0"), speed(*how)
                ratios.append(streamed / in_memory)
                print(f"{network}: {streamed:,.0f} images/s streamed, {in_memory:,.0f} in memory", flush=True)
            shown = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            print(f"{network}: streamed has {shown} of the speed in memory, {args.rounds} rounds")


if __name__ == "__main__":
    command_line.run(main)
