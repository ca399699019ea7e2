"""Trains every network for a while, exports it in all forms, and says what each form of fewer bits loses.

    python benchmarks/accuracy/exports.py
    python benchmarks/accuracy/exports.py --networks convnet airbench_slim --steps 1000

Prints a table: the test accuracy of the session; the largest difference of a probability in the forms of float32, which
export.py keeps below 0.00001; how many points of accuracy float16 and int8 lose, and how many answers are others.
"""

import argparse
import importlib
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from benchmarks import runner
from common import command_line
from common.app import exported, forms
from common.data import datasets


def measure(task, network, steps, data_dir):
    """The exported.Export of a network after so many steps."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        runner.run([*runner.command(task, network, data_dir, folder), "--steps", str(steps)])
        words = [sys.executable, ROOT / task / "export.py", "--checkpoint-dir", folder / "checkpoints"]
        words += ["--data-dir", data_dir, "--output-dir", folder / "export"]
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, env=runner.ENVIRONMENT)
        if done.returncode:
            print(f"{network}: {done.stdout}{done.stderr}", file=sys.stderr)
        return exported.read(folder / "export")


def main():
    names = {n: task for task in datasets.FAMILIES for n in importlib.import_module(f"{task}.forward").NETWORKS}
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=names, default=list(names), metavar="NAME")
    parser.add_argument("--steps", type=command_line.positive(int), default=300, metavar="N", help="(%(default)s)")
    command_line.add_data_dir(parser)
    args = parser.parse_args()
    print(f"{runner.machine()}; {args.steps} steps; commit {', '.join(runner.commit_and_date())}\n")
    print("| | test accuracy | float32 forms | float16 loses | int8 loses | other answers of int8 |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    for name in args.networks:
        export = measure(names[name], name, args.steps, args.data_dir)
        exact = [check.difference for file, check in export.forms.items() if file not in forms.ROUNDED]
        rounded = [export.forms[f"model-{kind}.tflite"] for kind in ("float16", "int8")]
        lost = [f"{100 * (export.accuracy - check.accuracy):.2f}" for check in rounded]
        told = f"{len(exact)} within {max(exact):.0e}"
        other = f"{1 - rounded[1].same:.2%}"
        print(f"| `{name}` | {export.accuracy:.2%} | {told} | {lost[0]} | {lost[1]} | {other} |", flush=True)


if __name__ == "__main__":
    command_line.run(main)
