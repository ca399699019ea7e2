"""The recipe of an MNIST network: that of both tasks, and what suits few pictures."""

import dataclasses
from dataclasses import dataclass

from common.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class MnistRecipe(Recipe):
    def for_own(self, images):
        """The recipe for pictures of one's own. images: how many there are to train on."""
        return dataclasses.replace(self, batch_size=min(64, images), epochs=10.0)
