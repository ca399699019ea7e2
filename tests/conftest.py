"""Fixtures: tiny data in memory, the scripts called in this process or as real programs, real MNIST where it is."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from common import command_line, datasets, generated

import pytest
import tensorflow.compat.v1 as tf

ROOT = Path(__file__).resolve().parents[1]
CPU = "/device:CPU:0"


@pytest.fixture(scope="session")
def tiny():
    """A data set of 300 training, 100 validation and 120 test digits, drawn."""
    images, labels = generated.digits(520, seed=3)
    images = images[..., None]
    splits = [datasets.Split(images[a:b], labels[a:b]) for a, b in ((0, 300), (300, 400), (400, 520))]
    return datasets.DataSet("generated", "generated digits", datasets.DIGITS, "tiny", *splits)


@pytest.fixture(autouse=True, scope="session")
def ctrl_c():
    """SIGINT as in a terminal, also where the tests run in the background of a shell, which ignores it there."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def graph():
    """Each test builds in a graph of its own."""
    with tf.Graph().as_default() as graph:
        yield graph


@pytest.fixture
def call(monkeypatch, capsys):
    """call(main, *flags) runs a script's main() as the command line does: (exit status, stdout, stderr)."""

    def call(main, *flags):
        monkeypatch.setattr(sys, "argv", ["script", *map(str, flags)])
        with pytest.raises(SystemExit) as stop:
            command_line.run(main)
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    return call


@pytest.fixture
def program(tmp_path):
    """program(script, *flags) starts a script from another working directory, as a user would; Popen, text pipes."""
    started = []

    def program(script, *flags):
        folders = ["--checkpoint-dir", tmp_path / "checkpoints", "--log-dir", tmp_path / "logs"]
        process = subprocess.Popen(
            [sys.executable, ROOT / script, *folders, *map(str, flags)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"},
        )
        started.append(process)
        return process

    yield program
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def real_mnist():
    """The real MNIST; tests that need it are skipped where its files are not."""
    folder = Path(os.environ.get("DATA_DIR", ROOT / "data"))
    if not (folder / "mnist").is_dir():
        pytest.skip(f"needs the real MNIST in {folder / 'mnist'}")
    return datasets.load("mnist", folder)
