"""What a recipe names: loss, penalty of the weights, their initial values, learning rate and optimiser."""

from common.graph import layers, towers

import numpy as np
import tensorflow.compat.v1 as tf

PENALTIES = {"l2": layers.l2, "l1": layers.l1}
SCHEDULES = ("exponential", "staircase", "cosine", "triangular")
INITIALIZERS = {
    "own": lambda: None,  # what the network itself says, layer by layer
    "kaiming": tf.initializers.he_normal,
    "xavier": tf.initializers.glorot_normal,
    "truncated_normal": lambda: tf.initializers.truncated_normal(stddev=0.1),
}
OPTIMIZERS = {
    "sgd": lambda rate, momentum: tf.train.GradientDescentOptimizer(rate),
    "momentum": lambda rate, momentum: tf.train.MomentumOptimizer(rate, momentum),
    "nesterov": lambda rate, momentum: tf.train.MomentumOptimizer(rate, momentum, use_nesterov=True),
    "adagrad": lambda rate, momentum: tf.train.AdagradOptimizer(rate),
    "rmsprop": lambda rate, momentum: tf.train.RMSPropOptimizer(rate),
    "adam": lambda rate, momentum: tf.train.AdamOptimizer(rate),
}
LOSS_SCALE = 1024.0  # of float16, in which small gradients would vanish


def optimizer(recipe, learning_rate, precision="float32"):
    """The recipe's optimiser. With float16 it scales the loss up and the gradients down again.

    learning_rate: scalar float32 tensor. precision: of device.PRECISIONS.
    """
    chosen = OPTIMIZERS[recipe.optimizer](learning_rate, recipe.momentum)
    if precision != "float16":
        return chosen
    return tf.mixed_precision.MixedPrecisionLossScaleOptimizer(chosen, tf.mixed_precision.FixedLossScale(LOSS_SCALE))


def _cross_entropy(targets, logits):
    return tf.nn.softmax_cross_entropy_with_logits_v2(labels=targets, logits=logits)


def _mean_squared_error(targets, logits):
    """Of the probabilities, the mean over the classes."""
    return tf.reduce_mean(tf.squared_difference(tf.nn.softmax(logits), targets), axis=1)


def _hinge(targets, logits):
    """Of each class against all others: max(0, 1 - logit) for the label, max(0, 1 + logit) for the rest."""
    return tf.reduce_mean(targets * tf.nn.relu(1 - logits) + (1 - targets) * tf.nn.relu(1 + logits), axis=1)


LOSSES = {"cross_entropy": _cross_entropy, "mean_squared_error": _mean_squared_error, "hinge": _hinge}


def data_loss(recipe, labels, logits, train_labels=()):
    """The recipe's loss of a batch, float32 scalar: the mean over the images, or the sum.

    In a tower, a part of it: the mean over the towers is the loss of the batch.
    labels: int32 [batch]. logits: float32 [batch, classes]. train_labels: int [n], all; where the recipe balances
    the classes, an image weighs in inverse proportion to how many there are of its class, 1 on average.
    """
    with tf.name_scope(recipe.loss):
        classes = logits.shape.as_list()[-1]
        share = recipe.label_smoothing
        targets = tf.one_hot(labels, classes, on_value=1 - share + share / classes, off_value=share / classes)
        each = LOSSES[recipe.loss](targets, logits)
        if recipe.class_weights == "balanced":
            counts = np.bincount(train_labels, minlength=classes)
            weights = len(train_labels) / np.count_nonzero(counts) / counts.clip(1)
            each *= tf.gather(tf.constant(weights, tf.float32), labels)
        return towers.part().count * tf.reduce_sum(each) if recipe.reduction == "sum" else tf.reduce_mean(each)


def regularizer(recipe):
    """The recipe's penalty of weights, a function of them, or None."""
    return PENALTIES[recipe.penalty](recipe.regularizer) if recipe.regularizer else None


def initialized(recipe):
    """A scope in which layers start as the recipe says, instead of as the network says."""
    return tf.variable_scope(tf.get_variable_scope(), initializer=INITIALIZERS[recipe.initializer]())


def learning_rate(recipe, step, steps, epoch):
    """The learning rate of a step: the recipe's schedule, after a linear warm-up.

    exponential: decays by a factor per decay_epochs, smoothly, whenever the run ends; staircase: by the same at once.
    cosine, triangular: fall to 0 at the run's last step, along half a cosine or a line. step: scalar int64 tensor, 0 at
    the first. steps: of the run. epoch: steps.
    """
    with tf.name_scope("schedule"):
        if recipe.schedule == "cosine":
            rate = tf.train.cosine_decay(recipe.learning_rate, step, steps)
        elif recipe.schedule == "triangular":
            rate = tf.train.polynomial_decay(recipe.learning_rate, step, steps, end_learning_rate=0.0)
        else:
            rate = tf.train.exponential_decay(
                recipe.learning_rate, step, recipe.decay_epochs * epoch, recipe.learning_rate_decay,
                staircase=recipe.schedule == "staircase",
            )
        return rate * tf.minimum(1.0, tf.cast(step + 1, tf.float32) / recipe.warmup_steps)
