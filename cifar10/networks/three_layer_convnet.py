"""A 5×5 convolution of 32 channels, a 3×3 one of 16, and a fully connected layer.

170,906 parameters. Nesterov's momentum, one epoch: 57 % on validation images is the headline of the notes; with
--set optimizer=sgd it is 47.5 %.

    python cifar10/backward.py --network three_layer_convnet    # 57.57 % of the test images (JPEG copy) after 20 s

(benchmarks/accuracy/reproduce.py: one run, two Zen 4 cores.)
"""

from cifar10.networks.cifar10_recipe import Cifar10Recipe
from common.graph import layers

RECIPE = Cifar10Recipe(batch_size=64, epochs=1.0, learning_rate=3e-3, moving_average_decay=0.99, save_steps=350)


def network(x, train, regularizer, classes):
    x = layers.relu(layers.conv2d(x, 32, 5, regularizer, "conv1"))
    x = layers.relu(layers.conv2d(x, 16, 3, regularizer, "conv2"))
    return layers.dense(layers.flatten(x), classes, regularizer, "logits")
