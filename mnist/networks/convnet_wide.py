"""convnet with twice as many channels, and 28 epochs.

307,370 parameters. For the last few wrong digits, where the time does not matter.

    python mnist/backward.py --network convnet_wide    # 99.71 % of the test images after 14 min

(benchmarks/accuracy/defaults.py mnist --networks convnet_wide --precision bfloat16: mean of three seeds, two Zen 4
cores.)
"""

import dataclasses

from mnist.networks import convnet

RECIPE = dataclasses.replace(convnet.RECIPE, epochs=28.0, learning_rate_decay=0.851, save_steps=400)


def network(x, train, regularizer, classes):
    return convnet.network(x, train, regularizer, classes, (32, 64, 128))
