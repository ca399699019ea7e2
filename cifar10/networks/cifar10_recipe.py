"""The recipe of a CIFAR-10 network: what it has besides that of both tasks, and what suits few pictures."""

import dataclasses
from dataclasses import dataclass

from common.errors import UserError
from common.graph.augmentation import EDGES
from common.training.recipe import Recipe, choice, number, whole


@dataclass(frozen=True, kw_only=True)
class Cifar10Recipe(Recipe):
    bias_scale: number("factor on the learning rate of the batch-norm offsets") = 1.0
    padding: whole("augmentation: largest move along an axis, pixels", least=0, below=32) = 0
    cutout: whole("augmentation: side of the square that is painted over, pixels", least=0) = 0
    color: number("augmentation: 0.4 multiplies each channel by 0.6 to 1.4", below=1) = 0.0
    edges: choice("what comes in where it is turned or moved: black, or the image mirrored", EDGES) = "mirrored"

    def __post_init__(self):
        if self.bias_scale != 1 and self.optimizer not in ("sgd", "momentum", "nesterov"):
            raise UserError(f"{self.optimizer} takes no notice of the scale of gradients: --set bias_scale=1 with it")

    def for_own(self, images, size, learnt):
        """The recipe for pictures of one's own. images: how many there are to train on. size: of each, in pixels.

        learnt: whether the weights start from those of another run; else it takes twice the steps.
        """
        epochs = (1 if learnt else 2) * (12_000 + 14 * images) / images
        return dataclasses.replace(
            self, batch_size=min(64, images), epochs=epochs, warmup_steps=50, moving_average_decay=0.99, save_steps=200,
            learning_rate=self.learning_rate / 2, schedule="exponential", learning_rate_decay=0.03, decay_epochs=epochs,
            degrees=10.0, scale=0.2, shift=0.1 * size, padding=0, mirror=1, cutout=size // 4,
            brightness=20.0, contrast=0.2, color=0.4,
        )
