"""Towers: copies of the network that share its variables, each with a part of every batch, on a device of its own.

All parts together are the batch of a single tower: what is drawn at random is drawn for the whole batch, and each tower
takes its part of it. So what a step trains on does not depend on how many towers there are.
"""

import contextlib
import contextvars
import functools
import re
from typing import NamedTuple

import tensorflow.compat.v1 as tf

COLLECTIONS = ("losses", "statistics", tf.GraphKeys.ACTIVATIONS)  # in which a network leaves what is a tower's own


class Part(NamedTuple):
    """One of `count` equal parts; the whole, unless told."""

    index: int = 0
    count: int = 1

    def range(self, size):
        """Where it begins and ends in something of that size."""
        return size * self.index // self.count, size * (self.index + 1) // self.count

    def of(self, whole, axis=0):
        """Its part of a tensor."""
        return tf.split(whole, self.count, axis)[self.index] if self.count > 1 else whole


WHOLE = Part()
_part = contextvars.ContextVar("part")


def part():
    """Which part of the batch the tower takes that is being built; the whole outside of towers."""
    return _part.get(WHOLE)


def over(devices, process=WHOLE):
    """The towers of a process, one a device: context managers, in each of which a tower is built.

    devices: names, as of device.resolve_all(). process: the part of the batch that this process takes. Variables are
    made in the first tower. In the collections losses, statistics and activations is what the last one left.
    """
    return [_tower(devices, i, process) for i in range(len(devices))]


@contextlib.contextmanager
def _tower(devices, i, process):
    for name in COLLECTIONS:
        tf.get_default_graph().clear_collection(name)
    before = _part.set(Part(process.index * len(devices) + i, process.count * len(devices)))
    try:
        with contextlib.ExitStack() as scopes:
            scopes.enter_context(tf.device(devices[i]))
            if part().count > 1:
                scopes.enter_context(tf.name_scope(f"tower_{i}"))
                scopes.enter_context(tf.variable_scope(tf.get_variable_scope(), reuse=i > 0 or None))
            yield
    finally:
        _part.reset(before)


def plain_name(tensor):
    """The name of a tensor's operation as it is where there is one tower."""
    return re.sub(r"^tower_\d+/", "", tensor.op.name)


def plain(tensor, like=None):
    """The tensor under its plain name, or that of `like`: averages of it are variables that are named after it."""
    name = plain_name(tensor if like is None else like)
    if name == tensor.op.name:
        return tensor
    with tf.name_scope(None):
        return tf.identity(tensor, name)


def mean(parts, over_processes):
    """(the mean of a process's towers, the mean of all), structures of tensors like each of the parts, one a tower.

    Added in the order of the towers, so always the same. over_processes: a function, the mean of what processes have.
    """
    own = parts[0]
    if len(parts) > 1:
        with tf.name_scope("mean_of_towers"):
            own = tf.nest.map_structure(lambda *each: functools.reduce(tf.add, each) / len(each), *parts)
    return own, tf.nest.map_structure(plain, over_processes(own), parts[0])
