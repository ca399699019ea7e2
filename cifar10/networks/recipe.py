"""The recipe of a CIFAR-10 network: what both tasks have, and how the images are distorted."""

from dataclasses import dataclass

from common import training
from common.command_line import entry


@dataclass(frozen=True, kw_only=True)
class Recipe(training.Recipe):
    bias_scale: float = 1.0  # factor on the learning rate of the batch-norm offsets
    padding: int = entry(least=0, below=32, default=0)  # augmentation: largest move along an axis, pixels
    mirror: int = entry(least=0, below=2, default=0)  # 1: half of the images are mirrored
    cutout: int = entry(least=0, default=0)  # side of the square that is painted over, pixels
    brightness: float = 0.0  # largest change either way, pixel values
    contrast: float = 0.0  # 0.8: the contrast is multiplied by 0.2 to 1.8
