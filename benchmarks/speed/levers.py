"""Measures what each setting of TensorFlow, or other way to build the graph, does for the speed of training.

    python benchmarks/speed/levers.py                                # convnet and airbench_slim
    python benchmarks/speed/levers.py --networks lenet5 --rounds 9
    python benchmarks/speed/levers.py --precision bfloat16           # for CPUs that have instructions for it

Each setting is a process of its own with the graph-mode step of peers.py, and must have the same losses. Five settings
at a time take turns with the step as it is; a line is the median of a setting as a share of that.
"""

import argparse
import ctypes
import os
import statistics
import sys
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import NamedTuple
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from benchmarks import add_precision
from benchmarks.speed import peers
from benchmarks.speed.peer_steps.problem import NETWORKS

GROUP = 5  # settings at a time: each is a process with the images in memory
OFF = 2  # of RewriterConfig
JIT = {"graph_options.optimizer_options.global_jit_level": 1}
CLUSTERS = "--tf_xla_cpu_global_jit --tf_xla_ops_to_cluster"


class Lever(NamedTuple):
    """environment: of the process. config: entries of ConfigProto. change: a function that gives a patch, or None.

    precision: None for that of the step it takes turns with.
    """

    environment: dict = {}
    config: dict = {}
    change: object = None
    mode: str = "session"
    precision: str | None = None


def stock_convolutions():
    from benchmarks.speed.peer_steps import graph_mode

    return graph_mode.stock_convolutions()


def stock_gradients_for_weights():
    """Changes nothing in float32 on a CPU with AVX-512."""
    from common.graph import conv2d_gradient

    return mock.patch.multiple(conv2d_gradient, _forward_is_faster=lambda x, dy, size: False, _on_amx=lambda x: False)


def stock_gelu():
    from common.graph import layers

    return mock.patch.object(layers, "_fused_gelu", layers._stock_gelu)


def parts_of_batch_norm():
    import tensorflow.compat.v1 as tf

    def fused_batch_norm(x, scale, offset, epsilon):
        wide = tf.cast(x, tf.float32)
        mean, variance = tf.nn.moments(wide, [0, 1, 2])
        y = tf.nn.batch_normalization(wide, mean, variance, offset, scale, epsilon)
        return tf.cast(y, x.dtype), mean, variance

    return mock.patch.object(tf.nn, "fused_batch_norm", fused_batch_norm)


def maximum_of_slices():
    from common.graph import layers

    import tensorflow.compat.v1 as tf

    def max_pool(x, padding="SAME"):
        side = x.shape[1]
        if side % 2:  # a row and a column more or less
            edge = [[0, 0], [0, 1], [0, 1], [0, 0]]
            x = tf.pad(x, edge, constant_values=-1e38) if padding == "SAME" else x[:, : side - 1, : side - 1]
        rows = tf.maximum(x[:, ::2], x[:, 1::2])
        return tf.maximum(rows[:, :, ::2], rows[:, :, 1::2])

    return mock.patch.object(layers, "max_pool", max_pool)


def keep_memory():
    """glibc's malloc takes no memory by mmap and gives none back."""
    libc = ctypes.CDLL(None)
    libc.mallopt(-4, 0)  # M_MMAP_MAX
    libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
    return nullcontext()


AS_IT_IS = "as it is"
LEVERS = {
    AS_IT_IS: Lever(),
    "stock convolutions": Lever(change=stock_convolutions),
    "stock gradients for the weights": Lever(change=stock_gradients_for_weights),
    "GELU of single operations": Lever(change=stock_gelu),
    "batch normalisation of its parts": Lever(change=parts_of_batch_norm),
    "pooling as a maximum of slices": Lever(change=maximum_of_slices),
    "oneDNN off": Lever({"TF_ENABLE_ONEDNN_OPTS": "0"}),
    "oneDNN off, stock convolutions": Lever({"TF_ENABLE_ONEDNN_OPTS": "0"}, change=stock_convolutions),
    "oneDNN as for AVX2": Lever({"ONEDNN_MAX_CPU_ISA": "AVX2"}),
    "operations in the caller's thread": Lever(mode="caller"),
    "one thread for operations": Lever(config={"inter_op_parallelism_threads": 1}),
    "one thread in each operation": Lever(config={"intra_op_parallelism_threads": 1}),
    "XLA for all it can": Lever({"TF_XLA_FLAGS": "--tf_xla_cpu_global_jit"}, JIT),
    "XLA for element by element": Lever({"TF_XLA_FLAGS": f"{CLUSTERS}=PW"}, JIT),
    "XLA for what it may fuse": Lever({"TF_XLA_FLAGS": f"{CLUSTERS}=FUSIBLE"}, JIT),
    "no Grappler": Lever(config={"graph_options.rewrite_options.disable_meta_optimizer": True}),
    "no remapping by Grappler": Lever(config={"graph_options.rewrite_options.remapping": OFF}),
    "malloc that keeps memory": Lever(change=keep_memory),
    "BFC allocator": Lever({"TF_CPU_ALLOCATOR_USE_BFC": "1"}),
    "bfloat16": Lever(precision="bfloat16"),
    "bfloat16 by Grappler": Lever(
        config={"graph_options.rewrite_options.auto_mixed_precision_onednn_bfloat16": 1}, precision="float32"
    ),
}


def prepare(name, problem, threads):
    """As in peer_steps.graph_mode, with a lever."""
    from benchmarks.speed.peer_steps import graph_mode

    lever = LEVERS[name]
    config = graph_mode.session_config(threads)
    for path, value in lever.config.items():
        *outer, last = path.split(".")
        message = config
        for field in outer:
            message = getattr(message, field)
        setattr(message, last, value)
    with ExitStack() as patches:
        patches.enter_context(mock.patch.object(graph_mode, "session_config", lambda *args: config))
        if lever.change:
            patches.enter_context(lever.change())
        problem = problem._replace(precision=lever.precision or problem.precision)
        return graph_mode.prepare(lever.mode, problem, threads)


def main():
    names = [name for _, name in NETWORKS]
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--networks", nargs="+", choices=names, default=["convnet", "airbench_slim"], metavar="NAME",
        help=", ".join(names),
    )  # fmt: skip
    settings = [name for name in LEVERS if name != AS_IT_IS]
    parser.add_argument(
        "--only", nargs="+", choices=settings, default=settings, metavar="SETTING", help="; ".join(settings)
    )
    add_precision(parser)
    parser.add_argument("--rounds", type=command_line.positive(int), default=5, metavar="N", help="(%(default)s)")
    command_line.add_data_dir(parser)
    args = parser.parse_args()
    args.only = [name for name in args.only if LEVERS[name] != Lever(precision=args.precision)]  # the step itself
    threads = os.cpu_count()
    print(f"{peers.in_process('machine', threads)[0]}, {args.precision}")
    for task, name in NETWORKS:
        if name not in args.networks:
            continue
        problem, _ = peers.in_process("problem_of", task, name, args.data_dir)
        problem = problem._replace(precision=args.precision)
        print(f"\n{name}", flush=True)
        for group in (args.only[i : i + GROUP] for i in range(0, len(args.only), GROUP)):
            workers = {}
            for lever in (AS_IT_IS, *group):
                with mock.patch.dict(os.environ, LEVERS[lever].environment):
                    workers[lever] = peers.Worker("levers", lever, problem, threads)
            speeds = peers.take_turns(peers.check(workers), problem, args.rounds)
            usual = statistics.median(speeds.pop(AS_IT_IS))
            for lever, values in speeds.items():
                low, high = min(values) / usual, max(values) / usual
                print(f"  {lever:34} {statistics.median(values) / usual:.2f} ({low:.2f} to {high:.2f})", flush=True)


if __name__ == "__main__":
    with mock.patch.dict(os.environ):  # as in peers.py
        from common import command_line

    command_line.run(main)
