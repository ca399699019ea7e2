"""What a network answers to pictures, be it in a session (trained.py) or in a file (exported.py)."""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from common.command_line import quiet_stderr
from common.data import pictures
from common.errors import UserError

import cv2
import numpy as np
from PIL import Image

BATCH_SIZE = 100  # things to classify a run of the graph, at most
PIXELS = 110_000  # of the things to classify a run of the graph: bounds the memory
CHUNK = 50  # pictures that are held at a time
SHOWN_SIZE = (640, 640)  # pixels, at most, of a picture that is shown again
SURE = 0.6  # an answer of less probability is "not sure"
SMOOTHING = 1.0  # pixels: standard deviation of the Gaussian that smooths a saliency map


class Answer(NamedTuple):
    """To one picture, in which there are one or more items to classify.

    picture: Pillow image, small enough to show; None where nothing is to be explained. views: uint8
    [items, views, height, width, channels]. probabilities: float [items, classes]. doubtful: bool [items], whether
    another view contradicts. saliency: float [items, height, width], of the first view; None of an exported network,
    and where nothing is to be explained. class_names: of the network.
    """

    picture: Image.Image | None
    views: np.ndarray
    probabilities: np.ndarray
    doubtful: np.ndarray
    saliency: np.ndarray | None
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
    """A network that is asked, by any number of threads."""

    def __init__(self, network, tta=False):
        """network: trained.Network or exported.Network.

        tta: average over the views of an item, and their mirror images. Else the first view gives the answer, and
        another that is empty or says something else makes it doubtful.
        """
        self.about, self._network, self._tta = network.about, network, tta

    def probabilities(self, images):
        """images: uint8 [n, height, width, channels]. Returns float [n, classes]."""
        each = [self._in_parts(self._network.probabilities, view) for view in self._mirrored(images)]
        if len(each) == 1:
            return each[0]
        # What the mean of the logits would give: the geometric mean of the probabilities, normalised.
        mean = np.exp(np.mean([np.log(p.clip(1e-38)) for p in each], axis=0))
        return mean / mean.sum(axis=1, keepdims=True)

    def _mirrored(self, images):
        return [images, images[:, :, ::-1]] if self._tta else [images]

    def _in_parts(self, function, *arrays):
        """What a function of arrays [n, …] gives, so many at a time that the memory is bounded."""
        size = min(BATCH_SIZE, max(1, PIXELS // math.prod(self.about.image_shape[:2])))
        starts = range(0, len(arrays[0]), size)
        return np.concatenate([function(*(array[start : start + size] for array in arrays)) for start in starts])

    def saliency(self, images, classes):
        """Which pixels decided: float [n, height, width], 0 to 1; or None of a network that has no gradient.

        The size of the gradient of the classes' logits by the pixels, smoothed (Simonyan et al., "Deep Inside
        Convolutional Networks", 2013). images: uint8 [n, height, width, channels]. classes: int [n].
        """
        if not self._network.gradient:
            return None
        gradients = [self._in_parts(self._network.gradient, view, classes) for view in self._mirrored(images)]
        gradients = [gradients[0], *(mirrored[:, :, ::-1] for mirrored in gradients[1:])]
        size = np.abs(np.mean(gradients, axis=0)).max(axis=-1)
        size = np.stack([cv2.GaussianBlur(one, (9, 9), SMOOTHING, borderType=cv2.BORDER_REFLECT) for one in size])
        return size / size.max(axis=(1, 2), keepdims=True).clip(1e-12)

    def classify(self, images, views, explain=True):
        """images: Pillow images. views: of each, uint8 [items, views, height, width, channels]. Returns Answers.

        explain: whether they say which pixels decided.
        """
        each = _split(  # [items, views, classes]
            self.probabilities(np.concatenate([v.reshape(-1, *v.shape[2:]) for v in views])),
            [v.shape[:2] for v in views],
        )
        probabilities = [p.mean(axis=1) if self._tta else p[:, 0] for p in each]
        doubtful = [
            (not self._tta) & ((p.argmax(axis=2) != p[:, :1].argmax(axis=2)) | ~v.any(axis=(2, 3, 4))).any(axis=1)
            for p, v in zip(each, views, strict=True)
        ]
        first, classes = np.concatenate([v[:, 0] for v in views]), np.concatenate(probabilities).argmax(axis=1)
        saliency = self.saliency(first, classes) if explain else None
        saliency = [None] * len(views) if saliency is None else _split(saliency, [v.shape[:1] for v in views])
        parts = zip(images, views, probabilities, doubtful, saliency, strict=True)
        return [Answer(*part, self.about.class_names) for part in parts]


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


def classify(classifier, paths, network_input, explain=True):
    """Yields (path, Answer) for each picture, or (path, UserError) where it cannot be used.

    explain: whether the answers have the picture, and which pixels decided.
    """

    def read(path):
        try:
            image, views = prepared(path, path, network_input)
        except UserError as error:
            return error
        if not explain:
            return None, views
        image.thumbnail(SHOWN_SIZE, Image.Resampling.BOX)
        return image, views

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes in parallel
        for start in range(0, len(paths), CHUNK):
            chunk = paths[start : start + CHUNK]
            with quiet_stderr():  # libtiff tells there of damaged files
                pictures_read = list(pool.map(read, chunk))
            usable = [one for one in pictures_read if not isinstance(one, UserError)]
            answered = iter(classifier.classify(*zip(*usable, strict=True), explain) if usable else [])
            for path, one in zip(chunk, pictures_read, strict=True):
                yield path, one if isinstance(one, UserError) else next(answered)
