"""Fixtures: tiny data in memory, the scripts called in this process or as real programs, real data where it is."""

import dataclasses
import os
import runpy
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

from cifar10 import backward as cifar10_backward
from cifar10.forward import NETWORKS as CIFAR10
from common import command_line
from common.app import exported, page, server
from common.data import datasets, generated, mnist_files
from common.training import checkpoints, runs, trainer
from mnist import backward as mnist_backward
from mnist import picture_to_input
from mnist.forward import NETWORKS

import pytest
import tensorflow.compat.v1 as tf

ROOT = Path(__file__).resolve().parents[1]
CPU = "/device:CPU:0"


@pytest.fixture(scope="session")
def tiny():
    """A data set of 300 training, 100 validation and 120 test digits, drawn."""
    return tiny_data_set(generated.digits, "generated digits", mnist_files.DIGITS)


@pytest.fixture(scope="session")
def tiny_shapes():
    """The same with coloured shapes."""
    return tiny_data_set(generated.shapes, "generated shapes", generated.SHAPES)


def tiny_data_set(draw, title, class_names):
    images, labels = draw(520, seed=3)
    splits = [datasets.Split(images[a:b], labels[a:b]) for a, b in ((0, 300), (300, 400), (400, 520))]
    return datasets.DataSet("generated", title, class_names, "tiny", *splits)


def described(network, data, recipe, steps, seed=1, precision="float32"):
    """The runs.Run of a network on tiny data."""
    channels = data.train.images.shape[-1]
    mean, std = (0.0, 255.0) if channels == 1 else ((120.0,) * channels, (60.0,) * channels)
    return trainer.describe(network, recipe, data, mean, std, steps, seed, precision)


def variables(path):
    """What a checkpoint holds: arrays by name."""
    reader = tf.train.NewCheckpointReader(path)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def train(task, folder, data, recipe, steps, network, seed=1, precision="float32", devices=(CPU,)):
    """Trains by a task's backward() to a global step, in a new graph; the last checkpoint's variables by name."""
    with tf.Graph().as_default():
        run = described(network, data, recipe, steps, seed, precision)
        task.backward(run, data, folder, folder / "logs", devices)
    return variables(checkpoints.latest(folder))


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
        capsys.readouterr()  # what fixtures printed
        with pytest.raises(SystemExit) as stop:
            command_line.run(main)
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    return call


@pytest.fixture
def program(tmp_path):
    """program(script, *flags) starts a script from another working directory, as a user would; Popen, text pipes.

    By name: variables of its environment.
    """
    started = []

    def program(script, *flags, **variables):
        folders = ["--checkpoint-dir", tmp_path / "checkpoints", "--log-dir", tmp_path / "logs"]
        process = subprocess.Popen(
            [sys.executable, ROOT / script, *folders, *map(str, flags)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment() | variables,
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
    return datasets.MNIST["mnist"](folder_with("mnist/t10k-images-idx3-ubyte*"))


@pytest.fixture(scope="session")
def real_cifar10():
    """The real CIFAR-10 or a copy of it; tests that need it are skipped where its files are not."""
    return datasets.CIFAR10["cifar10"](folder_with("cifar10/cifar-10-batches-bin/test_batch.bin"))


def folder_with(pattern):
    folder = Path(os.environ.get("DATA_DIR", ROOT / "data"))
    if not any(folder.glob(pattern)):
        pytest.skip(f"needs the real data: {folder / pattern}")
    return folder


def environment():
    """That of a program which a user starts: importing `common` here has silenced TensorFlow for all that follows."""
    return {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 12 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)  # the event file is still open


def folders(tmp_path):
    return ["--checkpoint-dir", tmp_path / "checkpoints", "--log-dir", tmp_path / "logs"]


@pytest.fixture(scope="session")
def trained_once(tiny, tmp_path_factory):
    """A folder of checkpoints of fully_connected, with its run.json, as of the real MNIST."""
    folder = tmp_path_factory.mktemp("trained")
    recipe = NETWORKS["fully_connected"].RECIPE
    train(mnist_backward, folder, tiny, recipe, 3, "fully_connected")
    run = described("fully_connected", tiny, recipe, steps=3)
    runs.write(folder, dataclasses.replace(run, dataset="mnist", dataset_title="MNIST"))
    return folder


@pytest.fixture
def trained(trained_once, tmp_path):
    """A copy of that folder, and the flags that name it."""
    folder = runs.folder(tmp_path / "checkpoints", "mnist", "fully_connected", "mnist")
    shutil.copytree(trained_once, folder)
    return folder, [*folders(tmp_path), "--network", "fully_connected"]


def trained_run(root, task, data, network, steps=3):
    """Checkpoints of a network after a few steps, and its run.json."""
    backward, networks = {"mnist": (mnist_backward, NETWORKS), "cifar10": (cifar10_backward, CIFAR10)}[task]
    folder = runs.folder(root / "checkpoints", task, network, data.name)
    recipe = networks[network].RECIPE
    recipe = dataclasses.replace(recipe, batch_size=24, warmup_steps=10, moving_average_decay=0.8, learning_rate=0.1)
    train(backward, folder, data, recipe, steps, network)
    runs.write(folder, dataclasses.replace(described(network, data, recipe, steps), temperature=1.7))
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch, tiny, tiny_shapes):
    """The tiny data are the generated ones, and exports go to a folder of the test."""
    monkeypatch.setitem(datasets.MNIST, "generated", lambda data_dir: tiny)
    monkeypatch.setitem(datasets.CIFAR10, "generated", lambda data_dir: tiny_shapes)
    monkeypatch.setattr(exported, "EXPORTS", tmp_path / "exports")
    return tmp_path


@pytest.fixture
def trained_digits(here, tiny):
    """A trained fully_connected, and the flags that name it."""
    trained_run(here, "mnist", tiny, "fully_connected")
    return ["--checkpoint-dir", here / "checkpoints"]


@pytest.fixture
def output(monkeypatch, capsys, tmp_path):
    """output(name) runs an example in this process, as a program, in the graph of the test; what it prints."""
    from example_helpers import EXAMPLES, assert_documented  # which needs this module

    def output(name):
        monkeypatch.setattr(sys, "argv", [name])
        monkeypatch.setattr(sys, "path", [*sys.path])  # an example puts the repository in front
        monkeypatch.setattr(command_line, "ROOT", tmp_path)  # for its picture
        try:
            runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        except SystemExit as stop:
            assert not stop.code, capsys.readouterr().err
        printed = capsys.readouterr().out
        assert_documented(name, printed)
        return printed

    return output


@pytest.fixture
def app():
    """The page as a WSGI application, and a network behind it that always answers 7."""
    from page_helpers import Sevens

    return page.application("mnist", Sevens(), picture_to_input.digit, page.LOCAL)


@pytest.fixture
def serving(app, capfd):
    """The port of the page, served by a thread; nothing but answers may come of what is sent there."""
    from page_helpers import ABOUT, sent

    running = server.Server("127.0.0.1", 0, app, server.Handler)
    thread = threading.Thread(target=running.serve_forever, args=[0.02])
    thread.start()
    yield running.port
    answer = sent(running.port, ABOUT)
    running.shutdown()
    thread.join()
    assert answer.startswith(b"HTTP/1.1 200")  # it is still alive
    assert "Traceback" not in capfd.readouterr().err
