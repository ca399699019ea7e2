"""Where a graph runs: the name that a user gives, the session that goes with it, and its precision."""

import os
import re
import sys
from pathlib import Path

from common.errors import UserError

import tensorflow.compat.v1 as tf

PRECISIONS = {"float32": "", "bfloat16": "CPU", "float16": "GPU"}  # type of the activations: kind of device


def resolve(name, cpus=1):
    """Turns auto, cpu, gpu, gpu:1 or a TensorFlow name such as /device:GPU:1 into the name of a device that is there.

    auto is the first GPU, or the CPU where there is none. cpus: as how many devices the CPU counts. Does not touch a
    GPU's memory. Raises UserError, which lists the devices there are, for any other.
    """
    gpus = [f"/device:GPU:{i}" for i in range(len(tf.config.list_physical_devices("GPU")))]
    available = [*(f"/device:CPU:{i}" for i in range(cpus)), *gpus]
    aliases = {"auto": (gpus or available)[0], "cpu": "/device:CPU:0", "gpu": "/device:GPU:0"}
    device = aliases.get(name.lower(), re.sub(r"(?i)^(cpu|gpu)(?=:)", lambda kind: f"/device:{kind[0].upper()}", name))
    if device not in available:
        raise UserError(f"no device {name!r} on this machine; there is: {', '.join(available)}")
    return device


def resolve_all(names):
    """Turns what --device of a trainer takes into the names of its devices: one name, several with commas, or "gpus".

    The CPU may be taken as several devices, cpu:0,cpu:1: that is to try towers, not to be faster. Raises what resolve()
    raises.
    """
    if names.lower() == "gpus":
        names = ",".join(f"gpu:{i}" for i in range(len(tf.config.list_physical_devices("GPU")))) or "gpu"
    each = names.split(",")
    devices = tuple(resolve(name.strip(), cpus=sum("cpu" in name.lower() for name in each) or 1) for name in each)
    if len(set(devices)) < len(devices):
        raise UserError(f"--device {names} names a device twice")
    return devices


def session_config(devices):
    """ConfigProto for a graph on these devices: GPU memory grows on demand, so that trainer and tester share one card.

    devices: their names.
    """
    config = tf.ConfigProto(allow_soft_placement=True)  # an operation without a GPU kernel runs on the CPU
    config.gpu_options.allow_growth = True
    config.graph_options.rewrite_options.meta_optimizer_iterations = 1  # Grappler's second pass only delays the start
    if all("CPU" in device for device in devices):
        config.device_count["GPU"] = 0
        config.device_count["CPU"] = len(devices)
    return config


def default_precision(devices):
    """bfloat16 where all devices are a CPU that trains faster in it, else float32.

    Those are CPUs with AMX, and AMD's with AVX-512's instructions for bfloat16: Zen 4 and later. Intel's with these
    alone are slower (docs/performance.md). Also float32 where the environment takes oneDNN or instructions away.
    """
    words = cpu_words()
    fast = "amx_bf16" in words or {"avx512_bf16", "AuthenticAMD"} <= words
    limited = os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0" or "ONEDNN_MAX_CPU_ISA" in os.environ
    return "bfloat16" if fast and not limited and all("CPU" in device for device in devices) else "float32"


def check_precision(precision, devices):
    """Raises UserError if one of the devices does not compute in that precision. Warns where the CPU is slow in it."""
    kind = PRECISIONS[precision]
    for device in devices:
        if kind not in device:
            raise UserError(
                f"{precision} needs a {kind}, and this would run on {device}; choose another --device, or another "
                "--precision in a new folder"
            )
    words = cpu_words()
    if precision == "bfloat16" and words and not words & {"avx512_bf16", "amx_bf16", "bf16"}:  # the last one of ARM
        print("warning: this CPU has no instructions for bfloat16; float32 is faster on it", file=sys.stderr)


def cpu_words():
    """The words in which Linux describes the CPU, such as its maker and instructions: a set, empty elsewhere."""
    told = Path("/proc/cpuinfo")
    return {*told.read_text().split()} if told.exists() else set()
