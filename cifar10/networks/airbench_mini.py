"""airbench so narrow that its weights fit into 2 MB: the network that comes with the repository.

498,146 parameters.
"""

from cifar10.networks import airbench, airbench_slim

RECIPE = airbench_slim.RECIPE
initial = airbench.initial


def network(x, train, regularizer, whitening=None):
    return airbench.network(x, train, regularizer, (32, 96, 160), whitening)
