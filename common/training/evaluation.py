"""Evaluation: every image of a split once, and what to show of the result."""

from typing import NamedTuple

from common.graph import augmentation, batches
from common.training import cluster
from common.training.event_file import EventFile

import numpy as np
import tensorflow.compat.v1 as tf

BATCH_SIZE = 1000  # images a run of the graph, at most
MOST_CURVES = 100  # classes, up to which each gets a curve of precision and recall: of more nobody looks at them
MOST_CLASSES = 2000  # of a confusion matrix: of more it would be a picture of dots, and fill the memory
MOST_VIEWS = 6  # of an image, in test-time augmentation
PIXELS = 1_100_000  # of all views of the images a run of the graph: bounds the memory


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

    def class_accuracies(self):
        """The accuracy on the images of each class, float64 [classes]; NaN for a class without any."""
        classes = self.probabilities.shape[1]
        right, every = (
            np.bincount(labels, minlength=classes)
            for labels in (self.labels[self.predictions == self.labels], self.labels)
        )
        with np.errstate(invalid="ignore"):
            return right / every

    @property
    def class_mean(self):
        """The mean of the accuracies on each class that has images, 0 to 1: every class counts the same."""
        return float(np.nanmean(self.class_accuracies()))

    @property
    def text(self):
        """Both accuracies in words; of how many classes the mean is, where some have no image."""
        accuracies = self.class_accuracies()
        having = int(np.isfinite(accuracies).sum())
        classes = "classes" if having == len(accuracies) else f"{having:,} of {len(accuracies):,} classes"
        return f"accuracy {self.accuracy:.4f}, mean of {classes} {self.class_mean:.4f}"

    def most_confidently_wrong(self, count):
        """Indices of at most `count` wrong images, the surest first."""
        wrong = np.flatnonzero(self.predictions != self.labels)
        return wrong[np.argsort(-self.probabilities[wrong].max(axis=1), kind="stable")][:count]


def logits(forward, run, *views, precision="float32"):
    """The logits of images in 0–255, float32 [n, height, width, channels], by a network that does not train.

    forward: the task's. run: runs.Run. views: the images; where there are more views of them, the mean over these.
    precision: in which the network computes.
    """
    x = batches.standardize(tf.concat(views, axis=0), run.image_mean, run.image_std, precision)
    result = forward(x, False, None, run.network, len(run.class_names))
    return tf.add_n(tf.split(result, len(views))) / len(views) if len(views) > 1 else result


def mirrored(run, images):
    """Images, and their mirror images where those show the same class: a list of views. run: runs.Run."""
    return [images, augmentation.mirror(images)] if run.mirrors else [images]


def augmented(run, images):
    """The views of test-time augmentation, at most MOST_VIEWS: a list. run: runs.Run.

    The images, the same moved by a pixel along the diagonal, either way, and all three mirrored. Where mirror images do
    not show the same class: the images, and the same moved by a pixel up, down, left and right. Validation images chose
    both: docs/cifar10.md and docs/performance.md.
    """
    moves = ((-1, -1), (1, 1)) if run.mirrors else ((-1, 0), (1, 0), (0, -1), (0, 1))
    views = [images, *(augmentation.move(images, *pixels) for pixels in moves)]
    views = [each for view in views for each in mirrored(run, view)]
    assert len(views) <= MOST_VIEWS
    return views


def calibrated(forward, run, images):
    """What is served, by the app and by exports: (logits, probabilities at the run's temperature), both [n, classes].

    forward: the task's. run: runs.Run. images: as for logits().
    """
    unscaled = logits(forward, run, images)
    return unscaled, tf.nn.softmax(unscaled / run.temperature, name="probabilities")


def evaluator(data, network, name="evaluation", workers=cluster.ALONE, views=1):
    """Builds the evaluation of a batches.source() in the current graph; `network` gives the logits of images.

    views: how many the network takes of each image. Returns a function of a session that runs over the whole split,
    each image once, and gives an Evaluation. Workers take a part of each batch, and all call it.
    """
    with tf.name_scope(name):
        start = tf.placeholder(tf.int64, [], "start")
        batch_size = min(BATCH_SIZE, max(1, PIXELS // int(views * np.prod(data.images.shape[1:3]))))
        end = tf.minimum(start + batch_size, data.size)
        first, last = workers.part.range(end - start)
        images, labels = batches.in_order(data, start + first, start + last)
        found = tf.concat([tf.nn.softmax(network(images)), tf.cast(labels, tf.float32)[:, None]], axis=1)
        found = workers.rows(found, first, end - start, batch_size)

    def evaluate(session):
        parts = [session.run(found, {start: i}) for i in range(0, data.size, batch_size)]
        rows = np.concatenate(parts)
        return Evaluation(rows[:, :-1], rows[:, -1].astype(np.int32))

    return evaluate


class Log:
    """Writes the evaluations of a split for TensorBoard: accuracy, cross-entropy, precision and recall, confusion
    matrix, wrong images."""

    def __init__(self, log_dir, images, split, class_names, only_point=False):
        """images: uint8 [n, height, width, channels], those of the split called `split`.

        Drops from the curves what an earlier test wrote from the first step on. only_point: drops nothing.
        """
        self._writer = EventFile(log_dir)
        self._images, self._split, self._class_names = images, split, class_names
        self._drop_later = not only_point

    def write(self, step, result):
        """Writes the Evaluation at a global step."""
        from common.training import plots

        from tensorboard.plugins.pr_curve import summary as pr_curve

        wrong, names = result.most_confidently_wrong(24), self._class_names
        images, labels, answers = self._images[wrong], result.labels[wrong], result.predictions[wrong]
        sure = result.probabilities[wrong, answers]
        pictures = {"most_confidently_wrong": plots.gallery(images, labels, answers, sure, names)}
        if len(names) <= MOST_CLASSES:
            pictures["confusion"] = plots.confusion(result.confusion(), names)
        summary = tf.Summary()
        summary.value.add(tag=f"accuracy/{self._split}", simple_value=result.accuracy)
        summary.value.add(tag=f"accuracy/{self._split}_class_mean", simple_value=result.class_mean)
        summary.value.add(tag="loss/cross_entropy", simple_value=result.cross_entropy)
        for i, name in enumerate(names if len(names) <= MOST_CURVES else ()):
            binary, title = (result.labels == i, result.probabilities[:, i]), f"{name}: precision over recall"
            curve = pr_curve.pb(f"precision_recall/{name}", *binary, display_name=title)
            summary.MergeFromString(curve.SerializeToString())
        for tag, png in pictures.items():
            summary.value.add(tag=tag, image=tf.Summary.Image(encoded_image_string=png))
        if self._drop_later:
            self._writer.drop_from(step)
            self._drop_later = False
        self._writer.add_summary(summary, step)
        self._writer.flush()
