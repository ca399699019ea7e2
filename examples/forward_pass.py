"""The forward pass of a network with two layers: 2 inputs, 3 hidden values, 1 output, no activation.

Prints the weights, and three outputs: for an input that is a constant of the graph, for one that is fed, and for four
examples at once. The weights are random, but their seeds are given: they are the same in each run.
"""

import sys
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at examples/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import graph_mode  # noqa: F401 (before tensorflow)

import tensorflow.compat.v1 as tf

w1 = tf.get_variable("w1", initializer=tf.random_normal([2, 3], stddev=1, seed=1))
w2 = tf.get_variable("w2", initializer=tf.random_normal([3, 1], stddev=1, seed=1))


def forward(x):
    """x: [batch, 2]. Returns [batch, 1]."""
    hidden = tf.matmul(x, w1)  # [batch, 3]
    return tf.matmul(hidden, w2)


of_a_constant = forward(tf.constant([[0.7, 0.5]]))  # this input can't change any more

x = tf.placeholder(tf.float32, [None, 2])  # None: as many examples as are fed
y = forward(x)

with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    print("w1:", session.run(w1), sep="\n")
    print("w2:", session.run(w2), sep="\n")
    print("a constant:", session.run(of_a_constant))
    print("one fed:   ", session.run(y, {x: [[0.7, 0.5]]}))
    print("four fed:", session.run(y, {x: [[0.7, 0.5], [0.2, 0.3], [0.3, 0.4], [0.4, 0.5]]}), sep="\n")
