"""What all frameworks train: the networks layer by layer, as in mnist/networks and cifar10/networks, but no dropout."""

from typing import NamedTuple

import numpy as np

MOMENTUM = 0.9
DECAY, EPSILON = 0.9, 1e-3  # of batch normalisation


class Problem(NamedTuple):
    """weights: initial values by name. images: float32 [n, height, width, channels]. labels: int32 [n]."""

    layers: tuple
    weights: dict
    images: np.ndarray
    labels: np.ndarray
    task: str
    name: str  # of the network
    batch_size: int
    steps: int  # of a round
    learning_rate: float
    precision: str = "float32"  # or bfloat16: of what layers give; weights and the loss stay float32

    def batch(self, step):
        """The images of a step, counted from 0: a slice."""
        start = step * self.batch_size % (len(self.labels) - self.batch_size + 1)
        return slice(start, start + self.batch_size)


def conv(name, kernel=3, bias=False, padding="SAME"):
    return ("conv", name, kernel, bias, padding)


def block(name):
    """As in airbench."""
    return (
        conv(f"{name}/conv1"), ("pool", "VALID"), ("norm", f"{name}/norm1"), ("gelu",),
        conv(f"{name}/conv2"), ("norm", f"{name}/norm2"), ("gelu",),
    )  # fmt: skip


def stage(name):
    """As in convnet."""
    return (
        conv(f"{name}/conv1"), ("norm", f"{name}/norm1"), ("relu",),
        conv(f"{name}/conv2"), ("pool", "SAME"), ("norm", f"{name}/norm2"), ("relu",),
    )  # fmt: skip


AIRBENCH = (
    ("whiten", "whiten"), ("gelu",), *block("block1"), *block("block2"), *block("block3"), ("max",),
    ("dense", "logits"), ("divide", 8.0),
)  # fmt: skip
LENET5 = (
    conv("conv1", 5, bias=True), ("relu",), ("pool", "SAME"), conv("conv2", 5, bias=True), ("relu",), ("pool", "SAME"),
    ("flatten",), ("dense", "hidden"), ("relu",), ("dense", "logits"),
)  # fmt: skip
CONVNET = (*stage("stage1"), *stage("stage2"), *stage("stage3"), ("flatten",), ("dense", "logits"))
FULLY_CONNECTED = (("flatten",), ("dense", "hidden"), ("relu",), ("dense", "logits"))
NETWORKS = {  # (task, name in its forward.py): layers; batch size, as in their recipes; steps of a round; learning rate
    ("mnist", "fully_connected"): (FULLY_CONNECTED, 200, 600, 0.01),
    ("mnist", "lenet5"): (LENET5, 100, 60, 0.0005),
    ("mnist", "convnet"): (CONVNET, 256, 40, 0.002),
    ("cifar10", "airbench_slim"): (AIRBENCH, 256, 20, 0.05),
    ("cifar10", "airbench"): (AIRBENCH, 256, 20, 0.05),
}
