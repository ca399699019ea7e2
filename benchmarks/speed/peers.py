"""Trains the same networks here and in other frameworks, in turns, and compares images a second.

    pip install -r benchmarks/requirements.txt
    python benchmarks/speed/peers.py
    python benchmarks/speed/peers.py --networks convnet --rounds 7
    python benchmarks/speed/peers.py --evaluate
    python benchmarks/speed/peers.py --precision bfloat16    # for CPUs that have instructions for it

Each framework has a process of its own, on the same cores of the CPU, with the same weights, batches (float32, in
memory), optimiser (momentum 0.9) and loss; dropout and augmentation are off. First each takes 20 steps: one whose
losses do not agree with the first one's is left out. Then they take turns, A B C A B C …; figures are medians over the
rounds.
"""

import argparse
import importlib
import multiprocessing
import os
import signal
import statistics
import sys
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from benchmarks import add_precision
from benchmarks.speed.peer_steps.problem import NETWORKS
from common import command_line

import numpy as np

CHECKED_STEPS, TOLERANCE = 20, 0.02  # relative, of the losses
EVALUATED, SINGLE = 1000, 200  # images at once; images one after the other
MODES = {  # the names of the rows: module, mode
    "graph mode": ("peer_steps.graph_mode", "session"),
    "graph mode, caller's thread": ("peer_steps.graph_mode", "caller"),
    "graph mode, a loop of 20 steps": ("peer_steps.graph_mode", "several"),
    "notes: feed_dict, stock operations": ("peer_steps.graph_mode", "notes"),
    "PyTorch, eager": ("peer_steps.pytorch", "eager"),
    "PyTorch, channels last": ("peer_steps.pytorch", "channels last"),
    "PyTorch, compiled": ("peer_steps.pytorch", "compiled"),
    "Keras, fit": ("peer_steps.keras_fit", "fit"),
    "Keras, train_on_batch": ("peer_steps.keras_fit", "train_on_batch"),
    "JAX, jit": ("peer_steps.jax_jit", "jit"),
}
EVALUATING = ("session", "caller", "eager", "channels last", "compiled")  # the modes that can evaluate
OURS = "graph mode"  # how those of its rows begin


class Worker:
    """A process that prepares a mode, and then calls what was prepared."""

    def __init__(self, module, mode, problem, threads, prepare="prepare"):
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        args = theirs, module, prepare, mode, problem, threads
        self._process = context.Process(target=self._work, args=args, daemon=True)
        self._process.start()
        theirs.close()
        self._receive()

    def __call__(self, *args):
        """(result, seconds) of the function that was prepared."""
        self._pipe.send(args)
        return self._receive()

    def _receive(self):
        try:
            answer = self._pipe.recv()
        except EOFError:
            sys.exit("error: a process ended by itself; is there enough memory?")
        return answer if isinstance(answer, tuple) else sys.exit(answer)

    def close(self):
        """Ends the process."""
        self._pipe.close()
        self._process.join()

    @staticmethod
    def _work(pipe, module, prepare, mode, problem, threads):
        if hasattr(os, "sched_setaffinity"):  # some take as many threads as there are cores, whatever they are told
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # start-up chatter; errors go through the pipe
        try:
            module = importlib.import_module(f"benchmarks.speed.{module}")
            function = getattr(module, prepare)(mode, problem, threads)
            pipe.send(())
            while True:
                args = pipe.recv()
                time.sleep(0.3)  # the threads of the one before wait in a loop for so long
                started = time.perf_counter()
                result = function(*args)
                pipe.send((result, time.perf_counter() - started))
        except EOFError:
            pass  # the comparison has ended
        except ModuleNotFoundError as error:
            mend = "pip install -r benchmarks/requirements.txt, or name other --modes"
            pipe.send(f"error: {sys.executable} has no module {error.name!r}; {mend}")
        except Exception:
            pipe.send(f"{traceback.format_exc()}error: see above")


def in_process(function, *args):
    """Calls a function of peer_steps.graph_mode in a process of its own: TensorFlow keeps threads and memory."""
    ignore_ctrl_c = signal.signal, (signal.SIGINT, signal.SIG_IGN)  # this process is enough to hear it
    with multiprocessing.get_context("spawn").Pool(1, *ignore_ctrl_c) as pool:
        return pool.apply(_call, (function, *args))


def _call(function, *args):
    return getattr(importlib.import_module("benchmarks.speed.peer_steps.graph_mode"), function)(*args)


def check(workers):
    """Those that train as the first one does; ends the others. Prints the losses, and who is left out."""
    losses = {name: worker(CHECKED_STEPS)[0] for name, worker in workers.items()}
    first, same, far = next(iter(losses.values())), {}, 0.0
    for name, values in losses.items():
        differences = [abs(a / b - 1) for a, b in zip(values, first, strict=True)]
        if all(difference <= TOLERANCE for difference in differences):  # not so where one is NaN
            same[name], far = workers[name], max(far, *differences)
        else:
            workers[name].close()
            mine, right = (f"{losses[0]:.4f} to {losses[-1]:.4f}" for losses in (values, first))
            print(f"  {name} is left out: it does not train the same, its losses are {mine}, not {right}")
    print(f"  losses of {CHECKED_STEPS} steps: {first[0]:.4f} to {first[-1]:.4f}, all alike to {far:.0e}", flush=True)
    return same or sys.exit("error: nothing to compare")


def take_turns(workers, problem, rounds):
    """The images a second of each one in each round: {name: [float]}. Then ends them."""
    speeds = {name: [] for name in workers}
    for _ in range(rounds):
        for name, worker in workers.items():
            speeds[name].append(problem.steps * problem.batch_size / worker(problem.steps)[1])
    for worker in workers.values():
        worker.close()
    return speeds


def compare(problem, modes, rounds, threads):
    """The images a second of each mode in each round, but those that do not train the same."""
    workers = {mode: Worker(*MODES[mode], problem, threads) for mode in modes}
    return take_turns(check(workers), problem, rounds)


def compare_evaluation(problem, modes, rounds, threads):
    """Seconds for all images in batches of EVALUATED, and for one image, of each mode in each round."""
    workers = {mode: Worker(*MODES[mode], problem, threads, "prepare_evaluation") for mode in modes}
    for size, count in ((EVALUATED, len(problem.labels)), (1, SINGLE)):  # torch.compile compiles for each size
        logits = {mode: worker(size, count)[0] for mode, worker in workers.items()}
        for mode, values in logits.items():
            if not np.allclose(values, logits[modes[0]], rtol=1e-3, atol=1e-3):
                sys.exit(f"error: {mode} and {modes[0]} do not give the same logits")
    together, single = ({mode: [] for mode in modes} for _ in range(2))
    for _ in range(rounds):
        for mode, worker in workers.items():
            together[mode].append(worker(EVALUATED, len(problem.labels))[1])
            single[mode].append(worker(1, SINGLE)[1] / SINGLE)
    for worker in workers.values():
        worker.close()
    return together, single


def show_evaluation(times, what):
    """Prints a line for each mode."""
    medians = {mode: statistics.median(values) for mode, values in times.items()}
    ours = min(median for mode, median in medians.items() if mode.startswith(OURS))
    for mode, values in times.items():
        low, high = 1000 * min(values), 1000 * max(values)
        print(
            f"  {what:14} {mode:28} {1000 * medians[mode]:10,.2f} ms ({low:,.2f} to {high:,.2f})"
            f"  {medians[mode] / ours:.2f} times ours",
            flush=True,
        )


def show(speeds, operations, peak):
    """Prints a line for each mode, and what our best, and our plain step, is of the best of each framework.

    operations: floating-point operations for an image. peak: a second.
    """
    medians = {mode: statistics.median(values) for mode, values in speeds.items()}
    ours = max(median for mode, median in medians.items() if mode.startswith(OURS))
    for mode, values in speeds.items():
        share = medians[mode] * operations / peak
        print(
            f"  {mode:34} {medians[mode]:8,.0f} images/s ({min(values):,.0f} to {max(values):,.0f})"
            f"  {share:4.0%} of the peak  ours is {ours / medians[mode]:.2f} times that"
        )
    theirs = {mode: median for mode, median in medians.items() if not mode.startswith(OURS)}
    for framework in dict.fromkeys(mode.partition(",")[0] for mode in theirs):
        best = max((mode for mode in theirs if mode.startswith(framework)), key=theirs.get)
        plain = f", {medians[OURS] / theirs[best]:.2f} by {OURS} alone" if OURS in medians else ""
        print(f"  {ours / theirs[best]:.2f} × {best}{plain}", flush=True)


def main():
    names = [name for _, name in NETWORKS]
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    positive = command_line.positive(int)
    parser.add_argument("--networks", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    add_precision(parser)
    parser.add_argument("--evaluate", action="store_true", help="compare no training, but evaluations with PyTorch's")
    modes = list(MODES)
    parser.add_argument("--modes", nargs="+", choices=modes, default=modes, metavar="MODE", help="; ".join(modes))
    parser.add_argument("--rounds", type=positive, default=5, metavar="N", help="(%(default)s)")
    parser.add_argument("--threads", type=positive, default=os.cpu_count(), metavar="N", help="of each (%(default)s)")
    command_line.add_data_dir(parser)
    args = parser.parse_args()
    if not any(mode.startswith(OURS) for mode in args.modes):
        parser.error(f"--modes: one of them must be {OURS!r}, which the others are compared with")
    args.modes = sorted(args.modes, key=modes.index)  # ours first: the others' losses are compared with its
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # the CPU, in all of them
    if args.evaluate and args.precision != "float32":
        parser.error("--evaluate compares in float32 only")
    machine, peak = in_process("machine", args.threads, args.precision)
    print(f"{machine}; {args.threads} threads, peak (matrix product) {peak / 1e9:.0f} GFLOP/s")
    for task, name in NETWORKS:
        if name in args.networks:
            print(f"\n{name}", flush=True)
            problem, multiply_adds = in_process("problem_of", task, name, args.data_dir)
            problem = problem._replace(precision=args.precision)
            if args.evaluate:
                modes = [mode for mode in args.modes if MODES[mode][1] in EVALUATING]
                together, single = compare_evaluation(problem, modes, args.rounds, args.threads)
                show_evaluation(together, f"{len(problem.labels):,} images")
                show_evaluation(single, "one image")
            else:
                speeds = compare(problem, args.modes, args.rounds, args.threads)
                show(speeds, 2 * multiply_adds / problem.batch_size, peak)


if __name__ == "__main__":
    command_line.run(main)
