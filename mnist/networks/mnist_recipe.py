"""The recipe of an MNIST network: that of both tasks, and what suits few pictures."""

import dataclasses
from dataclasses import dataclass

from common.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class MnistRecipe(Recipe):
    def for_own(self, images, size, learnt):
        """The recipe for pictures of one's own. images: how many there are to train on. size: of each, in pixels.

        learnt: whether the weights start from those of another run; else it takes twice the steps.
        """
        epochs = (1 if learnt else 2) * (20_000 + 20 * images) / images
        return dataclasses.replace(
            self, batch_size=min(64, images), epochs=epochs, warmup_steps=50, moving_average_decay=0.99, save_steps=200,
            learning_rate=self.learning_rate / 2, schedule="exponential", learning_rate_decay=0.03, decay_epochs=epochs,
            degrees=13.0, scale=0.13, shear=0.2, shift=2.6,
        )
