"""3072-4000-10 with ReLU.

12,332,010 parameters. Plain gradient descent, one epoch. Headline of the notes: 43 to 45 % on validation images.

    python cifar10/backward.py --network two_layer_fc    # 46.46 % of the test images (JPEG copy) after 37 s

(benchmarks/accuracy/reproduce.py: one run, two Zen 4 cores.)
"""

from cifar10.networks.cifar10_recipe import Cifar10Recipe
from common.graph import layers

RECIPE = Cifar10Recipe(
    batch_size=64, epochs=1.0, optimizer="sgd", learning_rate=1e-2, moving_average_decay=0.99, save_steps=350
)


def network(x, train, regularizer, classes):
    x = layers.relu(layers.dense(layers.flatten(x), 4000, regularizer, "hidden"))
    return layers.dense(x, classes, regularizer, "logits")
