"""Four convolutions with batch normalisation, two poolings, a fully connected layer with batch normalisation.

1,797,790 parameters. Nesterov's momentum, L2 on the last layer only, 10 epochs. Headline of the notes: 82.6 % on
validation images.

    python cifar10/backward.py --network bn_convnet    # 71.68 % of the test images (JPEG copy) after 15 min

(benchmarks/accuracy/reproduce.py: one run, two Zen 4 cores; stopped at step 1,388 of 14,062.)
"""

from cifar10.networks.cifar10_recipe import Cifar10Recipe
from common.graph import layers

RECIPE = Cifar10Recipe(
    batch_size=32, epochs=10.0, learning_rate=1e-2, regularizer=0.01, moving_average_decay=0.99, save_steps=700
)


def network(x, train, regularizer, classes):
    for i, (channels, size) in enumerate(((128, 5), (256, 3), (256, 3), (128, 5)), start=1):
        x = layers.conv2d(x, channels, size, None, f"conv{i}")
        x = layers.relu(layers.batch_norm(x, train, f"norm{i}"))
        if i in (2, 4):
            x = layers.max_pool(x)
    x = layers.dense(layers.flatten(x), classes, regularizer, "logits")
    return layers.batch_norm(x[:, None, None], train, "norm5")[:, 0, 0]
