"""Draws a picture of the operations of one training step over time, with stock operations and as this kit has it.

    python benchmarks/speed/timeline.py                      # airbench_slim; timeline.png
    python benchmarks/speed/timeline.py --network convnet --output convnet.png

From TensorFlow's own trace of the step (RunMetadata), which slows it down a little; the operations run one after the
other, each with all threads. Prints the time by kind of operation, the median of some steps.
"""

import argparse
import os
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from benchmarks.speed.peer_steps import graph_mode
from benchmarks.speed.peer_steps.problem import NETWORKS
from common import command_line

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import tensorflow.compat.v1 as tf

STEPS = 7
KINDS = {  # name: (colour, parts of the names of its operations)
    "convolution": ("#4c72b0", ("Conv2D",)),
    "gradient for the input": ("#55a868", ("Conv2D_grad/",)),
    "gradient for the weights": ("#8172b3", ("BackpropFilter", "grad/weights")),
    "matrix product": ("#937860", ("MatMul",)),
    "normalisation": ("#ccb974", ("BatchNorm",)),
    "pooling": ("#64b5cd", ("MaxPool",)),
    "update": ("#8c8c8c", ("ApplyMomentum",)),
    "other, element by element": ("#c44e52", ("",)),
}


def kind(label):
    """Of an operation, by its line in the trace: "[memory] name = Type(inputs)"."""
    name = label.partition("(")[0]
    order = ("gradient for the weights", "gradient for the input", *KINDS)  # the first names hold "Conv2D", too
    return next(one for one in order if any(part in name for part in KINDS[one][1]))


def trace(mode, problem):
    """[(kind, start, seconds)] of each operation of a step, for some steps."""
    session, fetches, batch = graph_mode.build(mode, problem, os.cpu_count())
    options = tf.RunOptions(trace_level=tf.RunOptions.SOFTWARE_TRACE, inter_op_thread_pool=-1)
    steps = []
    for step in range(3 + STEPS):
        metadata = tf.RunMetadata()
        feed_dict = graph_mode.feed(batch, problem, step)
        session.run(fetches, feed_dict, options=options, run_metadata=metadata)
        nodes = [node for device in metadata.step_stats.dev_stats for node in device.node_stats]
        first = min(node.all_start_micros for node in nodes)
        steps.append([
            (
                kind(node.timeline_label or node.node_name),
                (node.all_start_micros - first) / 1e6,
                (node.op_end_rel_micros - node.op_start_rel_micros) / 1e6,
            )
            for node in nodes
        ])  # fmt: skip
    return steps[3:]  # the first ones compile and allocate


def length(step):
    """Seconds from the first operation's start to the last one's end."""
    return max(start + seconds for _, start, seconds in step)


def main():
    names = {name: task for task, name in NETWORKS}
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=list(names), default="airbench_slim")
    parser.add_argument("--output", metavar="FILE", type=Path, default=Path("timeline.png"), help="(%(default)s)")
    command_line.add_data_dir(parser)
    args = parser.parse_args()
    problem, _ = graph_mode.problem_of(names[args.network], args.network, args.data_dir)
    titles = {"notes": "stock operations", "session": "this kit"}
    figure, panels = plt.subplots(2, sharex=True, figsize=(11, 3.6), layout="constrained")
    for panel, (mode, title) in zip(panels, titles.items(), strict=True):
        steps = trace(mode, problem)
        for name in KINDS:
            seconds = statistics.median(sum(s for k, _, s in step if k == name) for step in steps)
            print(f"{title:45} {name:28} {1000 * seconds:6.1f} ms")
        print(f"{title:45} {'from start to end':28} {1000 * statistics.median(map(length, steps)):6.1f} ms")
        shown = sorted(steps, key=length)[len(steps) // 2]
        for name, (colour, _) in KINDS.items():
            bars = [(1000 * start, 1000 * seconds) for k, start, seconds in shown if k == name]
            panel.broken_barh(bars, (0, 1), color=colour, label=name, linewidth=0)
        panel.set_title(f"{title}: {1000 * length(shown):.0f} ms", loc="left", fontsize=10)
        panel.set_yticks([])
        panel.spines[["left", "right", "top"]].set_visible(False)
    panels[-1].set_xlabel(f"ms of a training step of {args.network}, batch of {problem.batch_size}")
    panels[0].legend(loc="lower right", bbox_to_anchor=(1, 1.0), ncols=4, frameon=False, fontsize=8)
    figure.savefig(args.output, dpi=110)
    print(args.output)


if __name__ == "__main__":
    command_line.run(main)
