"""A trained network, and what it answers to pictures."""

import math
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

BATCH_SIZE = 100  # things to classify a run of the graph, at most
PIXELS = 110_000  # of the things to classify a run of the graph: bounds the memory
CHUNK = 50  # pictures that are held at a time
SHOWN_SIZE = (640, 640)  # pixels, at most, of a picture that is shown again
SURE = 0.6  # an answer of less probability is "not sure"
SMOOTHING = 1.0  # pixels: standard deviation of the Gaussian that smooths a saliency map


class Answer(NamedTuple):
    """To one picture, in which there are one or more items to classify.

    picture: Pillow image, small enough to show. views: uint8 [items, views, height, width, channels]. probabilities:
    float [items, classes]. doubtful: bool [items], whether another view contradicts. saliency: float
    [items, height, width], of the first view. class_names: of the network.
    """

    picture: Image.Image
    views: np.ndarray
    probabilities: np.ndarray
    doubtful: np.ndarray
    saliency: np.ndarray
    class_names: tuple

    @property
    def text(self):
        """The most probable class of each item: "7", or "90210", or "plus minus" where names are longer."""
        between = "" if all(len(name) == 1 for name in self.class_names) else " "
        return between.join(self.class_names[c] for c in self.probabilities.argmax(axis=1))

    @property
    def probability(self):
        """That every item is what `text` says, 0 to 1."""
        return float(self.probabilities.max(axis=1).prod())

    @property
    def sure(self):
        """Whether each item is more than a guess."""
        return bool(self.probabilities.max(axis=1).min() >= SURE and not self.doubtful.any())

    def __str__(self):
        return self.text if self.sure else f"not sure, perhaps {self.text}"


class Classifier:
    """A trained network in an open session, for any number of threads."""

    def __init__(self, forward, run, checkpoint, device_name, tta=False):
        """forward: the task's. run: runs.Run, from beside the checkpoint.

        tta: average over the views of an item, and their mirror images. Else the first view gives the answer, and
        another that is empty or says something else makes it doubtful.
        The weights are the moving averages, the probabilities those at the run's temperature, which was fitted on
        single views.
        Raises UserError if the checkpoint does not fit the network.
        """
        self.run, self._tta = run, tta
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

    def probabilities(self, images):
        """images: uint8 [n, height, width, channels]. Returns float [n, classes]."""
        batches = [
            self._session.run(self._probabilities, {self._x: images[part]}) for part in self._parts(len(images))
        ]
        return np.concatenate(batches)

    def _parts(self, count):
        """Slices of things to classify, each of one run of the graph."""
        size = min(BATCH_SIZE, max(1, PIXELS // self.run.image_size**2))
        return [slice(start, start + size) for start in range(0, count, size)]

    def saliency(self, images, classes):
        """Which pixels decided: float [n, height, width], 0 to 1.

        The size of the gradient of the classes' logits by the pixels, smoothed (Simonyan et al., "Deep Inside
        Convolutional Networks", 2013). images: uint8 [n, height, width, channels]. classes: int [n].
        """
        gradients = [
            self._session.run(self._gradient, {self._x: images[part], self._class: classes[part]})
            for part in self._parts(len(images))
        ]
        size = np.abs(np.concatenate(gradients)).max(axis=-1)
        size = ndimage.gaussian_filter(size, (0, SMOOTHING, SMOOTHING))
        return size / size.max(axis=(1, 2), keepdims=True).clip(1e-12)

    def classify(self, images, views):
        """images: Pillow images. views: of each, uint8 [items, views, height, width, channels]. Returns Answers."""
        each = _split(  # [items, views, classes]
            self.probabilities(np.concatenate([v.reshape(-1, *v.shape[2:]) for v in views])),
            [v.shape[:2] for v in views],
        )
        probabilities = [p.mean(axis=1) if self._tta else p[:, 0] for p in each]
        doubtful = [
            (not self._tta) & ((p.argmax(axis=2) != p[:, :1].argmax(axis=2)) | ~v.any(axis=(2, 3, 4))).any(axis=1)
            for p, v in zip(each, views, strict=True)
        ]
        saliency = _split(
            self.saliency(np.concatenate([v[:, 0] for v in views]), np.concatenate(probabilities).argmax(axis=1)),
            [v.shape[:1] for v in views],
        )
        parts = zip(images, views, probabilities, doubtful, saliency, strict=True)
        return [Answer(*part, self.run.class_names) for part in parts]


def _split(together, shapes):
    """An array [n, …] as a list of arrays [*shape, …]."""
    parts = np.split(together, np.cumsum([math.prod(shape) for shape in shapes])[:-1])
    return [part.reshape(*shape, *together.shape[1:]) for part, shape in zip(parts, shapes, strict=True)]


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
