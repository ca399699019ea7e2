"""The files of CIFAR-10: records, archives good and bad, digests; the generated shapes."""

import hashlib
import io
import tarfile

from common.data import cifar10_files, datasets, download, generated
from common.errors import UserError

import numpy as np
import pytest

RECORDS = 20  # in each file of these tests


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Files of 20 records instead of 10,000, and a validation split of 5."""
    monkeypatch.setattr(cifar10_files, "RECORDS", RECORDS)
    monkeypatch.setattr(datasets, "VALIDATION_IMAGES", 5)
    monkeypatch.setattr(cifar10_files, "MIRRORS", ("http://127.0.0.1:9/",))


@pytest.fixture
def files(monkeypatch):
    """Whole files, {name: content}, which count as the official ones."""
    random = np.random.default_rng(0)
    contents = {}
    for name in cifar10_files.SHA1:
        records = random.integers(0, 256, [RECORDS, 3073]).astype(np.uint8)
        records[:, 0] %= 10
        contents[name] = records.tobytes()
        monkeypatch.setitem(cifar10_files.SHA1, name, hashlib.sha1(contents[name]).hexdigest())
    return contents


def lay(folder, files):
    batches = folder / "cifar10" / "cifar-10-batches-bin"
    batches.mkdir(parents=True)
    for name, content in files.items():
        (batches / name).write_bytes(content)
    return batches


def archive(path, members, monkeypatch=None):
    """Writes a .tar.gz of (name, content) pairs and TarInfos; with monkeypatch, it counts as the official one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    if monkeypatch:
        monkeypatch.setattr(cifar10_files, "ARCHIVE_MD5", hashlib.md5(path.read_bytes()).hexdigest())
    return path


def inside(files):
    return [(f"cifar-10-batches-bin/{name}", content) for name, content in files.items()]


def test_record_is_a_label_and_three_planes(monkeypatch):
    monkeypatch.setattr(cifar10_files, "RECORDS", 2)
    red = bytes([10, 11]) + bytes(1022)  # two pixels of the first row
    green, blue = bytes(32) + b"\x14" + bytes(991), bytes(1023) + b"\x1e"  # second row, first pixel; the last pixel
    images, labels = cifar10_files.parse(b"\x03" + red + green + blue + b"\x09" + b"\x07" * 3072, "x")
    assert labels.tolist() == [3, 9] and images.shape == (2, 32, 32, 3) and images.dtype == np.uint8
    expected = np.zeros([32, 32, 3], int)
    expected[0, 0, 0], expected[0, 1, 0], expected[1, 0, 1], expected[31, 31, 2] = 10, 11, 20, 30
    np.testing.assert_array_equal(images[0], expected)
    assert (images[1] == 7).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c[:-1], "is truncated: 20 records are 61460 bytes, it has 61459"),
        (lambda c: c + b"\0", "is too long"),
        (lambda c: b"", "is truncated"),
        (lambda c: c[:6146] + b"\x0a" + c[6147:], "is damaged: record 2 has the label 10, not 0 to 9"),
    ],
)
def test_damaged_file_is_named(files, tmp_path, change, message):
    path = lay(tmp_path, files) / "data_batch_4.bin"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UserError) as error:
        datasets.CIFAR10["cifar10"](tmp_path)
    assert str(error.value).startswith(f"{path} {message}")


def test_splits_are_in_the_order_of_the_files(files, tmp_path, capsys):
    lay(tmp_path, files)
    data = datasets.CIFAR10["cifar10"](tmp_path)
    assert [len(split.labels) for split in (data.train, data.validation, data.test)] == [95, 5, 20]
    labels = np.concatenate([data.train.labels, data.validation.labels, data.test.labels])
    np.testing.assert_array_equal(labels, np.concatenate([np.frombuffer(c, np.uint8)[::3073] for c in files.values()]))
    assert data.title == "CIFAR-10" and capsys.readouterr().err == ""


def test_whole_but_unofficial_set_is_used_with_one_warning_that_names_a_file(files, tmp_path, capsys):
    path = lay(tmp_path, files) / "data_batch_2.bin"
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")
    data = datasets.CIFAR10["cifar10"](tmp_path)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and str(path) in said and "not comparable with published ones" in said
    assert data.title == "CIFAR-10 (unofficial copy)"


def test_archive_is_unpacked_once(files, tmp_path, monkeypatch):
    readme = ("cifar-10-batches-bin/readme.html", b"hello")
    path = archive(tmp_path / "cifar10/cifar-10-binary.tar.gz", [*inside(files), readme], monkeypatch)
    (path.parent / ".unpacking-x").mkdir()  # of one that was killed
    first = datasets.CIFAR10["cifar10"](tmp_path)
    assert sorted(p.name for p in path.parent.iterdir()) == ["cifar-10-batches-bin", path.name]
    assert sorted(p.name for p in (tmp_path / "cifar10/cifar-10-batches-bin").iterdir()) == sorted(files)
    path.unlink()
    assert datasets.CIFAR10["cifar10"](tmp_path).digest == first.digest


def link(kind, name, target):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "bad",
    [
        ("../outside.bin", b"x"),
        ("cifar-10-batches-bin/../../outside.bin", b"x"),
        ("{tmp_path}/outside.bin", b"x"),
        link(tarfile.SYMTYPE, "cifar-10-batches-bin/more", "/etc"),
        link(tarfile.LNKTYPE, "cifar-10-batches-bin/more", "../../outside.bin"),
        link(tarfile.FIFOTYPE, "cifar-10-batches-bin/more", ""),
        ("cifar-10-batches-bin/test_batch.bin", bytes(RECORDS * 3073)),  # a second one
    ],
    ids=lambda bad: bad[0] if isinstance(bad, tuple) else f"{bad.name} -> {bad.linkname}",
)
@pytest.mark.parametrize("first", [True, False])
def test_unsafe_archive_writes_nothing(files, tmp_path, monkeypatch, bad, first):
    if isinstance(bad, tuple):
        bad = bad[0].format(tmp_path=tmp_path), bad[1]
    members = [bad, *inside(files)] if first else [*inside(files), bad]
    path = archive(tmp_path / "data/cifar10/cifar-10-binary.tar.gz", members, monkeypatch)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="cifar-10-binary.tar.gz is not safe to unpack: it holds"):
        datasets.CIFAR10["cifar10"](tmp_path / "data")
    assert before == sorted([tmp_path / "data", path.parent, path])
    assert set(tmp_path.rglob("*")) == {*before, tmp_path / "data/.unpacking.lock"}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (lambda files: inside(files)[:-1], "lacks test_batch.bin"),
        (lambda files: [(name, content * 2) for name, content in inside(files)], "data_batch_1.bin has 122920 bytes"),
        (lambda files: [(f"other/{name}", content) for name, content in files.items()], "lacks data_batch_1.bin"),
    ],
)
def test_archive_of_other_content_is_refused(files, tmp_path, monkeypatch, members, message):
    path = archive(tmp_path / "cifar10/cifar-10-binary.tar.gz", members(files), monkeypatch)
    with pytest.raises(UserError, match=message):
        datasets.CIFAR10["cifar10"](tmp_path)
    assert list(path.parent.iterdir()) == [path]


def test_archive_with_a_wrong_digest_is_named_and_not_unpacked(files, tmp_path):
    path = archive(tmp_path / "cifar10/cifar-10-binary.tar.gz", inside(files))
    found = hashlib.md5(path.read_bytes()).hexdigest()
    with pytest.raises(UserError) as error:
        datasets.CIFAR10["cifar10"](tmp_path)
    assert all(part in str(error.value) for part in (str(path), cifar10_files.ARCHIVE_MD5, found))
    assert list(path.parent.iterdir()) == [path]


def test_cut_archive_is_one_clear_error(files, tmp_path, monkeypatch):
    path = archive(tmp_path / "cifar10/cifar-10-binary.tar.gz", inside(files))
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(UserError, match="is not the official file"):
        datasets.CIFAR10["cifar10"](tmp_path)
    with pytest.raises(UserError, match="cannot be unpacked"):
        cifar10_files.unpack(path, tmp_path / "cifar10")
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.slow
def test_without_network_shapes_are_drawn_unless_cifar10_is_named(tmp_path, capsys):
    with pytest.raises(download.DataUnavailable, match=r"no connection.*Put cifar-10-binary.tar.gz in"):
        datasets.CIFAR10["cifar10"](tmp_path)
    data = datasets.load_or_generate(datasets.CIFAR10, None, tmp_path)
    assert data.title == "generated shapes" and data.name == "generated" and len(data.class_names) == 10
    assert "generated shapes are used instead" in " ".join(capsys.readouterr().err.split())
    assert [path.name for path in tmp_path.iterdir()] == [".downloading.lock"]


def test_generated_shapes_are_seeded_balanced_and_coloured():
    images, labels = generated.shapes(2500, seed=5)  # more than one chunk
    again, _ = generated.shapes(2500, seed=5)
    other, _ = generated.shapes(2500, seed=6)
    np.testing.assert_array_equal(images, again)
    assert (images != other).any()
    assert images.dtype == np.uint8 and images.shape == (2500, 32, 32, 3)
    assert np.bincount(labels).min() > 180 and len(np.bincount(labels)) == 10
    assert images.reshape(2500, -1, 3).astype(float).std(axis=1).max(axis=1).min() > 15  # something to see in each
