"""The files of the MNIST family: parsing, digests, mirrors; the generated digits."""

import gzip
import hashlib
import http.server
import struct
import threading
from pathlib import Path

from common.data import datasets, download, generated, mnist_files
from common.errors import UserError

import numpy as np
import pytest
from conftest import folder_with


def idx(array):
    """The bytes of an IDX file, made by hand."""
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def test_parse_idx_reads_shape_and_bytes():
    content = b"\0\0\x08\x02" + b"\0\0\0\x02" + b"\0\0\0\x03" + bytes([1, 2, 3, 4, 5, 255])
    np.testing.assert_array_equal(mnist_files.parse_idx(content, "x"), [[1, 2, 3], [4, 5, 255]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0", "not an IDX file"),  # float32
        (b"\x01\0\x08\x01\0\0\0\x01a", "not an IDX file"),
        (b"\0\0\x08\x03\0\0\0\x01", "truncated"),  # in its header
        (b"\0\0\x08\x01", "truncated: its header needs 8 bytes, it has 4"),
        (b"\0\0\x08\x01\0\0\0\x05abcd", "truncated"),
        (b"\0\0\x08\x01\0\0\0\x03abcd", "too long"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "truncated"),  # sizes whose product is huge
    ],
)
def test_parse_idx_refuses(content, message):
    with pytest.raises(UserError, match=f"^some/file is .*{message}"):
        mnist_files.parse_idx(content, "some/file")


@pytest.fixture
def source(monkeypatch):
    """A data set of zeros in MNIST's format, known to mnist_files.SOURCES as "mnist": {file name: content}."""
    random = np.random.default_rng(0)
    files = {}
    for prefix, count in (("train", 5010), ("t10k", 20)):
        files[f"{prefix}-images-idx3-ubyte"] = idx(random.integers(0, 256, (count, 28, 28)).astype(np.uint8))
        files[f"{prefix}-labels-idx1-ubyte"] = idx(random.integers(0, 10, count).astype(np.uint8))
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    monkeypatch.setitem(mnist_files.SOURCES, "mnist", mnist_files.SOURCES["mnist"]._replace(md5=md5, mirrors=()))
    return files


@pytest.fixture
def mirror(source, monkeypatch):
    """Web servers on this machine: add(content by name) starts one and appends it to the mirrors."""
    servers = []

    def add(files):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = files.get(self.path.strip("/"))
                self.send_response(404 if body is None else 200)
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *args):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        known = mnist_files.SOURCES["mnist"]
        url = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setitem(mnist_files.SOURCES, "mnist", known._replace(mirrors=(*known.mirrors, url)))

    yield add
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("compressed", [True, False])
def test_load_reads_files_and_splits(source, tmp_path, compressed):
    (tmp_path / "mnist").mkdir()
    for name, content in source.items():
        path = tmp_path / "mnist" / (f"{name}.gz" if compressed else name)
        path.write_bytes(gzip.compress(content) if compressed else content)
    data = datasets.MNIST["mnist"](tmp_path)
    assert [split.images.shape for split in (data.train, data.validation, data.test)] == [
        (10, 28, 28, 1), (5000, 28, 28, 1), (20, 28, 28, 1),
    ]
    train = mnist_files.parse_idx(source["train-labels-idx1-ubyte"], "")
    np.testing.assert_array_equal(np.concatenate([data.train.labels, data.validation.labels]), train)


def test_wrong_digest_names_file_expected_and_found(source, tmp_path):
    (tmp_path / "mnist").mkdir()
    for name, content in source.items():
        (tmp_path / "mnist" / name).write_bytes(content)
    path = tmp_path / "mnist" / "t10k-labels-idx1-ubyte"
    changed = source[path.name][:-1] + b"\x0b"
    path.write_bytes(changed)
    with pytest.raises(UserError) as error:
        datasets.MNIST["mnist"](tmp_path)
    expected, found = (hashlib.md5(c).hexdigest() for c in (source[path.name], changed))
    assert str(path) in str(error.value) and expected in str(error.value) and found in str(error.value)


def test_damaged_gzip_is_one_clear_error(source, tmp_path):
    (tmp_path / "mnist").mkdir()
    path = tmp_path / "mnist" / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(source["train-images-idx3-ubyte"])[:-1000])
    with pytest.raises(UserError, match="train-images-idx3-ubyte.gz is not a whole gzip file"):
        datasets.MNIST["mnist"](tmp_path)


def test_download_goes_on_to_the_next_mirror(source, mirror, tmp_path):
    mirror({})  # answers 404
    mirror({f"{name}.gz": gzip.compress(content[:-1]) for name, content in source.items()})  # other content
    mirror({f"{name}.gz": gzip.compress(content, 1) for name, content in source.items()})  # compressed in its own way
    assert len(datasets.MNIST["mnist"](tmp_path).test.labels) == 20
    assert sorted(p.name for p in (tmp_path / "mnist").iterdir()) == sorted(f"{name}.gz" for name in source)


@pytest.mark.slow
def test_no_mirror_is_an_error_by_name_and_generated_digits_by_default(source, mirror, tmp_path, monkeypatch, capsys):
    mirror({})
    mirror({f"{name}.gz": gzip.compress(content[:-1]) for name, content in source.items()})
    with pytest.raises(download.DataUnavailable, match="HTTP status 404.*other content"):
        datasets.MNIST["mnist"](tmp_path)
    assert not (tmp_path / "mnist").exists()  # nothing half-way
    data = datasets.load_or_generate(datasets.MNIST, None, tmp_path)
    said = capsys.readouterr().err
    assert data.title == "generated digits"
    assert str(tmp_path / "mnist") in said and "train-images-idx3-ubyte.gz" in said and "generated digits" in said


def test_generated_digits_are_turned_slanted_and_stretched():
    random = np.random.default_rng(0)
    angle, shear, height, width = random.uniform(0.5, 1.5, [4, 50])
    slanted = np.array([[1 + 0 * shear, 0 * shear], [shear, 1 + 0 * shear]])  # the column grows with the row
    turned = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    stretched = np.array([[1 / height, 0 * height], [0 * width, 1 / width]])
    expected = 2 * np.einsum("ijn,jkn,kln->iln", slanted, turned, stretched)
    np.testing.assert_allclose(generated._to_glyph(angle, shear, height, width), expected, rtol=1e-12)


def test_generated_digits_are_seeded_balanced_and_white_on_black():
    images, labels = generated.digits(2500, seed=5)  # more than one chunk
    again, _ = generated.digits(2500, seed=5)
    other, _ = generated.digits(2500, seed=6)
    np.testing.assert_array_equal(images, again)
    assert (images != other).any()
    assert images.dtype == np.uint8 and images.shape == (2500, 28, 28, 1)
    assert np.bincount(labels).min() > 180
    assert (images.max(axis=(1, 2, 3)) > 120).all() and np.median(images) == 0
    assert (images[:, [0, -1]] > 128).mean() < 0.01  # the digits stay clear of the border


@pytest.fixture(scope="session")
def fashion_folder():
    """The folder of the real Fashion-MNIST's files, here or of Debian's package dataset-fashion-mnist."""
    debian = Path("/usr/share/datasets/fashion-mnist")
    return debian if debian.exists() else folder_with("fashion/t10k-images-idx3-ubyte*") / "fashion"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["as it is", "compressed anew", "unpacked"])
def test_real_fashion_mnist_is_read_however_it_is_compressed(fashion_folder, tmp_path, kind):
    (tmp_path / "fashion").mkdir()
    for path in fashion_folder.glob("*-ubyte.gz"):
        target = tmp_path / "fashion" / path.name
        if kind == "as it is":
            target.symlink_to(path)
        elif kind == "compressed anew":
            target.with_suffix(".gz").write_bytes(gzip.compress(download.read_gzip(path), 1))
        else:
            target.with_suffix("").write_bytes(download.read_gzip(path))
    data = datasets.MNIST["fashion"](tmp_path)
    assert data.train.images.shape == (55_000, 28, 28, 1) and np.bincount(data.test.labels).tolist() == [1000] * 10


def test_real_mnist_is_whole(real_mnist):
    assert len(real_mnist.train.labels) == 55_000
    assert len(real_mnist.validation.labels) == 5_000
    assert np.bincount(real_mnist.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_real_cifar10_is_whole(real_cifar10):
    counts = [np.bincount(split.labels, minlength=10) for split in (real_cifar10.train, real_cifar10.validation)]
    assert np.sum(counts, axis=0).tolist() == [5000] * 10 and counts[1].sum() == datasets.VALIDATION_IMAGES
    assert np.bincount(real_cifar10.test.labels).tolist() == [1000] * 10
