"""This project's step, with the data on the device; and the notes' way: placeholders, feed_dict, stock gradients."""

import importlib
import time
from contextlib import contextmanager
from unittest import mock

from benchmarks import operations, runner
from common.data import datasets
from common.graph import device, layers, loop

import numpy as np
import tensorflow.compat.v1 as tf
from .problem import MOMENTUM, NETWORKS, Problem

IMAGES = 10_000  # to train on
SEVERAL = 20  # steps for one call of the session


def network(task, name, x):
    """The logits of the project's own network in training, but without dropout."""
    forward = importlib.import_module(f"{task}.forward").forward
    with mock.patch.object(layers, "dropout", lambda x, *args: x):
        return forward(x, True, None, name, classes=10)


def training(logits, labels, optimizer):
    """The loss of a batch, and the operation that takes the step."""
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
    # Ungated, as in the trainer; else multiply_adds() would count the gradient for the images, which Grappler drops.
    gradients = optimizer.compute_gradients(loss, gate_gradients=tf.train.Optimizer.GATE_NONE)
    with tf.control_dependencies(layers.move_statistics(tf.get_collection("statistics"))):
        return loss, optimizer.apply_gradients(gradients, tf.train.get_or_create_global_step())


def problem_of(task, name, data_dir):
    """The Problem of a network, and the multiply-adds of one of its steps."""
    own, batch_size, steps, learning_rate = NETWORKS[task, name]
    train = datasets.FAMILIES[task][task](data_dir).train
    images = (train.images[:IMAGES].astype(np.float32) - 128) / 64
    labels = train.labels[:IMAGES].astype(np.int32)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)
        logits = network(task, name, tf.constant(images[:batch_size]))
        _, step = training(logits, labels[:batch_size], tf.train.MomentumOptimizer(learning_rate, MOMENTUM))
        session.run(tf.global_variables_initializer())
        weights = session.run({v.op.name: v for v in tf.trainable_variables() + tf.moving_average_variables()})
        weights |= session.run({v.op.name: v for v in tf.global_variables() if v.op.name == "whiten/weights"})
        multiply_adds = operations.multiply_adds(step)
    return Problem(own, weights, images, labels, task, name, batch_size, steps, learning_rate), multiply_adds


@contextmanager
def stock_convolutions():
    """TensorFlow's own gradients of convolutions, and none of them without the row and column that pooling drops."""
    override = tf.Graph.gradient_override_map  # of other gradients, too: tf.custom_gradient uses it

    def of_others(graph, names):
        return override(graph, {kind: name for kind, name in names.items() if kind != "Conv2D"})

    own_gradients = mock.patch.object(tf.Graph, "gradient_override_map", of_others)
    with own_gradients, mock.patch.object(layers, "before_pooling", lambda x: "SAME"):
        yield


def build(mode, problem, threads):
    """A session with the graph and the problem's weights, the loss and the step of it, and the placeholders.

    mode: notes, with placeholders and stock convolutions; any other, with the data in variables; several, with a loop,
    and then the placeholder is for the number of steps, and the losses are all that is fetched.
    """
    data, batch = {}, []
    with tf.Graph().as_default():
        optimizer = tf.train.MomentumOptimizer(problem.learning_rate, MOMENTUM)
        if mode == "notes":
            x, y = tf.placeholder(tf.float32, [None, *problem.images.shape[1:]]), tf.placeholder(tf.int32, [None])
            batch = [x, y]
            with stock_convolutions():
                fetches = training(network(problem.task, problem.name, tf.cast(x, problem.precision)), y, optimizer)
        else:
            data = {tf.placeholder(a.dtype, a.shape): a for a in (problem.images, problem.labels)}
            variables = [tf.Variable(value, trainable=False) for value in data]
            start = tf.train.get_or_create_global_step().read_value() * problem.batch_size
            start %= len(problem.labels) - problem.batch_size + 1
            x, y = (_rows(variable, start, problem.batch_size) for variable in variables)
            fetches = training(network(problem.task, problem.name, tf.cast(x, problem.precision)), y, optimizer)
            if mode == "several":
                times, losses = loop.repeated(fetches[1], {"loss": fetches[0]})
                fetches, batch = losses["loss"], [times]
        session = tf.Session(config=session_config(threads))
        session.run(tf.global_variables_initializer(), data)
        _load(session, problem)
        tf.get_default_graph().finalize()
    return session, fetches, batch


def feed(batch, problem, step):
    """The feed_dict of a step for the placeholders that build() gave: empty where there are none."""
    rows = problem.batch(step)
    return dict(zip(batch, (problem.images[rows], problem.labels[rows]), strict=False))


def prepare(mode, problem, threads):
    """mode: session, its operations in threads of their own; caller, in the thread that asks; several, in the loop of
    the trainer, SEVERAL steps for one call; or notes.
    """
    session, fetches, batch = build(mode, problem, threads)
    call = session.make_callable(fetches, batch if mode == "several" else [], accept_options=True)
    options = tf.RunOptions(inter_op_thread_pool=-1) if mode == "caller" else None
    done = 0

    def steps(count):
        nonlocal done
        done += count
        if mode == "notes":
            fed = (feed(batch, problem, step) for step in range(done - count, done))
            return [float(session.run(fetches, feed_dict)[0]) for feed_dict in fed]
        if mode == "several":
            return np.concatenate([call(SEVERAL) for _ in range(count // SEVERAL)]).tolist()
        return [float(call(options=options)[0]) for _ in range(count)]

    return steps


def prepare_evaluation(mode, problem, threads):
    """A function (batch_size, count) that gives the logits of the first `count` images. mode: as in prepare()."""
    with tf.Graph().as_default():
        x = tf.placeholder(tf.float32, [None, *problem.images.shape[1:]])
        logits = importlib.import_module(f"{problem.task}.forward").forward(x, False, None, problem.name, classes=10)
        session = tf.Session(config=session_config(threads))
        _load(session, problem)
    call = session.make_callable(logits, feed_list=[x], accept_options=True)
    options = tf.RunOptions(inter_op_thread_pool=-1) if mode == "caller" else None

    def evaluate(batch_size, count):
        starts = range(0, count, batch_size)
        return np.concatenate([call(problem.images[i : i + batch_size], options=options) for i in starts])

    return evaluate


def _load(session, problem):
    for variable in tf.global_variables():
        if variable.op.name in problem.weights:
            variable.load(problem.weights[variable.op.name], session)


def _rows(values, start, count):
    """Rows of a variable, without a copy where they lie on a boundary of 64 bytes."""
    return tf.slice(values, tf.stack([start, *[0] * (len(values.shape) - 1)]), [count, *values.shape[1:]])


def session_config(threads):
    """On the CPU, even where there is a GPU."""
    config = device.session_config([runner.CPU])
    config.intra_op_parallelism_threads = config.inter_op_parallelism_threads = threads
    return config


def machine(threads, precision="float32", size=3000, runs=5):
    """A line about the machine, and its floating-point operations a second: the best of some large matrix products."""
    with tf.Graph().as_default(), tf.Session(config=session_config(threads)) as session:
        a = tf.Variable(tf.ones([size, size], precision))
        product = tf.matmul(a, a).op
        session.run(tf.global_variables_initializer())
        times = []
        for _ in range(runs):
            started = time.perf_counter()
            session.run(product)
            times.append(time.perf_counter() - started)
    return runner.machine(), 2 * size**3 / min(times)
