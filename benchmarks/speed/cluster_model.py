"""A model of a step of n workers, fitted to two, checked with four on slower networks, and drawn for up to 256.

    python benchmarks/speed/cluster_model.py        # as root, on Linux: it makes network namespaces, and removes them

A step takes what a worker computes for its part of the batch, and the ring: 2(n - 1) messages, one after the other, of
1/n of the numbers each. A message takes a latency and its bytes over the bandwidth, both of the network and of the
software. The software's are fitted, on the loopback, to messages alone between two workers. The prediction for four is
then a calculation: with what a worker of four computes, and the network's bandwidth and latency, which are set.
Four workers live in namespaces of their own, behind a bridge; tc limits what each sends. Where the network is to be
slow to answer, they live on the loopback, and a relay in front of each holds back what passes.
"""

import argparse
import asyncio
import contextlib
import functools
import multiprocessing
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from benchmarks import runner
from benchmarks.speed import cluster
from common import command_line

import numpy as np

FITTED = ("fully_connected", "convnet", "airbench_slim", "airbench")  # by the sizes of their messages
CHECKED = ("convnet", "airbench_slim")
BANDWIDTHS = {"1 Gbit/s": 1e9, "100 Mbit/s": 1e8}  # bits/s
LATENCY = 0.001  # seconds each way
DRAWN_LATENCY = 0.00005  # of a network in one room
DRAWN = {  # numbers in a message, seconds of one worker for all 256 images of a step: cluster.py, one process
    "convnet": (82_715, 0.080),
    "airbench_slim": (1_091_107, 0.381),
    # 3 · 4.1 G multiply-adds an image, as a ResNet-50's, at the 200 G a second that these cores reach
    "25 M parameters": (25_000_000, 15.7),
}
WORKERS = 4


def ring(workers, numbers, software, bandwidth=float("inf"), latency=0.0, share=1.0):
    """Seconds of an all-reduce. software: (seconds a message, seconds a byte). share: of a core that a worker has."""
    message, byte = (cost / min(1, share) for cost in software)
    messages, part = 2 * (workers - 1), 4 * numbers / workers
    return messages * (message + latency + part * (byte + 8 / bandwidth))


def fit(rounds):
    """The software's (seconds a message, seconds a byte), by least squares of the relative errors."""
    rows, seconds = [], []
    for network in FITTED:
        with cluster.processes(2, 1, network) as (measure, numbers):
            measure("message", 20)
            taken = statistics.median(measure("message", 20) for _ in range(rounds))
        rows.append([2 / taken, 2 * 2 * numbers / taken])  # two messages of half of the bytes
        seconds.append(taken)
        print(f"message of {numbers:11,} numbers between two workers: {1000 * taken:7.2f} ms", flush=True)
    software = np.linalg.lstsq(np.array(rows), np.ones(len(rows)), rcond=None)[0].clip(0)
    print(f"software: {1e3 * software[0]:.2f} ms a message, {1e-6 / software[1]:.0f} MB/s")
    return tuple(software)


@contextlib.contextmanager
def namespaces(count, bandwidth):
    """Network namespaces behind a bridge, each of which sends at most so many bits a second: {name: address}."""

    def run(command):
        subprocess.run(command.split(), check=True)

    made = {f"worker{i}": f"10.99.0.{i + 1}" for i in range(count)}

    def remove():
        for command in (*(f"ip netns del {name}" for name in made), "ip link del workers"):
            subprocess.run(command.split(), check=False, stderr=subprocess.DEVNULL)

    remove()  # what a run that was killed has left
    run("ip link add workers type bridge")
    try:
        run("ip link set workers up")
        for name, address in made.items():
            run(f"ip netns add {name}")
            run(f"ip link add {name} type veth peer name eth0 netns {name}")
            run(f"ip link set {name} master workers up")
            run(f"ip -n {name} addr add {address}/24 dev eth0")
            run(f"ip -n {name} link set eth0 up")
            run(f"ip -n {name} link set lo up")
            run(f"tc -n {name} qdisc add dev eth0 root tbf rate {bandwidth:.0f}bit burst 64kb latency 100ms")
        yield made
    finally:
        remove()


def relay(ports, latency, told):
    """Takes connections for each of the ports, and passes on what comes, both ways, after `latency` seconds."""

    async def passed_on(reader, writer):
        loop = asyncio.get_running_loop()
        while data := await reader.read(2**20):
            loop.call_later(latency, writer.write, data)  # in the order of their times
        writer.close()

    async def connected(reader, writer, port):
        with contextlib.suppress(OSError):  # the worker has not come yet, or has ended
            onward = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(passed_on(reader, onward[1]), passed_on(onward[0], writer))
        writer.close()

    async def serve():
        servers = [
            await asyncio.start_server(functools.partial(connected, port=port), "127.0.0.1", 0) for port in ports
        ]
        told.send([server.sockets[0].getsockname()[1] for server in servers])
        await asyncio.gather(*(server.serve_forever() for server in servers))

    asyncio.run(serve())


@contextlib.contextmanager
def relays(latency):
    """A function that puts a relay in front of each of some ports, and gives the relays' own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = None

    def relayed(ports):
        nonlocal process
        process = context.Process(target=relay, args=(ports, latency, theirs), daemon=True)
        process.start()
        return ours.recv()

    yield relayed
    process.kill()


def check(network, name, software, rounds, bandwidth=float("inf"), latency=0.0, **where):
    """Prints a predicted and a measured step of four workers."""
    steps = cluster.NETWORKS[network][1]
    with cluster.processes(WORKERS, 1, network, **where) as (measure, numbers):
        measure("together", steps)
        turns = [[measure(what, steps) for what in ("alone", "together")] for _ in range(rounds)]
    computing, taken = (statistics.median(each) for each in zip(*turns, strict=True))
    predicted = computing + ring(WORKERS, numbers, software, bandwidth, latency, os.cpu_count() / WORKERS)
    print(
        f"{network:14} {WORKERS} workers, {name:10}: {1000 * predicted:7.1f} ms predicted "
        f"({1000 * computing:.1f} of computing), {1000 * taken:7.1f} ms measured: {predicted / taken - 1:+.0%}",
        flush=True,
    )


def plot(path, software):
    """Draws which share of its time a worker computes, for 1 to 256 workers that share the 256 images of a step."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    workers = 2 ** np.arange(9)
    figure, axes = plt.subplots(1, len(DRAWN), figsize=(11, 3.4), sharey=True, layout="constrained")
    for axis, (name, (numbers, computing)) in zip(axes, DRAWN.items(), strict=True):
        for label, bandwidth in {"1 Gbit/s": 1e9, "10 Gbit/s": 1e10, "100 Gbit/s": 1e11}.items():
            took = [ring(n, numbers, software, bandwidth, DRAWN_LATENCY) if n > 1 else 0 for n in workers]
            share = [100 * (computing / n) / (computing / n + t) for n, t in zip(workers, took, strict=True)]
            axis.plot(workers, share, marker=".", label=label)
        axis.set(title=name, xscale="log", xticks=workers, xlabel="workers", ylim=(0, 105))
        axis.set_xticks([], minor=True)
        axis.set_xticklabels(workers, fontsize=8)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("efficiency, %")
    axes[0].legend(title="network", frameon=False)
    figure.savefig(path, dpi=110)


def main():
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=command_line.positive(int), default=5, metavar="N", help="(%(default)s)")
    parser.add_argument("--plot", metavar="PNG", type=Path, help="draws the efficiency of up to 256 workers")
    args = parser.parse_args()
    rounds = args.rounds
    print(runner.machine(), *runner.commit_and_date(), f"{rounds} rounds", sep="; ")
    software = fit(rounds)
    for network in CHECKED:
        for name, bandwidth in BANDWIDTHS.items():
            with namespaces(WORKERS, bandwidth) as made:
                check(network, name, software, rounds, bandwidth, namespaces=made)
    with relays(LATENCY) as relayed:
        check("convnet", f"{1000 * LATENCY:g} ms", software, rounds, latency=LATENCY, relayed=relayed)
    if args.plot:
        plot(args.plot, software)


if __name__ == "__main__":
    command_line.run(main)
