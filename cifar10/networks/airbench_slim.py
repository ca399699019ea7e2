"""airbench with half as many channels in its first two blocks, which is where its time goes.

1,089,442 parameters. The default: in the time that the wider one takes for an epoch this one trains for two.

    python cifar10/backward.py    # 88.35 % of the test images (JPEG copy) after 10 min; 89.50 % with test.py --tta

(benchmarks/accuracy/time_to_accuracy.py, in bfloat16: mean of three seeds, two Zen 4 cores.)
"""

from cifar10.networks import airbench
from cifar10.networks.cifar10_recipe import Cifar10Recipe

RECIPE = Cifar10Recipe(
    batch_size=256, epochs=18.0, learning_rate=1.0, learning_rate_decay=0.8065, warmup_steps=100, regularizer=5e-4,
    label_smoothing=0.2, bias_scale=16.0, padding=2, mirror=1, cutout=8, moving_average_decay=0.998, save_steps=200,
)
SMALLEST, initial = airbench.SMALLEST, airbench.initial


def network(x, train, regularizer, classes, whitening=None):
    return airbench.network(x, train, regularizer, classes, (32, 128, 256), whitening)
