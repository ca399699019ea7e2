"""One layer, 784-10: multinomial logistic regression, as TensorFlow's first tutorial had it.

7,850 parameters. Plain gradient descent on the summed cross-entropy, 1,000 steps. Headline of the notes: 91 %.

    python mnist/backward.py --network softmax    # 92.20 % of the test images after 1 s

(benchmarks/accuracy/reproduce.py: one run, two Zen 4 cores.)
"""

from common.graph import layers
from mnist.networks.mnist_recipe import MnistRecipe

import tensorflow.compat.v1 as tf

RECIPE = MnistRecipe(
    batch_size=100, epochs=1000 * 100 / 55_000, optimizer="sgd", learning_rate=0.01, reduction="sum",
    moving_average_decay=0.99, save_steps=250,
)


def network(x, train, regularizer, classes):
    return layers.dense(layers.flatten(x), classes, regularizer, "logits", initializer=tf.zeros_initializer())
