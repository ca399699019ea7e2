"""Packing that is stopped, or has no room; and shards that are not as they were."""

import json
import shutil
import signal
import subprocess
import sys
import time

from common.data import datasets, shards
from common.errors import UserError

import numpy as np
import pytest
from conftest import ROOT, environment
from packing_helpers import FIRST, SIZE, TEXTURES, counts_of, flip, folder_of, pack
from PIL import Image


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: cut(folder / FIRST), f"{FIRST} is cut short"),
        (lambda folder: flip(folder / FIRST), f"{FIRST} is damaged at byte"),
        (lambda folder: swap(folder, FIRST, "train-00001-of-00002.tfrecord"), f"{FIRST} is damaged"),
        (lambda folder: (folder / "test-00000-of-00001.tfrecord").unlink(), "cannot be read: No such file"),
        (lambda folder: (folder / "test-00000-of-00001.tfrecord").write_bytes(b""), "test-00000.* cannot be read"),
        (lambda folder: flip(folder / "train.index.npy"), "train.index.npy is missing or damaged"),
        (lambda folder: (folder / "test.index.npy").unlink(), "test.index.npy is missing or damaged"),
        (lambda folder: cut(folder / "dataset.json"), "dataset.json is damaged"),
        (lambda folder: (folder / "dataset.json").write_text("{}"), "dataset.json is damaged"),
    ],
)
@pytest.mark.parametrize("in_memory", [None, 0])
def test_a_damaged_shard_is_an_error_that_names_it(tmp_path, monkeypatch, damage, message, in_memory):
    monkeypatch.setattr(shards, "SHARD_BYTES", 8 * SIZE * SIZE * 3)
    folder = pack(folder_of(tmp_path / "s", {"a": 10, "b": 10}), tmp_path / "data")
    damage(folder)
    with pytest.raises(UserError, match=message) as error:
        datasets.packed(folder, in_memory).train.images[:]
    assert "to pack the pictures again" in str(error.value) and "\n" not in str(error.value)


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def swap(folder, one, other):
    (folder / one).rename(folder / "x")
    (folder / other).rename(folder / one)
    (folder / "x").rename(folder / other)


PROGRAM = "import sys; from cifar10 import backward; from common import command_line; command_line.run(backward.main)"


def packing_program(source, data_dir):
    command = [sys.executable, "-c", PROGRAM, "--dataset", source, "--data-dir", data_dir, "--only-pack"]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return subprocess.Popen(command, cwd=ROOT, env=environment(), **pipes)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_packing_that_is_stopped_leaves_nothing_that_is_taken_for_whole(tmp_path, number):
    source, data = folder_of(tmp_path / "s", {"a": 100, "b": 100}), tmp_path / "data"
    large = Image.fromarray(np.tile(TEXTURES[0], (80, 80, 1)))
    for i in range(100):
        large.save(source / "b" / f"large {i}.jpg")
    process = packing_program(source, data)
    while not list(data.glob(".packing-*/pixels")):
        time.sleep(0.01)
        assert process.poll() is None
    time.sleep(0.1)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else -9) and "Traceback" not in err
    assert not list(data.glob("*/dataset.json"))
    if number == signal.SIGINT:
        assert not list(data.glob(".packing-*"))
    for path in source.glob("b/large*"):
        path.unlink()
    folder = pack(source, data)
    assert not list(data.glob(".packing-*")) and len(datasets.packed(folder).test.labels) == 20


def test_two_that_pack_at_once_make_one_data_set(tmp_path):
    source = folder_of(tmp_path / "s", {"a": 50, "b": 50})
    both = [packing_program(source, tmp_path / "data") for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert all("10 to test" in out for out, _ in outputs)
    [folder] = (tmp_path / "data").glob("s-*")
    assert json.loads((folder / "dataset.json").read_text())["counts"] == {"a": [40, 5, 5], "b": [40, 5, 5]}


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, small_disk):
    source = folder_of(tmp_path / "s", {"a": 10, "b": 10})
    needed = 20 * SIZE * SIZE * 3
    for room in (0, needed, 3 * needed):  # for nothing; the pixels; a part of the shards
        filler = small_disk / "filler"
        filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - room))
        with pytest.raises(UserError, match="cannot write .*: No space left on device"):
            pack(source, small_disk / "data")
        assert not list((small_disk / "data").glob("[!.]*")) and not list((small_disk / "data").glob(".packing-*"))
        filler.unlink()
    assert counts_of(pack(source, small_disk / "data")) == {"a": [8, 1, 1], "b": [8, 1, 1]}
