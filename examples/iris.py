"""By hand, without a framework's layers: weights, softmax, loss and gradient descent on 150 flowers.

Four lengths of a flower say which of three irises it is. Prints the loss and the test accuracy every 100 epochs. The
loss is the mean squared error between the probabilities and the true class, written as 0 and 1. The last 30 of the
shuffled flowers are the test. Draws both curves to logs/examples/iris.png. The data come with scikit-learn.
"""

import argparse
import importlib.util
import sys
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at examples/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import command_line, graph_mode  # noqa: F401 (before tensorflow)
from common.errors import UserError

import matplotlib
import numpy as np
import tensorflow.compat.v1 as tf
from matplotlib import pyplot as plt

EPOCHS, BATCH, RATE = 500, 32, 0.1


def data():
    """Training and test flowers: x float32 [n, 4] in cm, labels [n]."""
    if not importlib.util.find_spec("sklearn"):
        extras = f"{sys.executable} -m pip install -r requirements-examples.txt"
        raise UserError(f"this needs the package scikit-learn: {extras}")
    from sklearn.datasets import load_iris

    x, labels = (array.copy() for array in load_iris(return_X_y=True))
    for array in (x, labels):
        np.random.seed(116)  # the same order for both
        np.random.shuffle(array)
    return (x[:-30].astype("float32"), labels[:-30]), (x[-30:].astype("float32"), labels[-30:])


def main():
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", action="store_true", help="opens a window with the picture, too")
    show = parser.parse_args().show
    if not show:
        matplotlib.use("agg")  # draws to files; needs no screen
    (x_train, y_train), (x_test, y_test) = data()

    x, labels = tf.placeholder(tf.float32, [None, 4]), tf.placeholder(tf.int64, [None])
    w = tf.get_variable("w", initializer=tf.truncated_normal([4, 3], stddev=0.1, seed=1))
    b = tf.get_variable("b", initializer=tf.truncated_normal([3], stddev=0.1, seed=1))
    y = tf.nn.softmax(tf.matmul(x, w) + b)
    loss = tf.reduce_mean(tf.square(tf.one_hot(labels, 3) - y))
    dw, db = tf.gradients(loss, [w, b])
    with tf.control_dependencies([dw, db]):
        train_step = tf.group(w.assign_sub(RATE * dw), b.assign_sub(RATE * db))
    accuracy = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(y, 1), labels), tf.float32))

    curves = []
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for epoch in range(1, EPOCHS + 1):
            losses = []
            for start in range(0, len(x_train), BATCH):
                batch = slice(start, start + BATCH)
                losses.append(session.run([loss, train_step], {x: x_train[batch], labels: y_train[batch]})[0])
            curves.append([np.mean(losses), session.run(accuracy, {x: x_test, labels: y_test})])
            if epoch == 1 or epoch % 100 == 0:
                print("epoch {:3}  loss {:.6f}  test accuracy {:.4f}".format(epoch, *curves[-1]))

    figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
    names = "mean squared error, training", "accuracy on 30 test flowers"
    for axis, curve, name in zip(axes, np.transpose(curves), names, strict=True):
        axis.plot(range(1, EPOCHS + 1), curve, linewidth=1.5)
        axis.set(xlabel="epoch", ylabel=name)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.25)
    picture = command_line.ROOT / "logs" / "examples" / "iris.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=80)
    print("picture:", command_line.shown(picture))
    if show:
        plt.show()


if __name__ == "__main__":
    command_line.run(main)
