"""Writes checkpoints as fast as it can while two testers follow them, and checks each accuracy that they print.

    python benchmarks/faults/testers.py

The weights of each checkpoint are random, their accuracy on MNIST's test images is computed before, and only the two
newest checkpoints are kept. A tester need not see all of them. But it must not crash, go back, name a checkpoint whose
accuracy is another, or take more memory and handles over time. On Linux.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from benchmarks import runner
from common import command_line
from common.data import datasets
from common.training import runs, trainer
from mnist.forward import NETWORKS, forward

import numpy as np
import psutil
import tensorflow.compat.v1 as tf

NETWORK = "softmax"


def weights(step):
    """The weights and offsets of a checkpoint, float32 [784, 10] and [10]."""
    random = np.random.default_rng(step)
    return random.normal(0, 0.1, (784, 10)).astype(np.float32), random.normal(0, 0.1, 10).astype(np.float32)


def right(split, step):
    """How many images of a split the weights of a checkpoint classify right."""
    matrix, offsets = weights(step)
    logits = split.images.reshape(-1, 784) / np.float32(255) @ matrix + offsets
    return int((logits.argmax(1) == split.labels).sum())


def write(directory, steps, ready):
    """Writes checkpoints 1 to `steps`; after the first, waits until ready(). Returns the seconds of the others."""
    with tf.Graph().as_default(), tf.Session() as session:
        step = tf.train.get_or_create_global_step()
        forward(tf.zeros([1, 28, 28, 1]), True, None, NETWORK, 10)
        ema = tf.train.ExponentialMovingAverage(0.99)
        ema.apply(tf.trainable_variables())
        averages = [ema.average(variable) for variable in tf.trainable_variables()]
        saver = tf.train.Saver(max_to_keep=2, save_relative_paths=True)
        session.run(tf.global_variables_initializer())
        for i in range(1, steps + 1):
            for variable, value in zip((step, *averages), (i, *weights(i)), strict=True):
                variable.load(value, session)
            saver.save(session, str(directory / "model.ckpt"), i, write_meta_graph=False)
            if i == 1:
                while not ready():
                    time.sleep(0.05)
                begun = time.perf_counter()
        return time.perf_counter() - begun


class Tester:
    """mnist/test.py as a program, what it prints, and its memory and handles each time it prints an accuracy."""

    def __init__(self, words):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, env=runner.ENVIRONMENT)
        self.found, self.use, self.errors = [], [], []
        self._threads = [threading.Thread(target=target) for target in (self._read, self._read_errors)]
        for thread in self._threads:
            thread.start()

    def _read(self):
        watched = psutil.Process(self.process.pid)
        for line in self.process.stdout:
            if match := re.match(r"step (\d+)  test accuracy ([\d.]+),", line):
                self.found.append((int(match[1]), float(match[2])))
                self.use.append((watched.memory_info().rss / 2**20, watched.num_fds(), watched.num_threads()))

    def _read_errors(self):
        self.errors.extend(self.process.stderr)

    def end(self):
        """Its exit status."""
        for thread in self._threads:
            thread.join()
        return self.process.wait()


def main():
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", type=command_line.positive(int), default=1000, metavar="N", help="%(default)s")
    command_line.add_data_dir(parser)
    args = parser.parse_args()
    data = datasets.MNIST["mnist"](args.data_dir)
    table = {step: right(data.test, step) / len(data.test.labels) for step in range(1, args.checkpoints + 1)}
    run = trainer.describe(NETWORK, NETWORKS[NETWORK].RECIPE, data, 0.0, 255.0, args.checkpoints)
    print(runner.machine(), flush=True)
    with tempfile.TemporaryDirectory() as place:
        directory = runs.folder(place, "mnist", NETWORK, "mnist")
        with runs.lock(directory):
            runs.write(directory, run)
            words = [sys.executable, ROOT / "mnist" / "test.py", "--interval", "0.01", "--data-dir", args.data_dir]
            words += ["--checkpoint-dir", place]
            testers = [Tester([*words, "--log-dir", Path(place, f"logs{i}")]) for i in range(2)]
            seconds = write(directory, args.checkpoints, lambda: all(tester.found for tester in testers))
        statuses = [tester.end() for tester in testers]
    print(f"{args.checkpoints} checkpoints, {(args.checkpoints - 1) / seconds:.0f} a second")
    faults = []
    for number, (tester, status) in enumerate(zip(testers, statuses, strict=True), 1):
        steps = [step for step, _ in tester.found]
        wrong = [step for step, accuracy in tester.found if abs(accuracy - table[step]) > 1.01e-4]  # one image
        gone = [line for line in tester.errors if line.endswith("left out\n")]
        faults += [f"tester {number} ended with {status}"] if status else []
        faults += [f"tester {number}: {line.strip()}" for line in tester.errors if line not in gone]
        faults += [f"tester {number} went back"] if steps != sorted(set(steps)) else []
        faults += [f"tester {number}: wrong accuracies of {wrong}"] if wrong else []
        faults += [f"tester {number} did not test the last one"] if steps[-1] != args.checkpoints else []
        print(f"tester {number}: {len(steps)} tested, {len(gone)} gone before they were read, {len(wrong)} wrong")
        for i in (1, len(steps) // 2, len(steps) - 1):
            memory, handles, threads = tester.use[i]
            print(f"  at step {steps[i]:4}: {memory:.0f} MiB, {handles} handles, {threads} threads")
    print("; ".join(faults) or "no fault")
    return 1 if faults else 0


if __name__ == "__main__":
    command_line.run(main)
