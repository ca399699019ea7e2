"""Pictures of a source, each read once and made what a network takes; the pixels are kept in a file."""

import hashlib
import os
import re
from concurrent.futures import ThreadPoolExecutor

from common.data import foreign_records, pictures
from common.errors import UserError, writing

import numpy as np
from PIL import Image
from tqdm import tqdm

CHUNK = 64  # pictures that are held at a time


def read_all(examples, spool, read):
    """Reads the pictures, on all cores, and keeps the pixels in a file.

    Returns them, a Spool; their rows in `examples`; their digests, uint64 [n]; and a list of
    (example, reason) of those that cannot be used.
    """
    rows, digests, left_out, shape = [], [], [], None
    with (
        writing(spool),
        spool.open("wb") as file,
        ThreadPoolExecutor(os.cpu_count()) as pool,  # Pillow decodes in parallel
        tqdm(
            total=len(examples), bar_format="packing {n_fmt}/{total_fmt} {bar} {remaining} left, {rate_fmt}",
            unit=" pictures", dynamic_ncols=True, disable=None,
        ) as bar,
    ):  # fmt: skip
        for start in range(0, len(examples), CHUNK):
            chunk = examples[start : start + CHUNK]
            for row, (example, image) in enumerate(
                zip(chunk, pool.map(lambda example: _read(example, read), chunk), strict=True), start
            ):
                bar.update()
                if isinstance(image, str):
                    left_out.append((example, image))
                    continue
                shape, pixels = image.shape, image.tobytes()
                file.write(pixels)
                rows.append(row)
                digests.append(int.from_bytes(hashlib.blake2b(pixels, digest_size=8).digest(), "big"))
    return Spool(spool, (len(rows), *(shape or ()))), rows, np.array(digests, np.uint64), left_out


class Spool:
    """Pictures one after the other in a file, uint8, read by index: not mapped, so that they take no memory."""

    def __init__(self, path, shape):
        self._path, self.shape = path, shape

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, which):
        """One picture, or those at a slice or an array of indices."""
        size = int(np.prod(self.shape[1:]))
        rows = np.arange(*which.indices(len(self))) if isinstance(which, slice) else np.asarray(which)
        result = np.empty([rows.size, size], np.uint8)
        with self._path.open("rb") as file:
            for i, row in enumerate(rows.flat):
                file.seek(int(row) * size)
                file.readinto(result[i])
        return result.reshape(*rows.shape, *self.shape[1:])


def _read(example, read):
    """What a network takes of a picture, uint8 [size, size, channels]; or why it cannot be used."""
    try:
        if example.record is None:
            image = pictures.read(example.path, "")
        else:
            image = Image.fromarray(foreign_records.picture(example.path, example.record).squeeze()).convert("RGB")
        return read(image)[0, 0]
    except (UserError, OSError) as error:  # OSError: a file of records that is gone meanwhile
        return str(error).strip()


def kind(reason):
    """What reasons of one kind have in common: "is not a picture that can be read", "has more than N pixels"."""
    return re.sub(r"\d[\d,]*(×\d+)?", "N", re.split(r"[:;(]", reason)[0]).strip()
