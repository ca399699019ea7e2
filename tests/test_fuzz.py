"""Bytes of others: whatever reads them works or refuses them in one line; what fuzzing found stays found."""

import io
import json
import zipfile

from benchmarks.faults import targets
from common.errors import UserError

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

SLOW = [hypothesis.HealthCheck.too_slow]  # on a loaded machine


@st.composite
def edited(draw, seeds):
    """A valid content after a few edits."""
    content = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(start + 64, len(content))))
        before, piece, after = content[:start], content[start:end], content[end:]
        new = draw(st.sampled_from(targets.TOKENS) | st.binary(max_size=8))
        content = draw(
            st.sampled_from([
                before + new + piece + after,  # inserted
                before + new + content[start + len(new) :],  # overwritten
                before + after, before,  # cut
                before + 3 * piece + after,  # repeated
                after + piece + before,  # swapped
                before + bytes(byte ^ 1 << len(new) % 8 for byte in piece) + after,  # flipped
            ])
        )  # fmt: skip
    return content


@pytest.mark.parametrize("target", targets.TARGETS)
def test_edited_contents_are_read_or_refused_in_one_line(target, tmp_path):
    seeds, read = target(tmp_path)
    assert any([targets.accepts(read, seed) for seed in seeds])

    @hypothesis.settings(max_examples=50, derandomize=True, deadline=None, database=None, suppress_health_check=SLOW)
    @hypothesis.given(edited(seeds))
    def check(content):
        targets.accepts(read, content)

    check()


def in_zip(place, byte):
    """A change of a seed: a byte of what a zip file says of each of its files."""

    def change(seed):
        first, *files = seed.split(b"PK\x01\x02")  # 4 bytes, which count
        return b"PK\x01\x02".join([first, *(file[: place - 4] + byte + file[place - 3 :] for file in files)])

    return change


def entry(name, value):
    """A change of a seed in JSON: an entry with another value."""
    return lambda seed: json.dumps(json.loads(seed) | {name: value}).encode()


def zipped(contents):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return file.getvalue()


def saved(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def more_than_the_memory(seed):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999,)}\n"
    return zipped({"w.npy": b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header})


HUGE = b"\xff\xff\xff\xff"
PARTS = {"train": ["train-00000-of-00001.tfrecord"], "validation": ["x"]}


@pytest.mark.parametrize(
    ("target", "change"),
    [
        (targets.idx, lambda seed: b"\0\0\x08\x03\0\0\0\0" + 2 * HUGE),  # no bytes, and too many for NumPy
        (targets.idx, lambda seed: b"\0\0\x08\xff" + bytes(4 * 255)),  # more dimensions than NumPy has
        (targets.packed_description, entry("channels", 0)),
        (targets.packed_description, entry("channels", -1)),
        (targets.packed_description, entry("size", 10**6)),
        (targets.packed_description, entry("size", 64)),  # more pixels than the examples have
        (targets.packed_description, entry("class_names", ["a"])),
        (targets.packed_description, entry("shards", PARTS)),
        (targets.packed_description, entry("shards", PARTS | {"test": []})),
        (targets.packed_description, entry("shards", PARTS | {"test": ["two\u2028lines"]})),
        (targets.packed_description, entry("shards", PARTS | {"train": ["../elsewhere"]})),
        (targets.weights_npz, in_zip(6, b"\xa8")),  # a version of the far future
        (targets.weights_npz, in_zip(8, b"\x01")),  # encrypted
        (targets.weights_npz, in_zip(10, b"\x63")),  # another compression
        (targets.weights_npz, more_than_the_memory),
        (targets.weights_npz, lambda seed: zipped({"w.npy": b"no array", "deep/b.npy": b""})),
        (targets.weights_npz, lambda seed: saved(w=np.full([3, 2], "a"), **{"deep/b": np.ones(2)})),
        (
            targets.weights_npz,  # more than the file: an error without words
            lambda seed: seed.replace(2 * b"\x98\0\0\0", 2 * b"\x98\xff\0\0").replace(b"Y\1\0v\0", b"Y\1\0\xff\xff"),
        ),
        (targets.checkpoint_index, lambda seed: seed[:106] + 2 * HUGE + seed[114:]),  # a block larger than the memory
    ],
)  # fmt: skip
def test_what_was_found_is_refused_in_one_line(target, change, tmp_path):
    (seed, *_), read = target(tmp_path)
    with pytest.raises(UserError) as error:
        read(change(seed))
    assert len(str(error.value).splitlines()) == 1
