"""Networks: L2 terms, variables, parameters, recipes, sizes of batches and images, batch normalisation."""

import itertools

import cifar10.forward
import mnist.forward
from common.errors import UserError
from common.graph import layers

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

NETWORKS = [
    pytest.param(task, name, id=f"{task.__name__.split('.')[0]}-{name}")
    for task in (mnist.forward, cifar10.forward)
    for name in task.NETWORKS
]


PENALISED = {  # networks that penalise not all of their weights
    "bn_convnet": ["logits/weights"],
    "tutorial": ["local3/weights", "local4/weights"],
}


def images(task, batch=None):
    return tf.placeholder(tf.float32, [batch, task.IMAGE_SIZE, task.IMAGE_SIZE, task.NUM_CHANNELS])


def run(*fetches):
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(fetches)


@pytest.mark.parametrize(("task", "name"), NETWORKS)
def test_l2_terms_are_the_trained_weights_and_no_bias(task, name):
    task.forward(images(task), True, layers.l2(0.01), name, 10)
    fill = [v.assign(tf.fill(v.shape, 0.1 * (i + 1))) for i, v in enumerate(tf.trainable_variables())]
    weights = [v for v in tf.trainable_variables() if v.op.name.endswith("weights")]
    terms = tf.get_collection("losses")
    if name in PENALISED:
        weights = [v for v in weights if v.op.name in PENALISED[name]]
    assert len(terms) == len(weights) >= 1
    with tf.Session() as session:
        session.run(fill)
        expected = 0.5 * 0.01 * sum(np.square(w.astype(np.float64)).sum() for w in session.run(weights))
        assert session.run(tf.add_n(terms)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("task", "name"), NETWORKS)
def test_without_regularizer_there_is_no_term(task, name):
    task.forward(images(task), True, None, name, 10)
    assert tf.get_collection("losses") == []


def plain(*layers_with_shapes):
    """The variables of layers with biases, given as "name shape"."""
    lines = ""
    for layer in layers_with_shapes:
        name, *shape = layer.split()
        lines += f"\n{name}/weights {' '.join(shape)}\n{name}/biases {shape[-1]}"
    return lines


def norm(name, channels):
    """The variables of batch normalisation."""
    return "".join(f"\n{name}/{v} {channels}" for v in ("scale", "offset", "moving_mean", "moving_variance"))


def normalised(path, i, cin, cout):
    """The variables of a convolution with batch normalisation."""
    return f"\n{path}/conv{i}/weights 3 3 {cin} {cout}" + norm(f"{path}/norm{i}", cout)


def airbench(widths):
    lines = """
        whiten/weights 2 2 3 24
        whiten/biases 24"""
    cin = 24
    for block, cout in enumerate(widths, start=1):
        lines += normalised(f"block{block}", 1, cin, cout) + normalised(f"block{block}", 2, cout, cout)
        cin = cout
    return lines + f"""
        logits/weights {cin} 10
        logits/biases 10"""


def convnet(widths, channels=1):
    lines = ""
    for stage, (cin, cout) in enumerate(itertools.pairwise([channels, *widths]), start=1):
        lines += normalised(f"stage{stage}", 1, cin, cout) + normalised(f"stage{stage}", 2, cout, cout)
    return lines + f"""
        logits/weights {16 * cout} 10
        logits/biases 10"""


GOLDEN = {
    "fully_connected": plain("hidden 784 500", "logits 500 10"),
    "lenet5": plain("conv1 5 5 1 32", "conv2 5 5 32 64", "hidden 3136 512", "logits 512 10"),
    "convnet": convnet([16, 32, 64]),
    "convnet_slim": "\nfirst/conv/weights 5 5 1 16" + norm("first/norm", 16) + convnet([32, 32], channels=16),
    "convnet_wide": convnet([32, 64, 128]),
    "airbench_slim": airbench([32, 128, 256]),
    "airbench_mini": airbench([32, 96, 160]),
    "airbench": airbench([64, 256, 256]),
    "airbench_medium": airbench([64, 160, 208]),
    "softmax": plain("logits 784 10"),
    "mechanics": plain("hidden1 784 128", "hidden2 128 32", "softmax_linear 32 10"),
    "deep": plain("conv1 5 5 1 32", "conv2 5 5 32 64", "hidden 3136 1024", "logits 1024 10"),
    "two_layer_fc": plain("hidden 3072 4000", "logits 4000 10"),
    "three_layer_convnet": plain("conv1 5 5 3 32", "conv2 3 3 32 16", "logits 16384 10"),
    "simple": plain("conv 7 7 3 32", "logits 5408 10"),
    "complex": plain("conv 7 7 3 32") + norm("norm", 32) + plain("hidden 5408 1024", "logits 1024 10"),
    "global_average": plain("conv 5 5 3 64")
    + norm("norm1", 64) + plain("conv1 5 5 64 32")
    + norm("norm2", 32) + plain("conv2 5 5 32 32")
    + norm("norm3", 32) + plain("conv3 5 5 32 32")
    + plain("hidden 32 100", "logits 100 10"),
    "bn_convnet": plain("conv1 5 5 3 128") + norm("norm1", 128)
    + plain("conv2 3 3 128 256") + norm("norm2", 256)
    + plain("conv3 3 3 256 256") + norm("norm3", 256)
    + plain("conv4 5 5 256 128") + norm("norm4", 128)
    + plain("logits 8192 10") + norm("norm5", 10),
    "tutorial": plain(
        "conv1 5 5 3 64", "conv2 5 5 64 64", "local3 2304 384", "local4 384 192", "softmax_linear 192 10"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("task", "name"), NETWORKS)
def test_variables_are_those_that_checkpoints_hold(task, name):
    task.forward(images(task), True, layers.l2(1e-4), name, 10)
    variables = [v for v in tf.global_variables() if v.op.name != "global_step"]
    found = [" ".join([v.op.name, *map(str, v.shape.as_list())]) for v in variables]
    assert found == [line.strip() for line in GOLDEN[name].strip().split("\n") if line.strip()]


@pytest.mark.parametrize(("task", "name"), NETWORKS)
def test_docstring_counts_the_parameters(task, name):
    task.forward(images(task), True, None, name, 10)
    count = sum(v.shape.num_elements() for v in tf.trainable_variables())
    assert f"\n{count:,} parameters." in task.NETWORKS[name].__doc__


@pytest.mark.parametrize(
    ("task", "name", "steps"),
    [(mnist.forward, "softmax", 1000), (mnist.forward, "mechanics", 2000), (mnist.forward, "deep", 12_001)],
)
def test_recipes_in_steps_are_those_of_the_notes(task, name, steps):
    recipe = task.NETWORKS[name].RECIPE
    assert round(recipe.epochs * 55_000 / recipe.batch_size) == steps


@pytest.mark.parametrize(("task", "name"), NETWORKS)
def test_any_batch_size(task, name):
    x = images(task)
    logits = task.forward(x, False, None, name, 10)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for n in (1, 3):
            assert session.run(logits, {x: np.zeros([n, *x.shape.as_list()[1:]])}).shape == (n, 10)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize(("task", "name"), NETWORKS)
def test_computes_in_the_type_of_the_images(task, name, precision):
    x = tf.zeros([8, *images(task).shape.as_list()[1:]], precision)
    logits = task.forward(x, True, None, name, 10)
    gradients = tf.gradients(tf.reduce_mean(tf.square(logits)), tf.trainable_variables())
    with tf.variable_scope(tf.get_variable_scope(), reuse=True):
        answers = task.forward(tf.placeholder(precision, [None, *x.shape[1:]]), False, None, name, 10)
    of = dict(zip((v.op.name for v in tf.trainable_variables()), gradients, strict=True))
    fixed = ["whiten/biases"] if name.startswith("airbench") else []
    assert [variable for variable, gradient in of.items() if gradient is None] == fixed
    trained = [gradient for gradient in gradients if gradient is not None]
    assert {tensor.dtype for tensor in (logits, answers, *trained)} == {tf.float32}
    products = [op for op in tf.get_default_graph().get_operations() if op.type in ("Conv2D", "MatMul")]
    assert {op.outputs[0].dtype for op in products} == {tf.as_dtype(precision)}


@pytest.mark.parametrize(("task", "name"), NETWORKS)
def test_any_number_of_classes_changes_the_last_layer_only(task, name):
    shapes = {}
    for classes in (10, 3, 257):
        with tf.Graph().as_default():
            assert task.forward(images(task), True, None, name, classes).shape.as_list() == [None, classes]
            shapes[classes] = {v.op.name: v.shape.as_list() for v in tf.global_variables()}
    for classes in (3, 257):
        differing = {key for key, shape in shapes[classes].items() if shape != shapes[10][key]}
        assert differing and {key.split("/")[0] for key in differing} <= {"logits", "softmax_linear", "norm5"}
        assert all(shapes[classes][key][-1] == classes for key in differing)


@pytest.mark.slow
@pytest.mark.parametrize(("task", "name"), NETWORKS)
@pytest.mark.parametrize("size", [(28, 28), (33, 50), (64, 64)])
def test_any_size_of_images(task, name, size):
    x = tf.placeholder(tf.float32, [None, *size, task.NUM_CHANNELS])
    logits = task.forward(x, True, None, name, 7)
    [gradient] = tf.gradients(logits, x)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        values = np.random.default_rng(0).normal(size=[2, *size, task.NUM_CHANNELS])
        result, slope = session.run([logits, gradient], {x: values})
    assert result.shape == (2, 7) and np.isfinite(result).all() and slope.shape == values.shape


@pytest.mark.parametrize(("task", "name"), NETWORKS)
def test_smallest_images_and_one_line_for_smaller_ones(task, name):
    smallest = getattr(task.NETWORKS[name], "SMALLEST", 1)
    x = tf.placeholder(tf.float32, [None, smallest, smallest + 1, task.NUM_CHANNELS])
    assert task.forward(x, False, None, name, 10).shape.as_list() == [None, 10]
    if smallest > 1:
        small = tf.placeholder(tf.float32, [None, smallest - 1, smallest, task.NUM_CHANNELS])
        with pytest.raises(UserError, match=f"{name} needs images of {smallest}×{smallest} pixels or more"):
            task.forward(small, False, None, name, 10)


@pytest.mark.parametrize(
    ("task", "name"),
    [(mnist.forward, "convnet"), *((cifar10.forward, n) for n in ("airbench_slim", "complex", "bn_convnet"))],
)
def test_batch_norm_of_a_network_uses_and_moves_its_statistics_in_training_only(task, name):
    """The logits of an image depend on the others of its batch in training, and on nothing but it in testing."""
    x = images(task, 4)
    training = task.forward(x, True, None, name, 10)
    updates = layers.move_statistics(tf.get_collection("statistics"))
    assert len(updates) == len(tf.moving_average_variables()) > 1
    with tf.variable_scope("", reuse=True):
        testing = task.forward(x, False, None, name, 10)
    assert len(tf.get_collection("statistics")) == len(updates)
    batch = np.random.default_rng(0).normal(size=x.shape.as_list())
    other = batch.copy()
    other[1:] += 1
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        before = session.run(tf.moving_average_variables())
        alone = [session.run(testing, {x: b})[0] for b in (batch, other)]
        np.testing.assert_allclose(*alone, rtol=1e-5, atol=1e-6)
        assert all((a == b).all() for a, b in zip(before, session.run(tf.moving_average_variables()), strict=True))
        together = [session.run(training, {x: b})[0] for b in (batch, other)]
        assert np.abs(together[0] - together[1]).max() > 1e-3
        session.run(updates, {x: batch})
        assert all((a != b).any() for a, b in zip(before, session.run(tf.moving_average_variables()), strict=True))
