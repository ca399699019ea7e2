"""Measures how the cost of training and evaluation grows with batch size, network width and number of images.

    python benchmarks/speed/scaling.py

Each row is fitted by cost = a · size ^ exponent, by least squares of the logarithms. airbench, on the CPU, float32.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from benchmarks import runner
from benchmarks.speed.peer_steps import graph_mode
from benchmarks.speed.peer_steps.problem import MOMENTUM
from cifar10.networks import airbench
from common import command_line

import numpy as np
import tensorflow.compat.v1 as tf

BATCH_SIZES = (16, 32, 64, 128, 256, 512)
WIDTHS = (8, 16, 32, 64)  # of the first block; the others are four times as wide
COUNTS = (1000, 2000, 4000, 8000)  # images, multiples of EVALUATED
WIDTH, BATCH_SIZE, EVALUATED = 32, 256, 1000  # where the other varies; images at once in evaluation


def seconds(run, repeats):
    """The median of some runs, after two."""
    times = []
    for _ in range(2 + repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times[2:])


def step_seconds(width, batch_size, repeats):
    """Of a training step."""
    config = graph_mode.session_config(os.cpu_count())
    with tf.Graph().as_default(), tf.Session(config=config) as session:
        x = tf.Variable(np.random.default_rng(1).normal(size=[batch_size, 32, 32, 3]).astype(np.float32))
        y = tf.Variable(np.arange(batch_size) % 10)
        logits = airbench.network(x.read_value(), True, None, 10, (width, 4 * width, 4 * width))
        _, step = graph_mode.training(logits, y, tf.train.MomentumOptimizer(0.01, MOMENTUM))
        session.run(tf.global_variables_initializer())
        return seconds(session.make_callable(step), repeats)


def evaluation_seconds(counts, repeats):
    """Of an evaluation of so many images, for each count."""
    images = np.random.default_rng(1).normal(size=[max(counts), 32, 32, 3]).astype(np.float32)
    with tf.Graph().as_default(), tf.Session(config=graph_mode.session_config(os.cpu_count())) as session:
        x = tf.placeholder(tf.float32, [None, 32, 32, 3])
        logits = airbench.network(x, False, None, 10, (WIDTH, 4 * WIDTH, 4 * WIDTH))
        session.run(tf.global_variables_initializer())
        call = session.make_callable(logits, feed_list=[x])

        def evaluate(count):
            return lambda: [call(images[i : i + EVALUATED]) for i in range(0, count, EVALUATED)]

        return [seconds(evaluate(count), repeats) for count in counts]


def show(what, sizes, times):
    exponent = np.polyfit(np.log(sizes), np.log(times), 1)[0]
    print(f"\n{what}: exponent {exponent:.2f}")
    for size, value in zip(sizes, times, strict=True):
        print(f"  {size:6,}  {1000 * value:8.1f} ms", flush=True)


def main():
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    positive = command_line.positive(int)
    parser.add_argument("--repeats", type=positive, default=9, metavar="N", help="of each, for a median (%(default)s)")
    repeats = parser.parse_args().repeats
    print(runner.machine())
    times = [step_seconds(WIDTH, size, repeats) for size in BATCH_SIZES]
    show(f"a step by its batch size, width {WIDTH}", BATCH_SIZES, times)
    times = [step_seconds(width, BATCH_SIZE, repeats) for width in WIDTHS]
    show(f"a step by the width, batch of {BATCH_SIZE}", WIDTHS, times)
    show(f"an evaluation by the number of images, width {WIDTH}", COUNTS, evaluation_seconds(COUNTS, repeats))


if __name__ == "__main__":
    command_line.run(main)
