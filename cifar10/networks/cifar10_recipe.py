"""What the recipe of a CIFAR-10 network has besides that of both tasks: how the images are distorted."""

from dataclasses import dataclass

from common.errors import UserError
from common.training.recipe import Recipe, number, whole


@dataclass(frozen=True, kw_only=True)
class Cifar10Recipe(Recipe):
    bias_scale: number("factor on the learning rate of the batch-norm offsets") = 1.0
    padding: whole("augmentation: largest move along an axis, pixels", least=0, below=32) = 0
    mirror: whole("augmentation: 1 mirrors half of the images", least=0, below=2) = 0
    cutout: whole("augmentation: side of the square that is painted over, pixels", least=0) = 0
    brightness: number("augmentation: largest change either way, pixel values") = 0.0
    contrast: number("augmentation: 0.8 multiplies the contrast by 0.2 to 1.8", below=1) = 0.0

    def __post_init__(self):
        if self.bias_scale != 1 and self.optimizer not in ("sgd", "momentum", "nesterov"):
            raise UserError(f"{self.optimizer} takes no notice of the scale of gradients: --set bias_scale=1 with it")
