"""Looks for bytes that crash, hang or bloat what reads the files and requests of others, and does not refuse them.

    python benchmarks/faults/fuzz.py

Each target of targets.py runs in a process of its own, under atheris: that changes valid contents, and keeps what
reaches new lines. Prints how many were tried, accepted and refused, and each failure with the bytes that make it again.
The exit status is 1 if there was one.
"""

import argparse
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from benchmarks import runner
from common import command_line
from common.errors import UserError

import numpy as np

SLOWEST = 10  # seconds for a content, with other work beside
MEMORY = 2500  # MB for the process, of which TensorFlow takes 600
LONGEST = 100_000  # bytes of a content: those of the seeds have 41,000 at most


def fuzz(name, seconds, folder):
    """Runs a target until its time ends, or it crashes, and ends this process."""
    import atheris

    with atheris.instrument_imports(include=["common", "mnist", "cifar10"]):
        from benchmarks.faults import targets

    target = next(target for target in targets.TARGETS if target.__name__ == name)
    for place in ("files", "seeds", "failures"):
        (folder / place).mkdir()
    seeds, read = target(folder / "files")
    for number, seed in enumerate(seeds):
        targets.accepts(read, seed)  # what is imported or made at first takes its time
        (folder / "seeds" / str(number)).write_bytes(seed)
    tokens = ("".join(f"\\x{byte:02x}" for byte in token) for token in targets.TOKENS)
    (folder / "tokens").write_text("".join(f'"{token}"\n' for token in tokens))
    counts = np.memmap(folder / "counts", np.int64, "w+", shape=3)  # a file, as a process that crashes tells nothing
    seen = set()

    def one(content):
        try:
            counts[int(targets.accepts(read, content))] += 1
        except Exception as error:
            counts[2] += 1
            place = type(error), traceback.extract_tb(error.__traceback__)[-1][:2]
            if place not in seen:  # go on: there may be others
                seen.add(place)
                (folder / "failures" / f"failed-{len(seen)}").write_bytes(content)
                traceback.print_exc()

    flags = {"max_total_time": seconds, "timeout": SLOWEST, "rss_limit_mb": MEMORY, "max_len": LONGEST, "seed": 1}
    flags |= {"dict": folder / "tokens", "artifact_prefix": f"{folder / 'failures'}/", "verbosity": 0}
    atheris.Setup([__file__, *(f"-{flag}={value}" for flag, value in flags.items()), str(folder / "seeds")], one)
    atheris.Fuzz()


def main():
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    positive = command_line.positive(int)
    parser.add_argument("--seconds", type=positive, default=105, metavar="N", help="for each target (%(default)s)")
    parser.add_argument("--only", nargs="+", metavar="TARGET", help="such as idx")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)  # of the process that runs one target
    args = parser.parse_args()
    if args.folder:
        fuzz(*args.only, args.seconds, args.folder)
    from benchmarks.faults import targets

    names = [target.__name__ for target in targets.TARGETS]
    if unknown := set(args.only or ()) - set(names):
        raise UserError(f"no target {', '.join(unknown)}; there are {', '.join(names)}")
    print(f"{runner.machine()}; commit {', '.join(runner.commit_and_date())}")
    failed = False
    for name in args.only or names:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            words = [sys.executable, __file__, "--only", name, "--seconds", str(args.seconds), "--folder", folder]
            done = subprocess.run(words, capture_output=True, text=True, errors="replace", env=runner.ENVIRONMENT)
            refused, accepted, failing = np.fromfile(folder / "counts", np.int64)
            print(f"{name}: {accepted:,} accepted, {refused:,} refused, {failing:,} failed", flush=True)
            failures = [path.read_bytes() for path in folder.glob("failures/*")]
            for content in failures:
                print(f"{name} fails on {content!r}")
            if done.returncode or failures:
                lines = [line for line in done.stderr.splitlines() if not line.startswith(("INFO", "WARNING"))]
                print("\n".join(lines), flush=True)
                failed = True
    return int(failed)


if __name__ == "__main__":
    command_line.run(main)
