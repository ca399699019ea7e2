"""What workers and towers are worth: two workers of one thread beside one process of two, and where a step goes.

    python benchmarks/speed/cluster.py                              # bare steps, and what they are made of
    python benchmarks/speed/cluster.py --trainer                    # the whole trainer, and two towers
    python benchmarks/speed/cluster.py --networks convnet --rounds 7

A bare step has the batch in memory, the network, the gradients, their mean over the workers and the optimiser; no
augmentation, no averages, nothing written. All processes live at the same time, and take turns: A B A B … Figures are
medians over the rounds, and ratios of neighbours.
"""

import argparse
import ctypes
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from benchmarks import runner
from cifar10 import forward as cifar10
from common import command_line
from common.data import datasets
from common.graph import batches, device, layers, towers
from common.training import launch, members
from mnist import forward as mnist

import numpy as np
import tensorflow.compat.v1 as tf

TASKS = {"mnist": mnist, "cifar10": cifar10}
NETWORKS = {  # the task and how many steps a turn
    "fully_connected": ("mnist", 200), "lenet5": ("mnist", 50), "convnet": ("mnist", 20),
    "airbench_slim": ("cifar10", 6), "airbench": ("cifar10", 3),
}  # fmt: skip
BATCH_SIZE, IMAGES = 256, 5000
TRAINERS = {"one process": [], "two workers": ["--workers", "2"], "two towers": ["--device", "cpu:0,cpu:1"]}
STEPS = {"convnet": 600, "airbench_slim": 120}  # of the whole trainer


def work(pipe, network, namespace=None):
    """A worker, or a process alone, as its environment says: answers (what, steps) with the seconds.

    namespace: the name of a network namespace to live in.
    """
    if namespace:
        with open(f"/run/netns/{namespace}") as file:  # noqa: PTH123
            ctypes.CDLL(None, use_errno=True).setns(file.fileno(), 0)  # os.setns is of Python 3.12
    task = TASKS[NETWORKS[network][0]]
    size, channels = task.IMAGE_SIZE, task.NUM_CHANNELS
    random = np.random.default_rng(1)
    images = random.integers(0, 256, [IMAGES, size, size, channels], dtype=np.uint8)
    split = datasets.Split(images, random.integers(0, 10, IMAGES, dtype=np.uint8))
    config = device.session_config([runner.CPU])
    with members.join(config) as workers, tf.Graph().as_default():
        tf.set_random_seed(1)
        data = batches.on_device(split, "data")
        step = tf.train.get_or_create_global_step()
        [tower] = towers.over([runner.CPU], workers.part)
        optimizer = tf.train.MomentumOptimizer(0.01, 0.9, use_nesterov=True)
        with tower:
            images, labels = batches.shuffled(data, tf.identity(step), BATCH_SIZE, 1)
            logits = task.forward((images - 128) / 64, True, None, network, 10)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
            pairs = optimizer.compute_gradients(loss, gate_gradients=optimizer.GATE_NONE)
            gradients, variables = zip(*(pair for pair in pairs if pair[0] is not None), strict=True)
            own = gradients, tf.get_collection("statistics"), loss

        def train_step(found):
            with tf.control_dependencies(layers.move_statistics(found[1])):
                return optimizer.apply_gradients(zip(found[0], variables, strict=True), step)

        steps = {"alone": train_step(own), "together": train_step(towers.mean([own], workers.mean)[1])}
        nothing = tf.nest.map_structure(lambda tensor: tf.zeros(tensor.shape), own)
        steps["message"] = tf.group(tf.nest.flatten(workers.mean(nothing)))
        with tf.Session(workers.target, config=config) as session:
            session.run(tf.global_variables_initializer())
            session.run(tf.local_variables_initializer(), data.feed)
            numbers = sum(tensor.shape.num_elements() for tensor in tf.nest.flatten(own))
            runs = {name: session.make_callable(operation) for name, operation in steps.items()}
            pipe.send(numbers)
            while order := pipe.recv():
                what, count = order
                started = time.perf_counter()
                for _ in range(count):
                    runs[what]()
                pipe.send(time.perf_counter() - started)


@contextmanager
def processes(count, threads, network, namespaces=None, relayed=lambda ports: ports):
    """A function (what, steps) that gives the seconds of a step in `count` workers; and the numbers in a message.

    They live on the loopback, or in network namespaces: a dict from their names to addresses. relayed: gives the ports
    by which the others reach a worker on the loopback.
    """
    names, own = [None] * count, [f"127.0.0.1:{port}" for port in launch.free_ports(count)]
    theirs = [f"127.0.0.1:{port}" for port in relayed([int(address.rpartition(":")[2]) for address in own])]
    if namespaces:
        names, own = [*namespaces], [f"{address}:2222" for address in namespaces.values()]
        theirs = own
    os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)  # `common` set it
    context, pipes, started = multiprocessing.get_context("spawn"), [], []
    for i in range(count):
        pipe, other_end = context.Pipe()
        told = {"cluster": {"worker": [*theirs[:i], own[i], *theirs[i + 1 :]]}, "task": {"type": "worker", "index": i}}
        own_threads = {f"TF_NUM_{kind}_THREADS": str(threads) for kind in ("INTRAOP", "INTEROP")}
        os.environ |= own_threads | {"TF_CONFIG": json.dumps(told)}
        process = context.Process(target=work, args=(other_end, network, names[i]), daemon=True)
        process.start()
        pipes.append(pipe)
        started.append(process)

    def measure(what, steps):
        for pipe in pipes:
            pipe.send((what, steps))
        return max(pipe.recv() for pipe in pipes) / steps

    [size] = {pipe.recv() for pipe in pipes}
    yield measure, size
    for pipe in pipes:
        pipe.send(None)
    for process in started:
        process.join()


def bare_steps(network, rounds):
    """Prints the ratio, and what a step of two workers is made of."""
    steps = NETWORKS[network][1]
    with processes(1, 2, network) as (one, _), processes(2, 1, network) as (two, size):
        turns = {("one", "alone"): one, ("two", "together"): two, ("two", "alone"): two, ("two", "message"): two}
        seconds = {turn: [] for turn in turns}
        for round_ in range(rounds + 1):
            for turn, measure in turns.items():
                took = measure(turn[1], steps)
                if round_:  # the first one warms up
                    seconds[turn].append(took)
    ratios = [a / b for a, b in zip(seconds["one", "alone"], seconds["two", "together"], strict=True)]
    one, two, alone, message = (statistics.median(each) for each in seconds.values())
    print(
        f"{network:16} {BATCH_SIZE / one:10,.0f} {BATCH_SIZE / two:10,.0f}   {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f})   {1000 * two:7.1f} = {1000 * alone:7.1f} + {1000 * message:6.1f} "
        f"+ {1000 * (two - alone - message):6.1f}   {size:11,}",
        flush=True,
    )


def trainers(network, rounds, data_dir):
    """Prints images/s of the whole trainer, from its first step to the end of the last validation."""
    task, found = NETWORKS[network][0], {name: [] for name in TRAINERS}
    for _ in range(rounds):
        for name, flags in TRAINERS.items():
            with tempfile.TemporaryDirectory() as folder:
                folder = Path(folder)
                command = runner.command(task, network, data_dir, folder) + ["--steps", str(STEPS[network]), *flags]
                runner.run(command)
                log = folder / "logs" / task / network / "train"
                recipe = TASKS[task].NETWORKS[network].RECIPE
                seconds = runner.scalars(log, "accuracy/validation")[-1][2] - runner.first_step(log)
                found[name].append((STEPS[network] - 1) * recipe.batch_size / seconds)
    base = found["one process"]
    for name, speeds in found.items():
        ratios = [a / b for a, b in zip(speeds, base, strict=True)]
        print(
            f"{network:16} {name:12} {statistics.median(speeds):10,.0f}   {statistics.median(ratios):.3f} "
            f"({min(ratios):.3f} to {max(ratios):.3f})",
            flush=True,
        )


def main():
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=None, metavar="NAME", help="(all)")
    parser.add_argument("--rounds", type=command_line.positive(int), default=5, metavar="N", help="(%(default)s)")
    parser.add_argument("--trainer", action="store_true", help="the whole trainer; images/s, and its ratio")
    command_line.add_data_dir(parser)
    args = parser.parse_args()
    print(runner.machine(), *runner.commit_and_date(), f"{args.rounds} rounds", sep="; ")
    if args.trainer:
        for network in args.networks or STEPS:
            trainers(network, args.rounds, args.data_dir)
        return
    print(f"{'images/s':16} {'1 process':>10} {'2 workers':>10}   ratio (lowest to highest)", end="   ")
    print("ms of a step = compute + message + waiting   numbers in a message")
    for network in args.networks or NETWORKS:
        bare_steps(network, args.rounds)


if __name__ == "__main__":
    command_line.run(main)
