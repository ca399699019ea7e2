"""What a graph is made of: batches, layers, what a recipe names, and the device that it runs on."""

from common import graph_mode  # noqa: F401 (TensorFlow, as all of this room needs it)
