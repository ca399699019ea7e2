"""Evaluation: every image of a split once, and what to show of the result."""

from typing import NamedTuple

from common import batches

import numpy as np
import tensorflow.compat.v1 as tf

BATCH_SIZE = 1000  # images a run of the graph


class Evaluation(NamedTuple):
    """probabilities: float32 [n, classes]; labels: int32 [n]."""

    probabilities: np.ndarray
    labels: np.ndarray

    @property
    def predictions(self):
        return self.probabilities.argmax(axis=1)

    @property
    def accuracy(self):
        """The share of images whose most probable class is the label, 0 to 1."""
        return float(np.mean(self.predictions == self.labels))

    @property
    def cross_entropy(self):
        """The mean of -log(probability of the label), in nats."""
        return float(-np.log(self.probabilities[np.arange(len(self.labels)), self.labels].clip(1e-38)).mean())

    def confusion(self):
        """int [classes, classes]: how many images of each class (row) were taken for each (column)."""
        classes = self.probabilities.shape[1]
        counts = np.zeros([classes, classes], int)
        np.add.at(counts, (self.labels, self.predictions), 1)
        return counts

    def most_confidently_wrong(self, count):
        """Indices of at most `count` wrong images, the surest first."""
        wrong = np.flatnonzero(self.predictions != self.labels)
        return wrong[np.argsort(-self.probabilities[wrong].max(axis=1), kind="stable")][:count]


def evaluator(data, network):
    """Builds the evaluation of a batches.OnDevice in the current graph; `network` gives the logits of images.

    Returns a function of a session that runs over the whole split, each image once, and gives an Evaluation.
    """
    start = tf.placeholder(tf.int64, [], "start")
    images, labels = batches.in_order(data, start, BATCH_SIZE)
    fetches = tf.nn.softmax(network(images)), labels

    def evaluate(session):
        parts = [session.run(fetches, {start: i}) for i in range(0, data.size, BATCH_SIZE)]
        return Evaluation(*map(np.concatenate, zip(*parts, strict=True)))

    return evaluate


def write(writer, step, result, images, split, class_names):
    """Writes an Evaluation of `images` (uint8) for TensorBoard: accuracy, cross-entropy, and two pictures."""
    from common import plots

    wrong = result.most_confidently_wrong(24)
    answers = result.predictions[wrong]
    pictures = {
        "confusion": plots.confusion(result.confusion(), class_names),
        "most_confidently_wrong": plots.gallery(
            images[wrong], result.labels[wrong], answers, result.probabilities[wrong, answers], class_names
        ),
    }
    summary = tf.Summary()
    summary.value.add(tag=f"accuracy/{split}", simple_value=result.accuracy)
    summary.value.add(tag="loss/cross_entropy", simple_value=result.cross_entropy)
    for tag, png in pictures.items():
        summary.value.add(tag=tag, image=tf.Summary.Image(encoded_image_string=png))
    writer.add_summary(summary, step)
    writer.flush()
