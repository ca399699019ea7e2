"""A run and its traces: its recipe and run.json, the hooks of its loop, checkpoints, evaluation, testing."""

from common import graph_mode  # noqa: F401 (TensorFlow, as all of this room needs it)
