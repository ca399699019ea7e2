"""What reads bytes of others: each either works or refuses them in one line. For fuzz.py, and the tests.

A target is a function of an empty folder for its files. It returns (seeds, read): valid contents, and a function of a
content that raises UserError to refuse it.
"""

import gzip
import io
import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from benchmarks.faults.run_targets import (
    checkpoint_data,
    checkpoint_index,
    export_json,
    one_file,
    run_json,
    weights_npz,
)
from cifar10 import picture_to_input as photo_to_input
from common.app import classifier, page
from common.data import cifar10_files, download, foreign_records, mnist_files, pictures, records, shards, tables
from common.errors import UserError
from mnist import picture_to_input

import msgspec
import numpy as np
import tensorflow.compat.v1 as tf
from PIL import Image, ImageDraw
from werkzeug.test import EnvironBuilder, run_wsgi_app

TOKENS = [  # that are put into contents, beside what is drawn
    b"\0", b"\xff" * 4, b"\xff" * 8, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\0\0\0", b"\0\0\0\x01",
    b"\n", b"\r", b'"', b"'", b"\\", b"%00", b"../", b"{", b"}", b"[", b"]", b",", b";", b"\t", b"\xef\xbb\xbf",
    b"null", b"true", b"-1", b"1e999", b"NaN", b"0.5", b"99999999999999999999", b"999999999", b"[]", b"{}",
    b'"\\ud800"', b'"\\u0000"', b"\x1b[2J", b"\xe2\x80\xa8", b"\xff\xfe",
]  # fmt: skip


def accepts(read, content):
    """Whether a target reads a content; False if it refuses it. Raises whatever else it raises, AssertionError if in
    other than one line."""
    try:
        read(content)
    except UserError as error:
        assert len(str(error).splitlines()) == 1, f"not one line: {str(error)!r}"
        return False
    return True


def idx(folder):
    seeds = [b"\0\0\x08\x01\0\0\0\x04abcd", b"\0\0\x08\x03" + b"\0\0\0\x02" * 3 + bytes(8)]
    return seeds, lambda content: mnist_files.parse_idx(content, "file")


def compressed(folder):
    def read(content):
        (folder / "file.gz").write_bytes(content)
        download.read_gzip(folder / "file.gz")

    return [gzip.compress(bytes(99), mtime=0), gzip.compress(b"ab", mtime=0) + gzip.compress(b"c", mtime=0)], read


def cifar10_records(folder):
    def read(content):
        with mock.patch.object(cifar10_files, "RECORDS", 2):
            cifar10_files.parse(content, "file")

    return [b"\x03" + bytes(3072) + b"\x09" + b"\xff" * 3072], read


def cifar10_archive(folder):
    def archive(form, kind):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode=kind, format=form) as tar:
            tar.add(folder, "cifar-10-batches-bin", recursive=False)
            for name in cifar10_files.SHA1:
                info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                info.size, info.mtime = cifar10_files.RECORD, 1.5
                tar.addfile(info, io.BytesIO(bytes(info.size)))
        return file.getvalue()

    def read(content):
        place = folder / "data" / "cifar10"
        place.mkdir(parents=True, exist_ok=True)
        # Compressed here: what changes a compressed file only damages it.
        (place / "archive").write_bytes(content if content[:2] == b"\x1f\x8b" else gzip.compress(content, 0))
        with mock.patch.object(cifar10_files, "RECORDS", 1):
            try:
                cifar10_files.unpack(place / "archive", place)
            finally:
                left = {str(path.relative_to(folder)) for path in folder.rglob("*")}
                shutil.rmtree(folder / "data")
        known = [f"data/cifar10/{cifar10_files.FOLDER}/{name}" for name in cifar10_files.SHA1]
        expected = {"data", "data/.unpacking.lock", "data/cifar10", "data/cifar10/archive", str(Path(known[0]).parent)}
        assert left == {*expected, *known}

    forms = tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT
    return [archive(form, "w") for form in forms] + [archive(tarfile.PAX_FORMAT, "w:gz")], read


def table(folder):
    files = [str(folder / name) for name in ("a.png", "b c.png", "sub/a.png", "é.png")]

    def read(content):
        (folder / "table.csv").write_bytes(content)
        tables.read(folder / "table.csv", files)

    texts = ["image,label\na.png,cat\nb c.png,dog\n", "a;1\né;2\n", 'file\tclass\n"sub/a.png"\tcat\n', "b c.png 3\n"]
    return [*(text.encode() for text in texts), texts[0].encode("utf-16"), texts[1].encode("cp1252")], read


def _examples():
    """tf.train.Examples of others, bytes."""
    whole, pixels, name = shards._whole, shards._bytes(bytes(4)), shards._bytes(b"cat")
    for features in (
        {"img_raw": pixels, "label": whole(3)},
        {"image_raw": pixels, "label": name, "height": whole(2), "width": whole(2), "depth": whole(1)},
    ):
        yield tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _records(path, examples):
    with tf.python_io.TFRecordWriter(str(path)) as writer:
        for example in examples:
            writer.write(example)
    return path


def _read_records(path):
    for start, _ in foreign_records.scan(path):
        foreign_records.picture(path, start)
    foreign_records.guessed(path)


def tf_records(folder):
    """TFRecords of others."""
    name = "file.tfrecord"
    return one_file(
        folder, name, lambda f: _records(f / name, [*_examples()] * 2), lambda f: _read_records(f / name)
    )


def tf_example(folder):
    """One example in such a file, whose checksums are right."""
    return [*_examples()], lambda content: _read_records(_records(folder / "file.tfrecord", [content]))


def _packed(folder):
    """A packed data set of two pictures in each part."""
    images, names = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4, 1), {}
    for part in records.PARTS:
        names[part] = shards.write(folder, part, range(2), images, np.array([0, 1]), [b"a.png", b"b.png"])
    packed = records.Packed(
        title="mine", source="mine", root="mine", reading="ink", class_names=("a", "b"), size=4, channels=1,
        counts={"a": [1, 1, 1], "b": [1, 1, 1]}, left_out={},
        shards={part: files for part, (files, _) in names.items()},
        indexes={part: digest for part, (_, digest) in names.items()}, digest="0" * 64, stamp="0" * 64,
    )  # fmt: skip
    (folder / records.DATASET).write_bytes(msgspec.json.encode(packed))


def _read_packed(folder):
    told = records.read(folder)
    for part in records.PARTS:
        images, _ = records.part(folder, told, part)
        images[:]


def packed_description(folder):
    return one_file(folder, records.DATASET, _packed, _read_packed)


def packed_shard(folder):
    return one_file(folder, "train-00000-of-00001.tfrecord", _packed, _read_packed)


def _picture(form):
    image, file = Image.new("RGB", (40, 48), "white"), io.BytesIO()
    ImageDraw.Draw(image).line([(10, 12), (30, 12), (19, 38)], fill="black", width=4)
    (image.convert("P") if form in ("GIF", "BMP") else image).save(file, form)
    return file.getvalue()


def picture(folder):
    def read(content):
        image = pictures.read(io.BytesIO(content), "this file")
        photo_to_input.reader("", 32)(image)
        picture_to_input.digit(image)

    return [_picture(form) for form in pictures.FORMATS], read


def request(folder):
    """What the page is asked: a line of method and path, headers, an empty line, and the body."""
    about = SimpleNamespace(title="t", class_names=tuple("0123456789"), image_shape=(28, 28, 1), dataset="mnist")
    network = SimpleNamespace(
        about=about, gradient=None, probabilities=lambda images: np.full([len(images), 10], 0.1, np.float32)
    )
    app = page.application("mnist", classifier.Classifier(network), picture_to_input.digit, page.LOCAL)

    def read(content):
        head, _, body = content.partition(b"\r\n\r\n")
        (first, *lines) = head.decode("latin-1").split("\r\n")
        method, _, path = first.partition(" ")
        environ = EnvironBuilder(input_stream=io.BytesIO(body)).get_environ()
        path, _, query = path.partition("?")
        environ |= {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query}
        for line in lines:  # as a server makes it of a request
            name, _, value = line.partition(":")
            name = name.strip().upper().replace("-", "_")
            environ[name if name in ("CONTENT_LENGTH", "CONTENT_TYPE") else f"HTTP_{name}"] = value.strip()
        chunks, status, _ = run_wsgi_app(app, environ, buffered=True)
        answer = b"".join(chunks)
        if not status.startswith("200"):
            assert status.startswith("4"), status
            raise UserError(msgspec.json.decode(answer)["error"] if method != "HEAD" else status)

    body = _picture("PNG")
    lines = f"POST /classify\r\nHost: localhost\r\nContent-Length: {len(body)}\r\nOrigin: http://localhost\r\n\r\n"
    others = "GET /\r\n", "GET /about?a=b\r\nHost: 127.0.0.1:7860\r\n", "HEAD /examples/chalk.jpg\r\n"
    return [lines.encode() + body, *(f"{other}\r\n".encode() for other in others)], read


TARGETS = [
    idx, compressed, cifar10_records, cifar10_archive, table, tf_records, tf_example, packed_description, packed_shard,
    run_json, export_json, weights_npz, checkpoint_index, checkpoint_data, picture, request,
]  # fmt: skip
