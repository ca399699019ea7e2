"""What the benchmarks of training share: the command of a run, its log, and the machine that it ran on."""

import os
import platform
import sys
from pathlib import Path

from common import device

import tensorflow.compat.v1 as tf

ROOT = Path(__file__).resolve().parents[1]
CPU = device.resolve("cpu")
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}  # `common` set it: errors only


def command(task, network, data_dir, folder, settings=(), seed=1, precision="float32"):
    """The command line of TASK/backward.py for a run on the CPU in `folder`. settings: for --set."""
    words = [sys.executable, ROOT / task / "backward.py", "--network", network, "--dataset", task, "--device", "cpu"]
    words += ["--seed", str(seed), "--precision", precision, "--data-dir", data_dir]
    words += ["--checkpoint-dir", folder / "checkpoints", "--log-dir", folder / "logs"]
    return words + (["--set", *settings] if settings else [])


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
    cores = f"{os.cpu_count()} cores, Python {platform.python_version()}, TensorFlow {tf.__version__}"
    return f"{platform.system()} on {platform.machine()}, {cores}"
