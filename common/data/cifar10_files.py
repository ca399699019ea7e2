"""The files of CIFAR-10's binary version: where they come from, safe unpacking, and their records.

The version for Python is not read: it is pickled, and unpickling runs whatever code a file holds.
"""

import gzip
import hashlib
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath

from common.data import download
from common.errors import UserError, writing

import numpy as np

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
IMAGE_SIZE = 32  # pixels, both ways
RECORD = 1 + 3 * IMAGE_SIZE**2  # bytes: the label, then the red, the green and the blue plane, row by row
RECORDS = 10_000  # in each file

FOLDER = "cifar-10-batches-bin"
ARCHIVE = "cifar-10-binary.tar.gz"
ARCHIVE_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"  # https://www.cs.toronto.edu/~kriz/cifar.html
MIRRORS = ("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/")
SHA1 = {  # of the official files, as MXNet's Gluon checks them
    "data_batch_1.bin": "aadd24acce27caa71bf4b10992e9e7b2d74c2540",
    "data_batch_2.bin": "c0ba65cce70568cd57b4e03e9ac8d2a5367c1795",
    "data_batch_3.bin": "1dd00a74ab1d17a6e7d73e185b69dbf31242f295",
    "data_batch_4.bin": "aab85764eb3584312d3c7f65fd2fd016e36a258e",
    "data_batch_5.bin": "26e2849e66a845b7f1e4614ae70f4889ae604628",
    "test_batch.bin": "67eb016db431130d61cd03c7ad570b013799c88c",
}


def read(folder):
    """Reads the six files in folder/cifar-10-batches-bin. If one is missing, unpacks the archive, or downloads it.

    Returns (images, labels) of training and of testing, uint8 [n, 32, 32, 3] and [n], and the path of the first file
    that is not the official one, or None. Raises DataUnavailable where no mirror answers, UserError where the archive
    is not the official one or a file is damaged.
    """
    batches, archive = folder / FOLDER, folder / ARCHIVE
    if not all((batches / name).exists() for name in SHA1):
        if archive.exists():
            _check_archive(archive)
        else:
            try:
                download.fetch(archive, MIRRORS, _check_archive)
            except download.DataUnavailable as error:
                raise download.DataUnavailable(
                    f"CIFAR-10 is not in {batches} and {error}. Put {ARCHIVE} in {folder}"
                ) from None
        unpack(archive, folder)
    parts, unofficial = [], None
    for name, sha1 in SHA1.items():
        content = (batches / name).read_bytes()
        parts.append(parse(content, batches / name))
        if unofficial is None and hashlib.sha1(content).hexdigest() != sha1:
            unofficial = batches / name
    train = tuple(map(np.concatenate, zip(*parts[:-1], strict=True)))
    return train, parts[-1], unofficial


def _check_archive(path):
    download.check_file_digest(path, ARCHIVE_MD5)


def parse(content, path):
    """Parses the records of one file: (images uint8 [10000, 32, 32, 3], labels uint8 [10000]).

    Raises UserError, which names the path, for content of another length and for a label above 9.
    """
    expected = RECORDS * RECORD
    if len(content) != expected:
        kind = "truncated" if len(content) < expected else "too long"
        raise UserError(f"{path} is {kind}: {RECORDS:,} records are {expected} bytes, it has {len(content)}")
    records = np.frombuffer(content, np.uint8).reshape(RECORDS, RECORD)
    labels = records[:, 0]
    if (wrong := np.flatnonzero(labels >= len(CLASS_NAMES))).size:
        raise UserError(f"{path} is damaged: record {wrong[0]} has the label {labels[wrong[0]]}, not 0 to 9")
    planes = records[:, 1:].reshape(RECORDS, 3, IMAGE_SIZE, IMAGE_SIZE)
    return np.stack(planes.swapaxes(0, 1), axis=-1), labels.copy()  # faster than a copy of the transpose


def unpack(archive, folder):
    """Unpacks the six files of the archive to folder/cifar-10-batches-bin, all of them or none.

    Only regular files of the expected names and size are written, at places that the archive has no say in. Raises
    UserError for an archive with a link, a device, a path that leads out of its folder, a file twice, or without one of
    the six, and where the disk is full.
    """
    with download.locked(folder.parent, "unpacking"), writing(folder / FOLDER):
        for leftover in folder.glob(".unpacking-*/"):  # of one that was killed: the lock is ours
            shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder) as temporary:
            _unpack(archive, Path(temporary))
            (folder / FOLDER).mkdir(exist_ok=True)
            for name in SHA1:
                (Path(temporary) / name).replace(folder / FOLDER / name)


def _unpack(archive, part):
    """Unpacks the six files to the folder `part`."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                _unpack_member(tar, member, part, archive)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{archive} cannot be unpacked ({error}); delete it to download it again") from None
    missing = [name for name in SHA1 if not (part / name).exists()]
    if missing:
        raise UserError(f"{archive} is not CIFAR-10's binary version: it lacks {', '.join(missing)}")


def _unpack_member(tar, member, part, archive):
    """Unpacks a member of the tar file to the folder `part` if it is one of the six files."""
    where = PurePosixPath(member.name)
    target = part / where.name
    safe = not where.is_absolute() and ".." not in where.parts and (member.isfile() or member.isdir())
    if not safe or target.is_file():
        raise UserError(f"{archive} is not safe to unpack: it holds {member.name!r}; nothing was unpacked")
    if member.isfile() and where.parent.name == FOLDER and where.name in SHA1:
        if member.size != RECORDS * RECORD:
            raise UserError(f"{archive} is damaged: {member.name} has {member.size} bytes")
        with target.open("xb") as out:
            shutil.copyfileobj(tar.extractfile(member), out)
