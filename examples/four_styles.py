"""One network, four styles: the same mathematics as bare operations, as functions, as a class, and in Keras.

The network is that of cifar10/networks/three_layer_convnet.py: two convolutions and a fully connected layer, 170,906
weights. Each style builds it in a graph of its own, from the same weights, and takes 50 steps of gradient descent on
16 drawn shapes. Prints for each how far its first logits are from those of the first style. Then it prints the loss
before and after, and the names that a checkpoint would have.

This kit uses functions with `get_variable`. Each layer makes its weights where it uses them. Scopes give them names
that stay when the Python around them changes, so old checkpoints still fit. What is in the graph can be read on the
page. Keras hides it, and its names count layers unless one names them: with one more in front, they are others.
(tf_keras is the last Keras that builds into a graph of TensorFlow 1.)
"""

import importlib.util
import sys
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at examples/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import command_line, graph_mode  # noqa: F401 (before tensorflow)
from common.data import generated
from common.errors import UserError

import numpy as np
import tensorflow.compat.v1 as tf

STEPS, RATE, FEATURES = 50, 0.005, 32 * 32 * 16
SHAPES = [5, 5, 3, 32], [32], [3, 3, 32, 16], [16], [FEATURES, 10], [10]  # weights and biases of three layers


def bare(x):
    w1, b1, w2, b2, w3, b3 = [tf.Variable(tf.zeros(shape)) for shape in SHAPES]  # a list of parameters
    x = tf.nn.relu(tf.nn.conv2d(x, w1, strides=1, padding="SAME") + b1)
    x = tf.nn.relu(tf.nn.conv2d(x, w2, strides=1, padding="SAME") + b2)
    return tf.matmul(tf.reshape(x, [-1, FEATURES]), w3) + b3


def conv2d(x, channels, size, name):
    with tf.variable_scope(name):
        w = tf.get_variable("weights", [size, size, x.shape[-1], channels])
        return tf.nn.conv2d(x, w, strides=1, padding="SAME") + tf.get_variable("biases", [channels])


def dense(x, units, name):
    with tf.variable_scope(name):
        return tf.matmul(x, tf.get_variable("weights", [x.shape[-1], units])) + tf.get_variable("biases", [units])


def functions(x):
    x = tf.nn.relu(conv2d(x, 32, 5, "conv1"))
    x = tf.nn.relu(conv2d(x, 16, 3, "conv2"))
    return dense(tf.reshape(x, [-1, FEATURES]), 10, "logits")


class Convnet(tf.Module):
    def __init__(self):
        super().__init__(name="convnet")
        with self.name_scope:
            for name, shape in zip(("w1", "b1", "w2", "b2", "w3", "b3"), SHAPES, strict=True):
                setattr(self, name, tf.Variable(tf.zeros(shape), name=name))

    def __call__(self, x):
        x = tf.nn.relu(tf.nn.conv2d(x, self.w1, strides=1, padding="SAME") + self.b1)
        x = tf.nn.relu(tf.nn.conv2d(x, self.w2, strides=1, padding="SAME") + self.b2)
        return tf.matmul(tf.reshape(x, [-1, FEATURES]), self.w3) + self.b3


def keras(x):
    from tf_keras import Sequential, layers

    first = layers.Conv2D(32, 5, padding="same", activation="relu")
    second = layers.Conv2D(16, 3, padding="same", activation="relu")
    return Sequential([first, second, layers.Flatten(), layers.Dense(10)])(x)


STYLES = {"bare": bare, "functions": functions, "class": lambda x: Convnet()(x), "Keras": keras}


def main():
    if not importlib.util.find_spec("tf_keras"):
        how = f"{sys.executable} -m pip install --no-deps -r requirements-keras.txt"
        raise UserError(f"this needs the package tf_keras: {how}")
    images, labels = generated.shapes(16, seed=1)
    random = np.random.default_rng(1)
    deviations = [np.sqrt(2 / np.prod(shape[:-1])) if len(shape) > 1 else 0 for shape in SHAPES]  # He's
    initial = [random.normal(0, deviation, shape) for deviation, shape in zip(deviations, SHAPES, strict=True)]

    first = None
    for name, style in STYLES.items():
        with tf.Graph().as_default(), tf.Session() as session:
            logits = style(tf.constant(images / 127.5 - 1, tf.float32))
            classes = tf.constant(labels, tf.int32)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=classes, logits=logits))
            train_step = tf.train.GradientDescentOptimizer(RATE).minimize(loss)
            for variable, value in zip(tf.trainable_variables(), initial, strict=True):
                variable.load(value, session)  # instead of an initializer
            before, logits = session.run([loss, logits])
            first = logits if first is None else first
            for _ in range(STEPS):
                session.run(train_step)
            difference = np.abs(logits - first).max()
            print(f"{name:9}  logits differ by {difference:.4f}  loss {before:.4f} -> {session.run(loss):.4f}")
            print(" ", *[variable.op.name for variable in tf.trainable_variables()])


if __name__ == "__main__":
    command_line.run(main)
