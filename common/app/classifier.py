"""A trained network, and what it answers to pictures."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from common.data import pictures
from common.errors import UserError
from common.graph import device
from common.training import checkpoints, evaluation

import numpy as np
import tensorflow.compat.v1 as tf
from PIL import Image
from scipy import ndimage

BATCH_SIZE = 100  # things to classify a run of the graph: bounds the memory
CHUNK = 50  # pictures that are held at a time
SHOWN_SIZE = (640, 640)  # pixels, at most, of a picture that is shown again
SURE = 0.6  # an answer of less probability is "not sure"
SMOOTHING = 1.0  # pixels: standard deviation of the Gaussian that smooths a saliency map


class Answer(NamedTuple):
    """To one picture, in which there are one or more items to classify.

    picture: Pillow image, small enough to show. views: uint8 [items, views, height, width, channels]. probabilities:
    float [items, classes]. saliency: float [items, height, width], of the first view. class_names: of the network.
    """

    picture: Image.Image
    views: np.ndarray
    probabilities: np.ndarray
    saliency: np.ndarray
    class_names: tuple

    @property
    def text(self):
        """The most probable class of each item: "7", or "90210"."""
        return "".join(self.class_names[c] for c in self.probabilities.argmax(axis=1))

    @property
    def probability(self):
        """That every item is what `text` says, 0 to 1."""
        return float(self.probabilities.max(axis=1).prod())

    @property
    def sure(self):
        """Whether each item is more than a guess."""
        return bool(self.probabilities.max(axis=1).min() >= SURE)

    def __str__(self):
        return self.text if self.sure else f"not sure, perhaps {self.text}"


class Classifier:
    """A trained network in an open session, for any number of threads."""

    def __init__(self, forward, run, checkpoint, device_name, tta=False):
        """forward: the task's. run: runs.Run, from beside the checkpoint. tta: also average over mirror images.

        The weights are the moving averages, the probabilities those at the run's temperature, which was fitted on
        single views.
        Raises UserError if the checkpoint does not fit the network.
        """
        self.run = run
        with tf.Graph().as_default(), tf.device(device_name):
            self._x = tf.placeholder(tf.float32, [None, *run.image_shape])
            self._class = tf.placeholder(tf.int32, [None])
            logits = evaluation.logits(forward, run, self._x, tta)
            self._probabilities = tf.nn.softmax(logits / run.temperature)
            [self._gradient] = tf.gradients(tf.gather(logits, self._class, batch_dims=1), self._x)
            variables = checkpoints.averages(run)
            saver = tf.train.Saver(variables)
            self._session = tf.Session(config=device.session_config(device_name))
            checkpoints.restore(self._session, saver, variables, checkpoint)

    def probabilities(self, views):
        """views: uint8 [n, views, height, width, channels]. Returns float [n, classes], the mean over the views."""
        batches = [
            self._session.run(self._probabilities, {self._x: views[i : i + BATCH_SIZE].reshape(-1, *views.shape[2:])})
            for i in range(0, len(views), BATCH_SIZE)
        ]
        return np.concatenate(batches).reshape(*views.shape[:2], -1).mean(axis=1)

    def saliency(self, images, classes):
        """Which pixels decided: float [n, height, width], 0 to 1.

        The size of the gradient of the classes' logits by the pixels, smoothed (Simonyan et al., "Deep Inside
        Convolutional Networks", 2013). images: uint8 [n, height, width, channels]. classes: int [n].
        """
        gradients = [
            self._session.run(
                self._gradient, {self._x: images[i : i + BATCH_SIZE], self._class: classes[i : i + BATCH_SIZE]}
            )
            for i in range(0, len(images), BATCH_SIZE)
        ]
        size = np.abs(np.concatenate(gradients)).max(axis=-1)
        size = ndimage.gaussian_filter(size, (0, SMOOTHING, SMOOTHING))
        return size / size.max(axis=(1, 2), keepdims=True).clip(1e-12)

    def classify(self, images, views):
        """images: Pillow images. views: of each, uint8 [items, views, height, width, channels]. Returns Answers."""
        together = np.concatenate(views)
        probabilities = self.probabilities(together)
        saliency = self.saliency(together[:, 0], probabilities.argmax(axis=1))
        ends = np.cumsum([len(v) for v in views])[:-1]
        parts = zip(images, views, np.split(probabilities, ends), np.split(saliency, ends), strict=True)
        return [Answer(*part, self.run.class_names) for part in parts]


def prepared(source, name, network_input):
    """A picture and what a network takes of it: (Pillow image, views). source, name: as of pictures.read().

    network_input: a function of the image. Raises UserError if the picture cannot be used.
    """
    image = pictures.read(source, name)
    try:
        return image, network_input(image)
    except UserError as error:
        raise UserError(f"{name} {error}") from None


def classify(classifier, paths, network_input):
    """Yields (path, Answer) for each picture, or (path, UserError) where it cannot be used."""

    def read(path):
        try:
            image, views = prepared(path, path, network_input)
        except UserError as error:
            return error
        image.thumbnail(SHOWN_SIZE, Image.Resampling.BOX)
        return image, views

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes in parallel
        for start in range(0, len(paths), CHUNK):
            chunk = paths[start : start + CHUNK]
            pictures_read = list(pool.map(read, chunk))
            usable = [one for one in pictures_read if not isinstance(one, UserError)]
            answered = iter(classifier.classify(*zip(*usable, strict=True)) if usable else [])
            for path, one in zip(chunk, pictures_read, strict=True):
                yield path, one if isinstance(one, UserError) else next(answered)
