"""Shows that what is said to be saved is on the disk, and what that costs. Needs strace, on Linux.

    python benchmarks/faults/power.py

Trains a network of each task for some steps under strace. Prints in which order the last save renamed and synced its
files, and how long the trainer waited for the disk in all.
"""

import argparse
import re
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

CALLS = re.compile(r"^([\d.]+) (fsync|rename|write)\((.*)\) = \d+ <([\d.]+)>$", re.MULTILINE)
PARTS = ("data-", ".index", "checkpoint")  # of the names of what is saved
PRINTED = "printed: checkpoint …"
RUNS = {"mnist": ("convnet", 400), "cifar10": ("airbench_slim", 100)}  # network and steps


def traced(task, network, steps, data_dir, folder):
    """[(system call, its arguments, seconds)] of a run that saves twice, and the seconds of all."""
    words = [*runner.command(task, network, data_dir, folder, [f"save_steps={steps // 2}"]), "--steps", steps]
    # A file for each thread, as calls of several at once would be cut into two lines.
    strace = ["strace", "-ff", "-ttt", "-T", "-y", "-e", "trace=fsync,rename,write", "-o", folder / "trace"]
    begun = time.perf_counter()
    subprocess.run(list(map(str, [*strace, *words])), check=True, capture_output=True, env=runner.ENVIRONMENT)
    calls = sorted(call for trace in folder.glob("trace.*") for call in CALLS.findall(trace.read_text()))
    return [(name, what, float(seconds)) for _, name, what, seconds in calls], time.perf_counter() - begun


def told(name, what):
    """A call as people read it, or None where it is not about what is saved."""
    if name == "write":
        return PRINTED if what.startswith("1<") and '"checkpoint  ' in what else None
    paths = re.findall(r'[<"]([^>"]*)[>"]', what)
    if not any("/checkpoints/" in path for path in paths):
        return None
    names = [re.sub("(tempstate|tmp)[0-9a-f]+", r"\1…", Path(path).name) for path in paths]
    return f"{name:6}  {' to '.join(names)}"


def main():
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command_line.add_data_dir(parser)
    args = parser.parse_args()
    print(runner.machine(), flush=True)
    for task, (network, steps) in RUNS.items():
        with tempfile.TemporaryDirectory() as place:
            calls, seconds = traced(task, network, steps, args.data_dir, Path(place))
        lines = [line for name, what, _ in calls if (line := told(name, what))]
        first = max(i for i, line in enumerate(lines) if line.startswith("rename") and "data-" in line)
        waited = [duration for name, _, duration in calls if name == "fsync"]
        took = f"{sum(waited):.3f} s, {max(waited):.3f} s at most"
        print(f"{network}, {steps} steps, 2 saves: {seconds:.0f} s; {len(waited)} syncs took {took}")
        print("\n".join(f"  {line}" for line in lines[first:]))
        saved = lines[first : lines.index(PRINTED)]
        if lacks := [part for part in PARTS if not any(line.startswith("fsync") and part in line for line in saved)]:
            raise UserError(f"{network}: {', '.join(lacks)} was not synced before the trainer said that it is saved")


if __name__ == "__main__":
    command_line.run(main)
