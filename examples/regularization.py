"""Regularisation: a term of the loss that grows with the weights keeps a network from learning points by heart.

A network with 2 inputs, 50 hidden values and 1 output learns from 300 points which of them lie within a circle. Each
layer leaves its penalty in the collection "losses", and the loss is the squared error plus the sum of that collection.
Prints, without a penalty, with L2 (half the sum of the squares) and with L1 (the sum of the absolute values): the
squared error on the 300 points and on 10,000 new ones, both sums over the weights, and how many weights are nearly 0.
Draws where each network sees the edge of the circle to logs/examples/regularization.png.

L2 makes all weights smaller, the edge smoother, and the error of new points clearly less. L1 makes many weights 0.
"""

import argparse
import sys
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at examples/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import command_line, graph_mode  # noqa: F401 (before tensorflow)

import matplotlib
import numpy as np
import tensorflow.compat.v1 as tf
from matplotlib import pyplot as plt

STEPS, HIDDEN = 2000, 50

parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--show", action="store_true", help="opens a window with the picture, too")
show = parser.parse_args().show
if not show:
    matplotlib.use("agg")  # draws to files; needs no screen

random = np.random.RandomState(2)
points, new = random.randn(300, 2), random.randn(10000, 2)
labels, new_labels = [(x0 * x0 + x1 * x1 < 2).astype(float)[:, None] for x0, x1 in (points.T, new.T)]
side, turn = np.linspace(-3, 3, 121), np.linspace(0, 2 * np.pi, 121)
grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)


def layer(x, units, penalty):
    """x [batch, features] → [batch, units]."""
    w = tf.Variable(tf.random_normal([x.shape[1], units], seed=1))
    if penalty:
        tf.add_to_collection("losses", penalty(w))
    return tf.matmul(x, w) + tf.Variable(tf.constant(0.01, shape=[units]))


figure, axes = plt.subplots(1, 3, figsize=(11, 4.6), sharey=True, layout="constrained")
penalties = {
    "no penalty": None,
    "L2 · 0.003": lambda w: 0.003 * tf.nn.l2_loss(w),
    "L1 · 0.001": lambda w: 0.001 * tf.reduce_sum(tf.abs(w)),
}
for axis, (name, penalty) in zip(axes, penalties.items(), strict=True):
    with tf.Graph().as_default(), tf.Session() as session:
        x, y_ = tf.placeholder(tf.float32, [None, 2]), tf.placeholder(tf.float32, [None, 1])
        y = layer(tf.nn.relu(layer(x, HIDDEN, penalty)), 1, penalty)
        error = tf.reduce_mean(tf.square(y - y_))
        terms = tf.get_collection("losses")
        loss = error + tf.add_n(terms) if terms else error
        train_step = tf.train.AdamOptimizer(0.05).minimize(loss)

        session.run(tf.global_variables_initializer())
        for _ in range(STEPS):
            session.run(train_step, {x: points, y_: labels})

        old_error, new_error = (session.run(error, {x: a, y_: b}) for a, b in ((points, labels), (new, new_labels)))
        w1, _, w2, _ = session.run(tf.trainable_variables())
        height = session.run(y, {x: grid}).reshape(len(side), len(side))
    w = np.concatenate([w1.ravel(), w2.ravel()])
    norms = f"half the squares {np.sum(w * w) / 2:5.2f}  absolutes {np.sum(np.abs(w)):5.2f}"
    near = f"nearly 0: {np.sum(np.abs(w) < 0.01):2} of {w.size}"
    print(f"{name}  error {old_error:.4f}, of new points {new_error:.4f}  {norms}  {near}")

    inside = labels[:, 0] == 1
    axis.scatter(*points[inside].T, s=7, color="#e07020", label="within")
    axis.scatter(*points[~inside].T, s=7, color="#1f77b4", label="outside")
    axis.contour(side, side, height, levels=[0.5], colors="black", linewidths=1.5)
    axis.plot([], [], color="black", label="the edge that it learnt")
    axis.plot(2**0.5 * np.cos(turn), 2**0.5 * np.sin(turn), color="#404040", linestyle=":", label="the circle")
    axis.set(title=name, xlabel="x0", aspect="equal", xlim=(-3, 3), ylim=(-3, 3))
axes[0].set_ylabel("x1")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
picture = command_line.ROOT / "logs" / "examples" / "regularization.png"
picture.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(picture, dpi=80)
print("picture:", command_line.shown(picture))
if show:
    plt.show()
