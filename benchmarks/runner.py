"""What the benchmarks of training share: a run, its log, and the machine that it ran on."""

import math
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common.graph import device

import tensorflow.compat.v1 as tf

ROOT = Path(__file__).resolve().parents[1]
CPU = device.resolve("cpu")
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}  # `common` set it: errors only


def command(task, network, data_dir, folder, settings=(), seed=1, precision="float32", dataset=None):
    """The command line of TASK/backward.py for a run on the CPU in `folder`.

    settings: for --set. dataset: its name, the task's own unless told.
    """
    words = [sys.executable, ROOT / task / "backward.py", "--network", network, "--dataset", dataset or task]
    words += ["--device", "cpu"]
    words += ["--seed", str(seed), "--precision", precision, "--data-dir", data_dir]
    words += ["--checkpoint-dir", folder / "checkpoints", "--log-dir", folder / "logs"]
    return words + (["--set", *settings] if settings else [])


def run(command, limit=math.inf, watch=lambda: None):
    """Trains to the end, or stops it after `limit` seconds; calls watch() now and then, and at the end.

    Returns its peak memory in GiB. Exits with the trainer's errors if it fails. On Linux.
    """
    started, expected = time.time(), 0
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=ENVIRONMENT)
        try:
            while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:  # wait4, as it tells of the memory
                watch()
                if time.time() - started > limit and not expected:
                    os.kill(process.pid, signal.SIGTERM)  # process.send_signal would wait for it, if it has ended
                    expected = 128 + signal.SIGTERM
                time.sleep(0.2)
        except BaseException:
            process.kill()
            raise
        watch()
        _, status, usage = ended
        if os.waitstatus_to_exitcode(status) not in (0, expected):
            errors.seek(0)
            sys.exit(errors.read().strip() or f"error: {' '.join(map(str, command))} ended by itself")
    return usage.ru_maxrss / 2**20


def scalars(log_dir, tag):
    """[(step, value, time.time() when it was written)] of a curve in TensorBoard's log."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(log_dir), {"scalars": 0}).Reload()
    return [(event.step, event.value, event.wall_time) for event in log.Scalars(tag)]


def first_step(log_dir):
    """When the first step had ended, as time.time()."""
    return scalars(log_dir, "loss/total")[0][2]


def machine():
    """One line for beside the figures."""
    versions = f"Python {platform.python_version()}, TensorFlow {tf.__version__}"
    return f"{os.cpu_count()} cores of {_processor()}, {platform.system()}, {versions}"


def _processor():
    """Its name, and what it has for arithmetic: processors of one name differ in that."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.machine()
    entries = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = entries.get("flags", "").split()
    names = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512 with bfloat16", "avx512f": "AVX-512", "avx2": "AVX2"}
    best = next((name for flag, name in names.items() if flag in flags), platform.machine())
    return f"{entries.get('model name', 'a CPU')} ({best})"


def commit_and_date():
    """(commit, date) that a figure is of: "-changed" behind the commit where the work tree differs from it."""
    git = ["git", "-C", str(ROOT)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True).stdout.strip()
    return commit + ("-changed" if changed else ""), time.strftime("%Y-%m-%d")
