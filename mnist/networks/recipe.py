"""The recipe of an MNIST network: what both tasks have, and how the digits are distorted."""

from dataclasses import dataclass

from common import recipe


@dataclass(frozen=True, kw_only=True)
class Recipe(recipe.Recipe):
    degrees: float = 0.0  # augmentation: largest turn either way
    scale: float = 0.0  # largest change of height and of width
    shear: float = 0.0  # largest slant, pixels per row
    shift: float = 0.0  # largest move, pixels
