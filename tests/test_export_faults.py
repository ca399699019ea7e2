"""Exports that fail, are stopped or are misused lose nothing, and say what is wrong."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import cifar10.app
from common.app import exported, forms, trained
from common.training import checkpoints, runs
from mnist import app
from mnist import export as mnist_export
from mnist.forward import NETWORKS, forward

import conftest
import pytest
from helpers import draw_seven


def test_a_form_that_differs_is_deleted_and_the_command_fails(call, here, trained_digits, tiny, monkeypatch):
    checkpoint = runs.folder(here / "checkpoints", "mnist", "fully_connected", "generated")
    session = trained.Network(forward, runs.read(checkpoint, NETWORKS), checkpoints.named(checkpoint), conftest.CPU)
    off = {"weights.npz": 2e-5, "weights.txt": 5e-6}
    monkeypatch.setattr(forms, "ask", lambda path, *_: session.probabilities(tiny.test.images) + off[path.name])
    status, out, err = call(mnist_export.main, *trained_digits, "--to", "npz", "text")
    folder = here / "exports/mnist/fully_connected-generated"
    assert status == 1 and err == "error: not as the session, within 1e-05, and deleted: weights.npz\n"
    assert list(exported.read(folder).forms) == ["weights.txt"] and not (folder / "weights.npz").exists()
    off["weights.txt"] = float("nan")
    status, _, err = call(mnist_export.main, *trained_digits, "--to", "npz", "text")
    assert status == 1 and "no form answers" in err and exported.read(folder).forms  # as it was
    off["weights.npz"] = 0.0
    assert call(mnist_export.main, *trained_digits, "--to", "npz", "text")[0] == 1
    assert list(exported.read(folder).forms) == ["weights.npz"] and not (folder / "weights.txt").exists()
    status, _, err = call(mnist_export.main, *trained_digits, "--to", "text", "--output-dir", here / "none")
    assert status == 1 and "no form answers as the session does" in err and not (here / "none").exists()
    assert list(here.glob(".export-*")) == []


@pytest.mark.slow
def test_a_form_that_cannot_be_made_does_not_take_the_others_with_it(call, here, trained_digits, monkeypatch):
    write = forms.write

    def fail(path, *rest):
        if path.name == "weights.txt":
            forms.program("convert.py", "float32", here / "nothing", path, "")
        write(path, *rest)

    monkeypatch.setattr(forms, "write", fail)
    status, out, err = call(mnist_export.main, *trained_digits, "--to", "text", "npz")
    assert status == 1 and err.startswith("weights.txt: convert.py failed: OSError: ") and err.count("\n") == 2
    assert list(exported.read(here / "exports/mnist/fully_connected-generated").forms) == ["weights.npz"]


@pytest.mark.slow
def test_ctrl_c_leaves_the_old_export_and_says_nothing(tmp_path):
    folder = tmp_path / "e"
    flags = ["--checkpoint", conftest.ROOT / "checkpoints/mnist/pretrained", "--output-dir", folder]
    data = conftest.folder_with("mnist/t10k-images-idx3-ubyte*")
    command = [sys.executable, conftest.ROOT / "mnist/export.py", *flags, "--data-dir", data, "--to"]
    subprocess.run([*command, "npz"], check=True, stdout=subprocess.DEVNULL)
    before = (folder / "weights.npz").stat().st_mtime_ns
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    process = subprocess.Popen([*command, "tflite", "onnx"], env=conftest.environment(), **pipes)
    while not process.stdout.readline().startswith("form "):
        assert process.poll() is None
    time.sleep(2)  # seconds: the converters are at work
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it, to all of them
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert (folder / "weights.npz").stat().st_mtime_ns == before and list(tmp_path.glob(".export-*")) == []


@pytest.mark.slow
def test_full_disk_is_one_line_and_the_old_export_stays(call, here, trained_digits, small_disk, monkeypatch):
    flags = [*trained_digits, "--output-dir", small_disk / "export", "--to"]
    status, _, err = call(mnist_export.main, *trained_digits, "--output-dir", small_disk)
    assert status == 1 and "is a mount or the folder that you are in" in err
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(small_disk))
        (small_disk / "filler").write_bytes(bytes(shutil.disk_usage(small_disk).free - 100_000))
        status, _, err = call(mnist_export.main, *trained_digits, "--to", "npz")
        assert status == 1 and re.search(r"^error: cannot write .*: No space left on device\n$", err)
        (small_disk / "filler").unlink()
    assert call(mnist_export.main, *flags, "npz")[0] == 0
    before = exported.read(small_disk / "export")
    (small_disk / "filler").write_bytes(bytes(shutil.disk_usage(small_disk).free - 100_000))
    for form in ("npz", "saved_model", "checkpoint"):
        status, _, err = call(mnist_export.main, *flags, form)
        assert status == 1 and re.search(r"^error: cannot write .*: No space left on device\n$", err)
    assert exported.read(small_disk / "export") == before
    assert {path.name for path in small_disk.iterdir()} == {"export", "filler"}


def test_misuse_is_one_line_and_loses_nothing(call, here, trained_digits, monkeypatch):
    other = here / "other"
    other.mkdir()
    (here / "where" / "deep").mkdir(parents=True)
    monkeypatch.chdir(here / "where" / "deep")
    (other / "thesis.txt").write_text("x")
    for flags, message in [
        (["--output-dir", other], "holds thesis.txt, which no export wrote; name another --output-dir"),
        (["--output-dir", other / "thesis.txt"], "is a file; name another --output-dir"),
        (["--to", "onnx", "--int8"], "--int8 goes with --to tflite"),
        (["--network", "lenet5"], "this makes one: python mnist/backward.py --network lenet5"),
        (["--checkpoint", here], "no checkpoint"),
        (["--checkpoint-dir", here / "typo"], "no checkpoint in"),
        (["--output-dir", here / "where"], "is a mount or the folder that you are in"),
    ]:
        status, _, err = call(mnist_export.main, *trained_digits, *flags)
        assert status == 1 and message in err and err.count("\n") == 1
    assert (other / "thesis.txt").read_text() == "x"
    monkeypatch.setattr(exported.importlib.util, "find_spec", lambda name: None)
    status, _, err = call(mnist_export.main, *trained_digits, "--to", "onnx")
    assert status == 1 and "needs the package onnxruntime" in err and "-r requirements-export.txt" in err


def test_a_damaged_export_is_made_anew(call, here, trained_digits):
    flags = [*trained_digits, "--to", "npz"]
    assert call(mnist_export.main, *flags)[0] == 0
    folder = here / "exports/mnist/fully_connected-generated"
    (folder / exported.EXPORT).write_text("{}")
    assert call(mnist_export.main, *flags)[0] == 0 and list(exported.read(folder).forms) == ["weights.npz"]


def test_an_app_says_what_is_wrong_with_an_export(call, here, trained_digits):
    picture = draw_seven(here / "7.png")
    ask = [app.main, "--log-dir", here, "--engine", "onnx", picture]
    status, _, err = call(*ask)
    assert status == 1 and "this makes one: python mnist/export.py --to onnx" in err
    assert call(mnist_export.main, *trained_digits, "--to", "npz")[0] == 0
    folder = here / "exports/mnist/fully_connected-generated"
    status, _, err = call(*ask, "--checkpoint", folder)
    assert status == 1 and f"no {folder / 'model.onnx'}" in err
    (folder / "model.onnx").write_bytes(b"damaged")
    status, _, err = call(*ask, "--checkpoint", folder)
    assert status == 1 and "model.onnx cannot be read (" in err and err.count("\n") == 1
    (folder / "model.tflite").write_bytes(b"damaged")
    status, _, err = call(app.main, "--log-dir", here, "--engine", "tflite", "--checkpoint", folder, picture)
    assert status == 1 and "model.tflite cannot be read (" in err and err.count("\n") == 1
    status, _, err = call(*ask, "--checkpoint", folder / "model.tflite")
    assert status == 1 and "--engine onnx runs a model.onnx, not" in err
    for flag, value in ("--device", "cpu"), ("--checkpoint-dir", here):
        status, _, err = call(*ask, "--checkpoint", folder, flag, value)
        assert status == 1 and err.startswith(f"error: {flag} goes without --engine") and err.count("\n") == 1
    status, _, err = call(cifar10.app.main, *ask[1:], "--checkpoint", folder)
    assert status == 1 and "is a network of mnist: ask it with mnist/app.py" in err
    status, _, err = call(*ask, "--checkpoint", folder / "other.onnx")
    assert status == 1 and f"no {folder / 'other.onnx'}; this makes one" in err
    (folder / exported.EXPORT).write_text("{}")
    status, _, err = call(*ask, "--checkpoint", folder)
    assert status == 1 and "export.json is damaged (" in err
    (folder / "weights.npz").write_bytes((folder / "weights.npz").read_bytes()[:-100])
    status, _, err = call(app.main, "--log-dir", here, "--checkpoint", folder / "weights.npz", picture)
    assert status == 1 and "cannot read the checkpoint" in err and err.count("\n") == 1
