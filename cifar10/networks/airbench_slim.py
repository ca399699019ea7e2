"""airbench with fewer channels in its second block, which is where its time goes.

1,529,890 parameters. The default.
"""

from cifar10.networks import airbench
from cifar10.networks.recipe import Recipe

RECIPE = Recipe(
    batch_size=256, epochs=10.0, learning_rate=1.0, learning_rate_decay=0.68, warmup_steps=100, regularizer=5e-4,
    label_smoothing=0.2, bias_scale=16.0, padding=2, mirror=1, cutout=8, moving_average_decay=0.998, save_steps=200,
)
initial = airbench.initial


def network(x, train, regularizer, whitening=None):
    return airbench.network(x, train, regularizer, (64, 192, 256), whitening)
