"""A 7×7 convolution of 32 channels with stride 2, and a fully connected layer 5408-10.

58,826 parameters. Hinge loss and Adam, one epoch. Headline of the notes: 37 % on validation images.

    python cifar10/backward.py --network simple    # 50.26 % of the test images (JPEG copy) after 3 s

(benchmarks/accuracy/reproduce.py: one run, two Zen 4 cores.)
"""

from cifar10.networks.cifar10_recipe import Cifar10Recipe
from common.graph import layers

SMALLEST = 7  # pixels, both ways: the kernel's
RECIPE = Cifar10Recipe(
    batch_size=64, epochs=1.0, loss="hinge", optimizer="adam", learning_rate=5e-4, moving_average_decay=0.99,
    save_steps=350,
)


def network(x, train, regularizer, classes):
    x = layers.relu(layers.conv2d(x, 32, 7, regularizer, "conv", stride=2, padding="VALID"))
    return layers.dense(layers.flatten(x), classes, regularizer, "logits")
