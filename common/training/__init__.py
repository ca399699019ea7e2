"""A run and its traces: its recipe and run.json, the hooks of its loop, checkpoints, evaluation, testing."""
