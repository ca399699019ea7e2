"""The recipe of a CIFAR-10 network: what both tasks have, and how the images are distorted."""

from dataclasses import dataclass

from common import recipe
from common.command_line import UserError, entry


@dataclass(frozen=True, kw_only=True)
class Recipe(recipe.Recipe):
    bias_scale: float = 1.0  # factor on the learning rate of the batch-norm offsets
    padding: int = entry(least=0, below=32, default=0)  # augmentation: largest move along an axis, pixels
    mirror: int = entry(least=0, below=2, default=0)  # 1: half of the images are mirrored
    cutout: int = entry(least=0, default=0)  # side of the square that is painted over, pixels
    brightness: float = 0.0  # largest change either way, pixel values
    contrast: float = entry(below=1, default=0.0)  # 0.8: the contrast is multiplied by 0.2 to 1.8

    def __post_init__(self):
        if self.bias_scale != 1 and self.optimizer not in ("sgd", "momentum", "nesterov"):
            raise UserError(f"{self.optimizer} takes no notice of the scale of gradients: --set bias_scale=1 with it")
