"""Kills a trainer again and again, and compares what it leaves in the end with a run that was left alone.

    python benchmarks/faults/kills.py                          # convnet, 20 times
    python benchmarks/faults/kills.py cifar10 airbench_slim

By SIGKILL, at each of MOMENTS in turn: at random, or when a file appears that a save is writing or has written. Then
the last checkpoint (weights, averages, the optimiser's slots) must have the same SHA-256, TensorBoard must show the
same steps with the same values, no start may print a traceback, and no half-written file may be left. On Linux.
"""

import argparse
import hashlib
import logging
import random
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

MOMENTS = {  # what to wait for, after the first save of a start, and before the kill
    "at random": None,
    "a checkpoint's weights are written": r"\.data-.*\.tempstate\d+$",
    "their index is written": r"\.index\.tempstate\d+$",
    "the index is there": r"\.index$",
    "the state file is written": r"^checkpoint\.tmp",
    "run.json is written": r"^run\.json\.part$",
}
PARTS = re.compile(r"tempstate|^checkpoint\.tmp|\.part$")


def killed(command, folder, moment, wait):
    """Starts the trainer and kills it: `wait` seconds after its first save, or then at the moment. Returns its errors.

    folder: of its checkpoints. None instead of errors if it ended before.
    """
    before = names(folder)
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=runner.ENVIRONMENT)
        try:
            look_out(process, folder, before, r"\.index$")
            before = names(folder)
            if MOMENTS[moment]:
                look_out(process, folder, before, MOMENTS[moment])
            else:
                time.sleep(wait)
        finally:
            process.kill()
        ended = process.wait() >= 0
        errors.seek(0)
        return None if ended else errors.read()


def look_out(process, folder, before, pattern):
    """Waits until a file of that name comes to the folder, or the process has ended."""
    while process.poll() is None and not any(re.search(pattern, name) for name in names(folder) - before):
        time.sleep(0.0002)  # a save takes some milliseconds


def names(folder):
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def half_written(folder):
    return sorted(name for name in names(folder) if PARTS.search(name))


def checkpoint(folder, step):
    """SHA-256 of the values of all variables at a step."""
    return hashlib.sha256((folder / f"model.ckpt-{step}.data-00000-of-00001").read_bytes()).hexdigest()


def curves(log_dir):
    """What TensorBoard shows but for the speed: {tag: [(step, value)]}."""
    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it tells of each restart in the log
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(log_dir), {"scalars": 0}).Reload()
    tags = [tag for tag in log.Tags()["scalars"] if tag != "images_per_second"]
    return {tag: [(event.step, event.value) for event in log.Scalars(tag)] for tag in tags}


def main():
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", choices=["mnist", "cifar10"], default="mnist", help="%(default)s")
    parser.add_argument("network", nargs="?", default="convnet", help="%(default)s")
    parser.add_argument("--kills", type=command_line.positive(int), default=20, metavar="N", help="%(default)s")
    parser.add_argument("--save-steps", type=command_line.positive(int), default=10, metavar="N", help="%(default)s")
    command_line.add_data_dir(parser)
    args = parser.parse_args()
    chance = random.Random(1)
    print(runner.machine(), flush=True)
    steps = (2 * args.kills + 4) * args.save_steps  # each start saves at most twice before it is killed
    with tempfile.TemporaryDirectory() as place:
        settings = [f"save_steps={args.save_steps}"]
        commands, folders, logs = [], [], []
        for name in ("left alone", "killed"):
            words = runner.command(args.task, args.network, args.data_dir, Path(place, name), settings)
            commands.append([*words, "--steps", str(steps)])
            folders.append(Path(place, name, "checkpoints", args.task, args.network))
            logs.append(Path(place, name, "logs", args.task, args.network, "train"))
        runner.run(commands[0])
        faults, done = [], 0
        while done < args.kills:
            moment = [*MOMENTS][done % len(MOMENTS)]
            errors = killed(commands[1], folders[1], moment, chance.uniform(0, 1))
            if errors is None:
                raise UserError(f"the run ended after {done} kills; give a larger --save-steps")
            done += 1
            print(f"{done:3}  {moment:36} {', '.join(half_written(folders[1])) or '–'}", flush=True)
            faults += [f"after kill {done}: {errors.strip()}"] if "Traceback" in errors else []
        runner.run(commands[1])
        left = half_written(folders[1])
        one, other = (curves(log) for log in logs)
        digests = [checkpoint(folder, steps) for folder in folders]
        faults += [f"left: {', '.join(left)}"] if left else []
        differing = [tag for tag in one.keys() | other.keys() if one.get(tag) != other.get(tag)]
        faults += [f"{', '.join(sorted(differing))}: not the same in TensorBoard"] if differing else []
        faults += ["the last checkpoints differ"] if digests[0] != digests[1] else []
    print(f"{args.network}, {steps} steps, killed {done} times: SHA-256 {' and '.join(d[:12] for d in digests)}")
    print(f"{len(one)} curves, {sum(map(len, one.values()))} points: {'; '.join(faults) or 'all the same'}")
    return 1 if faults else 0


if __name__ == "__main__":
    command_line.run(main)
