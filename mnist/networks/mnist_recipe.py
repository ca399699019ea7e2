"""What the recipe of an MNIST network has besides that of both tasks: how the digits are distorted."""

from dataclasses import dataclass

from common.training.recipe import Recipe, number


@dataclass(frozen=True, kw_only=True)
class MnistRecipe(Recipe):
    degrees: number("augmentation: largest turn either way, degrees") = 0.0
    scale: number("augmentation: largest change of height and of width, a share") = 0.0
    shear: number("augmentation: largest slant, pixels per row") = 0.0
    shift: number("augmentation: largest move, pixels") = 0.0
