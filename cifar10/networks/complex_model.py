"""A 7×7 convolution of 32 channels with ReLU and batch normalisation, pooling, and 1,024 units.

5,553,866 parameters. RMSProp, one epoch. Headline of the notes: 53.8 % on validation images.

    python cifar10/backward.py --network complex    # 59.70 % of the test images (JPEG copy) after 38 s

(benchmarks/accuracy/reproduce.py: one run, two Zen 4 cores.)
"""

from cifar10.networks.cifar10_recipe import Cifar10Recipe
from common.graph import layers

SMALLEST = 7  # pixels, both ways: the kernel's
RECIPE = Cifar10Recipe(
    batch_size=64, epochs=1.0, optimizer="rmsprop", learning_rate=1e-3, moving_average_decay=0.99, save_steps=350
)


def network(x, train, regularizer, classes):
    x = layers.relu(layers.conv2d(x, 32, 7, regularizer, "conv", padding="VALID"))
    x = layers.max_pool(layers.batch_norm(x, train, "norm"))
    x = layers.relu(layers.dense(layers.flatten(x), 1024, regularizer, "hidden"))
    return layers.dense(x, classes, regularizer, "logits")
