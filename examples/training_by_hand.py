"""Training by hand: gradients and the change of the weights, and what an optimiser adds to them.

A network of two layers without activation learns which points lie below the line x0 + x1 = 1, from 32 points, 8 a step.
Prints the loss on all points every 500 steps. The first three columns are plain gradient descent, written three
ways: they agree. The last two are other optimisers. All start from the same weights.
"""

import sys
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at examples/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import graph_mode  # noqa: F401 (before tensorflow)

import numpy as np
import tensorflow.compat.v1 as tf

STEPS, BATCH, RATE = 3000, 8, 0.001

points = np.random.RandomState(23455).rand(32, 2)
labels = [[int(x0 + x1 < 1)] for x0, x1 in points]


def by_hand(loss):
    weights = tf.trainable_variables()
    gradients = tf.gradients(loss, weights)
    with tf.control_dependencies(gradients):  # the gradient of w1 needs w2: no weight changes before all are there
        return tf.group(*[w.assign_sub(RATE * g) for w, g in zip(weights, gradients, strict=True)])


def in_two_parts(loss):
    optimizer = tf.train.GradientDescentOptimizer(RATE)
    gradients = optimizer.compute_gradients(loss)  # [(gradient, variable), …]: here one could clip them
    return optimizer.apply_gradients(gradients)


WAYS = {
    "by hand": by_hand,
    "in two parts": in_two_parts,
    "minimize": lambda loss: tf.train.GradientDescentOptimizer(RATE).minimize(loss),
    "momentum": lambda loss: tf.train.MomentumOptimizer(RATE, momentum=0.9).minimize(loss),
    "Adam": lambda loss: tf.train.AdamOptimizer(RATE).minimize(loss),
}


def train(train_step_of):
    """Trains in a graph of its own. Returns the loss after each 500th step, the first before any, and the weights."""
    with tf.Graph().as_default(), tf.Session() as session:
        x, y_ = tf.placeholder(tf.float32, [None, 2]), tf.placeholder(tf.float32, [None, 1])
        w1 = tf.get_variable("w1", initializer=tf.random_normal([2, 3], stddev=1, seed=1))
        w2 = tf.get_variable("w2", initializer=tf.random_normal([3, 1], stddev=1, seed=1))
        y = tf.matmul(tf.matmul(x, w1), w2)
        loss = tf.reduce_mean(tf.square(y - y_))
        train_step = train_step_of(loss)

        session.run(tf.global_variables_initializer())
        losses = []
        for step in range(STEPS + 1):
            if step % 500 == 0:
                losses.append(session.run(loss, {x: points, y_: labels}))
            start = step * BATCH % len(points)
            batch = slice(start, start + BATCH)
            session.run(train_step, {x: points[batch], y_: labels[batch]})
        return losses


columns = {name: train(train_step_of) for name, train_step_of in WAYS.items()}
print("step ", *(f"{name:>12}" for name in columns))
for row, losses in enumerate(zip(*columns.values(), strict=True)):
    print(f"{row * 500:5}", *(f"{loss:12.6f}" for loss in losses))
