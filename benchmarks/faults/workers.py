"""Kills workers again and again, the chief included, and compares what is left in the end with a run left alone.

    python benchmarks/faults/workers.py                 # 20 kills of 3 workers
    python benchmarks/faults/workers.py --starts 50     # or 50 runs in a row, of a few steps, none of which may hang

By SIGKILL, one at random, at a random moment of its start or training; the last one is stopped instead (SIGSTOP), as if
its machine hung. `--workers` starts all again. The last checkpoint must have the same SHA-256, no traceback may be
printed, and after each kill all others must be gone within the time-out. On Linux.
"""

import argparse
import hashlib
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from benchmarks import runner
from common import command_line
from common.errors import UserError
from common.training import checkpoints, cluster

import psutil

NETWORK, STEPS, WORKERS = "fully_connected", 1500, 3
SETTINGS = ("batch_size=240", "save_steps=25")
MOMENTS = 20  # seconds after the start in which a kill comes


def train(folder, data_dir, steps, errors):
    command = runner.command("mnist", NETWORK, data_dir, folder, SETTINGS) + ["--steps", str(steps)]
    command += ["--workers", str(WORKERS)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=runner.ENVIRONMENT)


def checkpoint(folder):
    """SHA-256 of the values of all variables at the last step."""
    path = folder / f"checkpoints/mnist/{NETWORK}/model.ckpt-{STEPS}.data-00000-of-00001"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def kill_one(launcher, number, folder=None):
    """Waits, and kills one of the workers. Returns the seconds until all others were gone, or None.

    folder: where to see that they train; then one is stopped. At the start two minutes are given to one that hangs.
    """
    time.sleep(random.uniform(1, MOMENTS))
    if folder:
        saved = folder / f"checkpoints/mnist/{NETWORK}"
        before = checkpoints.latest(saved)
        while launcher.poll() is None and checkpoints.latest(saved) == before:
            time.sleep(0.05)
    workers = sorted(psutil.Process(launcher.pid).children(), key=lambda process: process.create_time())
    if launcher.poll() is not None or len(workers) < WORKERS:
        return None
    which = random.randrange(WORKERS)
    killed = time.perf_counter()
    workers[which].suspend() if folder else workers[which].kill()
    _, left = psutil.wait_procs([w for i, w in enumerate(workers) if i != which], timeout=cluster.TIMEOUT + 10)
    took = time.perf_counter() - killed
    who = f"worker {which}" if which else "the chief"
    print(f"{number:3}  {who} {'stopped' if folder else 'killed'}; the others ended after {took:.1f} s", flush=True)
    if left:
        raise UserError(f"{len(left)} workers still wait after {took:.0f} s")
    psutil.wait_procs(workers, timeout=20)
    return took


def kills(count, data_dir):
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as errors:
        alone, disturbed = Path(folder) / "alone", Path(folder) / "disturbed"
        if train(alone, data_dir, STEPS, errors).wait():
            raise UserError("the run that was left alone failed")
        print(f"left alone: {checkpoint(alone)[:12]}", flush=True)
        launcher, waits = train(disturbed, data_dir, STEPS, errors), []
        while len(waits) < count:
            took = kill_one(launcher, len(waits) + 1, disturbed if len(waits) == count - 1 else None)
            if took is None and launcher.poll() is not None:  # it had come to its end
                print(f"     the run had ended: {checkpoint(disturbed)[:12]}; once more from the start", flush=True)
                compare(alone, disturbed)
                disturbed = Path(folder) / f"disturbed{len(waits)}"
                launcher = train(disturbed, data_dir, STEPS, errors)
            elif took is not None:
                waits.append(took)
        status = launcher.wait(600)
        errors.seek(0)
        text = errors.read()
        if status:
            raise UserError(f"the run that was disturbed ended with status {status}: {text[-1000:]}")
        compare(alone, disturbed)
        if "Traceback" in text:
            raise UserError(f"a traceback was printed: {text}")
    print(f"{count} kills, the same checkpoint; the others waited {max(waits):.1f} s at most")


def compare(alone, disturbed):
    if checkpoint(alone) != checkpoint(disturbed):
        raise UserError("the checkpoints differ")


def starts(count, data_dir):
    seconds = []
    for i in range(count):
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as errors:
            started = time.perf_counter()
            status = train(Path(folder), data_dir, 5, errors).wait(120)
            seconds.append(time.perf_counter() - started)
            if status:
                errors.seek(0)
                raise UserError(f"run {i + 1} ended with status {status}: {errors.read()}")
    print(f"{count} runs, none hung; {min(seconds):.1f} to {max(seconds):.1f} s each")


def main():
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    whole = command_line.positive(int)
    parser.add_argument("--kills", type=whole, default=20, metavar="N", help="(%(default)s)")
    parser.add_argument("--starts", type=whole, metavar="N", help="instead: so many runs in a row")
    parser.add_argument("--seed", type=whole, default=1, metavar="N", help="of the moments (%(default)s)")
    command_line.add_data_dir(parser)
    args = parser.parse_args()
    random.seed(args.seed)
    print(runner.machine(), *runner.commit_and_date(), sep="; ", flush=True)
    if args.starts:
        starts(args.starts, args.data_dir)
    else:
        kills(args.kills, args.data_dir)


if __name__ == "__main__":
    command_line.run(main)
