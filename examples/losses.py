"""Losses: what a network is told to make small decides where its weights go.

A shop makes yoghurt: y = x1 + x2 + noise of ±0.05 pots are sold, and x1 and x2 are known the day before. Prints the
weights that predict y by three losses, and on how many of 32 days the prediction is too low. The squared error finds
the rule, about [1, 1]. Where a pot too many costs 9 and a pot too few 1, the weights go down. The other way round they
go up. It pays to err on the cheap side, on most days.

Then losses of a classifier: cross-entropy of probabilities and of logits, and the hinge.
"""

import sys
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at examples/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import graph_mode  # noqa: F401 (before tensorflow)

import numpy as np
import tensorflow.compat.v1 as tf

STEPS, BATCH, RATE = 20000, 8, 0.001

random = np.random.RandomState(23455)
days = random.rand(32, 2)
sold = [[x1 + x2 + random.rand() / 10 - 0.05] for x1, x2 in days]

x, y_ = tf.placeholder(tf.float32, [None, 2]), tf.placeholder(tf.float32, [None, 1])


def asymmetric(y, too_much, too_little):
    """What a prediction y costs: so much for each pot above y_, and so much for each below."""
    return tf.reduce_sum(tf.where(y > y_, too_much * (y - y_), too_little * (y_ - y)))


LOSSES = {
    "squared error": lambda y: tf.reduce_mean(tf.square(y - y_)),
    "too much costs 9, too little 1": lambda y: asymmetric(y, 9.0, 1.0),
    "too much costs 1, too little 9": lambda y: asymmetric(y, 1.0, 9.0),
}
weights, predictions, train_steps = [], [], []
for number, loss in enumerate(LOSSES.values()):
    w = tf.get_variable(f"w{number}", initializer=tf.random_normal([2, 1], stddev=1, seed=1))
    y = tf.matmul(x, w)
    weights.append(w)
    predictions.append(y)
    train_steps.append(tf.train.GradientDescentOptimizer(RATE).minimize(loss(y), var_list=[w]))

with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for step in range(STEPS):
        start = step * BATCH % len(days)
        batch = slice(start, start + BATCH)
        session.run(train_steps, {x: days[batch], y_: sold[batch]})  # all three at once
    for name, w, y in zip(LOSSES, *session.run([weights, predictions], {x: days}), strict=True):
        print(f"{name:30}  weights {w[0, 0]:.4f} {w[1, 0]:.4f}  too low on {np.sum(y < sold):2} of 32 days")

# Cross-entropy: minus the logarithm of the probability that the right class got. By hand, of probabilities, they must
# not be 0. Of logits, TensorFlow cancels the exponential: the value is exact, and a network that is wrong learns.
logits = tf.constant([[2.0, 1.0, 0.1], [0.0, 100.0, 0.0]])  # both are of class 0: nearly right; quite wrong
classes = tf.constant([0, 0])
probabilities = tf.nn.softmax(logits)
targets = tf.one_hot(classes, 3)  # [[1, 0, 0], [1, 0, 0]]
of_probabilities = -tf.reduce_sum(targets * tf.log(tf.clip_by_value(probabilities, 1e-12, 1.0)), axis=1)
of_logits = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=classes, logits=logits)

# Hinge: 0 for each class that is on its side of 0 by a margin of 1, so what is right enough is left alone.
sides = 2 * targets - 1  # 1 for the right class, -1 for the others
hinge = tf.reduce_mean(tf.nn.relu(1 - sides * logits), axis=1)

with tf.Session() as session:
    for name, loss in {"of probabilities": of_probabilities, "of logits": of_logits, "hinge": hinge}.items():
        values, [gradient] = session.run([loss, tf.gradients(loss, logits)])
        gradient = gradient[1].round(4) + 0.0  # no "-0."
        print(f"{name:16}  loss {values[0]:.4f} {values[1]:8.4f}  gradient of the wrong one", gradient)
