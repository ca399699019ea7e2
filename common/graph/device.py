"""Where a graph runs: the name that a user gives, the session that goes with it, and its precision."""

from common.errors import UserError

import tensorflow.compat.v1 as tf

PRECISIONS = {  # name: the kind of device, and Grappler's option that lets convolutions and products compute in it
    "float32": ("", None),  # any device
    "bfloat16": ("CPU", "auto_mixed_precision_onednn_bfloat16"),
    "float16": ("GPU", "auto_mixed_precision"),
}


def resolve(name):
    """Turns auto, cpu, gpu or a TensorFlow name such as /device:GPU:1 into the name of a device that is there.

    auto is the first GPU, or the CPU where there is none. Does not touch a GPU's memory.
    Raises UserError, which lists the devices there are, for any other.
    """
    gpus = [f"/device:GPU:{i}" for i in range(len(tf.config.list_physical_devices("GPU")))]
    available = ["/device:CPU:0", *gpus]
    aliases = {"auto": (gpus or available)[0], "cpu": "/device:CPU:0", "gpu": "/device:GPU:0"}
    device = aliases.get(name.lower(), name)
    if device not in available:
        raise UserError(f"no device {name!r} on this machine; there is: {', '.join(available)}")
    return device


def session_config(device, precision="float32"):
    """ConfigProto for a graph on `device`: GPU memory grows on demand, so that trainer and tester share one card.

    precision: of PRECISIONS. The variables stay float32, and so does what would lose by less, such as sums.
    """
    config = tf.ConfigProto(allow_soft_placement=True)  # an operation without a GPU kernel runs on the CPU
    config.gpu_options.allow_growth = True
    if "CPU" in device:
        config.device_count["GPU"] = 0
    if option := PRECISIONS[precision][1]:
        setattr(config.graph_options.rewrite_options, option, 1)  # RewriterConfig.ON
    return config


def check_precision(precision, device):
    """Raises UserError if a device does not compute in that precision."""
    kind, _ = PRECISIONS[precision]
    if kind not in device:
        raise UserError(f"--precision {precision} needs a {kind}, and this would run on {device}")
