"""Exports: each form answers as the session does, other programs can read it, and what is misused loses nothing."""

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import cifar10.app
import cifar10.export
from cifar10 import backward as cifar10_backward
from cifar10.forward import NETWORKS as CIFAR10
from cifar10.forward import forward as cifar10_forward
from common.app import classifier, export, exported, forms, trained
from common.data import datasets
from common.training import checkpoints, runs
from mnist import app
from mnist import backward as mnist_backward
from mnist import export as mnist_export
from mnist.forward import NETWORKS, forward

import conftest
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from conftest import draw_seven
from packing_helpers import folder_of, pack
from PIL import Image

EVERY = [name for names in forms.FILES.values() for name in names]
STRANGE = ("it's \"red\"", "ғ 字", "10")  # names of classes


def trained_run(root, task, data, network, steps=3):
    """Checkpoints of a network after a few steps, and its run.json."""
    backward, networks = {"mnist": (mnist_backward, NETWORKS), "cifar10": (cifar10_backward, CIFAR10)}[task]
    folder = runs.folder(root / "checkpoints", task, network, data.name)
    recipe = networks[network].RECIPE
    recipe = dataclasses.replace(recipe, batch_size=24, warmup_steps=10, moving_average_decay=0.8, learning_rate=0.1)
    conftest.train(backward, folder, data, recipe, steps, network)
    run = conftest.described(network, data, recipe, steps)
    runs.write(folder, dataclasses.replace(run, temperature=1.7))
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch, tiny, tiny_shapes):
    """The tiny data are the generated ones, and exports go to a folder of the test."""
    monkeypatch.setitem(datasets.MNIST, "generated", lambda data_dir: tiny)
    monkeypatch.setitem(datasets.CIFAR10, "generated", lambda data_dir: tiny_shapes)
    monkeypatch.setattr(exported, "EXPORTS", tmp_path / "exports")
    return tmp_path


@pytest.fixture
def digits(here, tiny):
    """A trained fully_connected, and the flags that name it."""
    trained_run(here, "mnist", tiny, "fully_connected")
    return ["--checkpoint-dir", here / "checkpoints"]


def own_pictures(root):
    """Packed pictures of 12×12 pixels in three classes with strange names."""
    return datasets.packed(pack(folder_of(root / "s", dict.fromkeys(STRANGE, 12)), root / "data", 12))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "network", "own"),
    [("mnist", "convnet", False), ("cifar10", "airbench_mini", False), ("cifar10", "airbench_mini", True)],
)
def test_each_form_answers_as_the_session_does(call, here, request, task, network, own):
    data = own_pictures(here) if own else request.getfixturevalue("tiny" if task == "mnist" else "tiny_shapes")
    source = trained_run(here, task, data, network, steps=40)
    main = {"mnist": mnist_export, "cifar10": cifar10.export}[task].main
    status, out, err = call(main, "--checkpoint-dir", here / "checkpoints", "--data-dir", here / "data")
    assert (status, err) == (0, "")
    folder = runs.folder(here / "exports", task, network, data.name)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*EVERY, *export.BESIDE])
    told = exported.read(folder)
    assert list(told.forms) == EVERY and told.about.class_names == data.class_names
    for name, check in told.forms.items():
        assert name in forms.ROUNDED or (check.difference <= export.EXACT and check.same == 1)
        assert re.search(rf"^{re.escape(name)} .* {check.accuracy:.4f}$", out, re.MULTILINE)
        assert check.bytes > 1000 and (own or check.same > 0.8 and check.accuracy > 0.35)  # own: three images
    assert told.forms["model-float16.tflite"].difference > 0 < told.forms["model-int8.tflite"].difference

    networks, run_forward = (NETWORKS, forward) if task == "mnist" else (CIFAR10, cifar10_forward)
    session = trained.Network(run_forward, runs.read(source, networks), checkpoints.named(source), conftest.CPU)
    images = np.random.default_rng(0).integers(0, 256, [1000, *told.about.image_shape], dtype=np.uint8)
    for name in exported.ENGINES.values():
        asked = exported.Network(folder / name)
        for count in 7, 1, 1000:
            answers = asked.probabilities(images[:count])
            np.testing.assert_allclose(answers, session.probabilities(images[:count]), atol=1e-5)
    [best] = session.probabilities(images[:1]).argmax(axis=1)
    assert data.class_names[best] in told.about.class_names
    assert in_tensorflow_2(folder, images[:1]) == [int(best), data.class_names[best], True]
    if task == "cifar10":
        assert in_tensorflow_2(folder, images[:1], "bytes")[1] in data.class_names
    else:
        assert f"Result for output key class_index:\n[{best}]\n" in command_line_of_tensorflow(folder)
    if own:  # the export is found as the pictures are called
        picture = next((here / "s").glob("*/*.png"))
        for name in data.title, here / "s" / "", data.name:
            flags = ["--engine", "onnx", "--dataset", name, "--log-dir", here, "--json", picture]
            assert call(cifar10.app.main, *flags)[0] == 0
    assert json.loads(onnx_metadata(folder)) == list(data.class_names)
    assert (folder / "labels.txt").read_text(encoding="utf-8").splitlines() == list(data.class_names)
    programs = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(programs) == 2
    for program in programs:
        answer = python(program, folder).split()
        assert " ".join(answer[:-1]) in data.class_names and 0 < float(answer[-1]) <= 1


def python(program, folder):
    """What a program prints that knows nothing of this repository."""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=folder, env=conftest.environment(), capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout


def in_tensorflow_2(folder, images, signature="serving_default"):
    """What TensorFlow 2 makes of the SavedModel: class, its name, whether it has a gradient by the pixels."""
    np.save(folder.parent / "images.npy", images)
    Image.fromarray(images[0].squeeze()).save(folder.parent / "image.png")
    return json.loads(
        python(
            "import json, numpy as np, tensorflow as tf\n"
            "model, images = tf.saved_model.load('saved_model/1'), np.load('../images.npy')\n"
            "file = open('../image.png', 'rb').read()\n"
            "given = {'serving_default': {'images': tf.constant(images)}, 'bytes': {'bytes': tf.constant([file])}}\n"
            f"answer = model.signatures[{signature!r}](**given[{signature!r}])\n"
            "pixels = tf.constant(images.astype(np.float32))\n"
            "with tf.GradientTape() as tape:\n"
            "    tape.watch(pixels)\n"
            "    probabilities = model.prune('pixels:0', 'probabilities:0')(pixels)\n"
            "gradient = bool(tf.reduce_any(tape.gradient(probabilities[:, 0], pixels) != 0))\n"
            "print(json.dumps([int(answer['class_index'][0]), answer['class_name'][0].numpy().decode(), gradient]))",
            folder,
        )
    )


def command_line_of_tensorflow(folder):
    command = "run --dir saved_model/1 --tag_set serve --signature_def serving_default --inputs images=../images.npy"
    program = f"import sys; from tensorflow.python.tools import saved_model_cli as c; sys.argv[1:] = {command.split()}"
    return python(f"{program}; c.main()", folder)


def onnx_metadata(folder):
    return python("import onnx\nprint(onnx.load('model.onnx').metadata_props[0].value)", folder)


@pytest.mark.slow
def test_every_network_converts(tmp_path):
    """With the weights that it starts from. One program converts all: each start of TensorFlow takes seconds."""
    images = np.random.default_rng(0).integers(0, 256, [3, 32, 32, 3], dtype=np.uint8)
    expected = {}
    for task, build, networks, size in (("mnist", forward, NETWORKS, 28), ("cifar10", cifar10_forward, CIFAR10, 32)):
        for name, module in networks.items():
            shown = images[:, :size, :size, : 1 if task == "mnist" else 3]
            mean_and_std = (0.0, 255.0) if task == "mnist" else ((120.0,) * 3, (60.0,) * 3)
            with tf.Graph().as_default(), tf.Session() as session:
                run = runs.Run(
                    network=name, dataset=task, dataset_title=task, dataset_sha256="s", class_names=tuple("0123456789"),
                    image_size=size, image_mean=mean_and_std[0], image_std=mean_and_std[1], recipe=module.RECIPE,
                    seed=1, steps=1,
                )  # fmt: skip
                served = forms.graph(build, run, None)
                session.run(tf.global_variables_initializer())
                forms.save_model(forms.Served(run, session, served, {}, {}, 0), tmp_path / name)
                [placeholder] = [op.outputs[0] for op in tf.get_default_graph().get_operations() if op.name == "images"]
                expected[name] = shown, session.run("probabilities:0", {placeholder: shown})
    (tmp_path / "classes.json").write_text(json.dumps(list("0123456789")))
    python(
        f"import sys; sys.path.insert(0, {str(conftest.ROOT / 'common/app')!r}); sys.path.insert(0, '')\n"
        "import convert\n"
        f"for name in {list(expected)}:\n"
        "    convert.onnx(f'{name}/1', f'{name}.onnx', 'classes.json')\n"
        "    convert.tflite('float32', f'{name}/1', f'{name}.tflite', None)\n",
        tmp_path,
    )
    assert len(expected) == 16
    for name, (shown, answers) in expected.items():
        for ending in ".onnx", ".tflite":
            asked = exported.Network(tmp_path / f"{name}{ending}").probabilities(shown)
            np.testing.assert_allclose(asked, answers, atol=1e-5, err_msg=f"{name}{ending}")


@pytest.mark.slow
def test_forms_of_the_same_weights_stay_those_of_others_go(call, here, digits, tiny):
    folder = here / "exports/mnist/fully_connected-generated"
    assert call(mnist_export.main, *digits, "--to", "npz")[0] == 0
    assert call(mnist_export.main, *digits, "--to", "text")[0] == 0
    assert list(exported.read(folder).forms) == ["weights.npz", "weights.txt"]
    trained_run(here, "mnist", tiny, "fully_connected", steps=5)
    assert call(mnist_export.main, *digits, "--to", "text", "--raw")[0] == 0
    told = exported.read(folder)
    assert list(told.forms) == ["weights.txt"] and told.step == 5 and told.weights == "raw"
    assert sorted(path.name for path in folder.iterdir()) == sorted(["weights.txt", *export.BESIDE])


@pytest.mark.slow
def test_raw_weights_are_others_and_the_checkpoint_has_averages_alone(call, here, digits):
    held = {}
    for weights, flags in ("averaged", []), ("raw", ["--raw"]):
        folder = here / weights
        assert call(mnist_export.main, *digits, *flags, "--to", "checkpoint", "--output-dir", folder)[0] == 0
        held[weights] = conftest.variables(checkpoints.latest(folder / "checkpoint"))
        assert runs.read(folder / "checkpoint", NETWORKS).test_accuracy == exported.read(folder).accuracy
    names = held["raw"].keys()
    assert names == held["averaged"].keys()
    assert all("ExponentialMovingAverage" in name or name == "global_step" for name in names)
    assert any((held["averaged"][name] != held["raw"][name]).any() for name in names)


@pytest.mark.slow
def test_weights_come_back_in_bit_for_bit(call, here, digits, tiny):
    assert call(mnist_export.main, *digits, "--to", "npz")[0] == 0
    weights = here / "exports/mnist/fully_connected-generated/weights.npz"
    picture = draw_seven(here / "7.png")
    answers = []
    for checkpoint in runs.folder(here / "checkpoints", "mnist", "fully_connected", "generated"), weights:
        _, out, err = call(app.main, "--checkpoint", checkpoint, "--json", "--log-dir", here, picture)
        answers.append(json.loads(out)[0]["probabilities"])
        assert "fully_connected trained on generated digits" in err
        run = runs.read(checkpoint if checkpoint.is_dir() else checkpoint.parent, NETWORKS)
        network = trained.Network(forward, run, checkpoints.named(checkpoint), conftest.CPU)
        answers.append(network.probabilities(tiny.test.images).tolist())
    assert answers[0] == answers[2] and answers[1] == answers[3]
    flags = ["--dataset", "generated", "--network", "fully_connected", "--steps", 1, "--start-from", weights]
    flags += ["--checkpoint-dir", here / "more", "--set", "batch_size=8", "learning_rate=0"]
    status, out, _ = call(mnist_backward.main, *flags)
    assert status == 0 and "weights.npz: 4 of 4 variables" in out
    after = checkpoints.read(checkpoints.latest(here / "more/mnist/fully_connected-generated"))
    for name, array in np.load(weights).items():
        assert name == "global_step" or (after[name] == array).all()


def test_a_form_that_differs_is_deleted_and_the_command_fails(call, here, digits, tiny, monkeypatch):
    checkpoint = runs.folder(here / "checkpoints", "mnist", "fully_connected", "generated")
    session = trained.Network(forward, runs.read(checkpoint, NETWORKS), checkpoints.named(checkpoint), conftest.CPU)
    off = {"weights.npz": 2e-5, "weights.txt": 5e-6}
    monkeypatch.setattr(forms, "ask", lambda path, *_: session.probabilities(tiny.test.images) + off[path.name])
    status, out, err = call(mnist_export.main, *digits, "--to", "npz", "text")
    folder = here / "exports/mnist/fully_connected-generated"
    assert status == 1 and err == "error: not as the session, within 1e-05, and deleted: weights.npz\n"
    assert list(exported.read(folder).forms) == ["weights.txt"] and not (folder / "weights.npz").exists()
    off["weights.txt"] = float("nan")
    status, _, err = call(mnist_export.main, *digits, "--to", "npz", "text")
    assert status == 1 and "no form answers" in err and exported.read(folder).forms  # as it was
    off["weights.npz"] = 0.0
    assert call(mnist_export.main, *digits, "--to", "npz", "text")[0] == 1
    assert list(exported.read(folder).forms) == ["weights.npz"] and not (folder / "weights.txt").exists()
    status, _, err = call(mnist_export.main, *digits, "--to", "text", "--output-dir", here / "none")
    assert status == 1 and "no form answers as the session does" in err and not (here / "none").exists()
    assert list(here.glob(".export-*")) == []


@pytest.mark.slow
def test_a_form_that_cannot_be_made_does_not_take_the_others_with_it(call, here, digits, monkeypatch):
    write = forms.write

    def fail(path, *rest):
        if path.name == "weights.txt":
            forms.program("convert.py", "float32", here / "nothing", path, "")
        write(path, *rest)

    monkeypatch.setattr(forms, "write", fail)
    status, out, err = call(mnist_export.main, *digits, "--to", "text", "npz")
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
def test_full_disk_is_one_line_and_the_old_export_stays(call, here, digits, small_disk):
    flags = [*digits, "--output-dir", small_disk / "export", "--to"]
    assert call(mnist_export.main, *flags, "npz")[0] == 0
    before = exported.read(small_disk / "export")
    (small_disk / "filler").write_bytes(bytes(shutil.disk_usage(small_disk).free - 100_000))
    for form in ("npz", "saved_model", "checkpoint"):
        status, _, err = call(mnist_export.main, *flags, form)
        assert status == 1 and re.search(r"^error: cannot write .*: No space left on device\n$", err)
    assert exported.read(small_disk / "export") == before
    assert {path.name for path in small_disk.iterdir()} == {"export", "filler"}


def test_misuse_is_one_line_and_loses_nothing(call, here, digits, monkeypatch):
    other = here / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("x")
    for flags, message in [
        (["--output-dir", other], "holds thesis.txt, which no export wrote; name another --output-dir"),
        (["--output-dir", other / "thesis.txt"], "is a file; name another --output-dir"),
        (["--to", "onnx", "--int8"], "--int8 goes with --to tflite"),
        (["--network", "lenet5"], "this makes one: python mnist/backward.py --network lenet5"),
        (["--checkpoint", here], "no checkpoint"),
    ]:
        status, _, err = call(mnist_export.main, *digits, *flags)
        assert status == 1 and message in err and err.count("\n") == 1
    assert (other / "thesis.txt").read_text() == "x"
    monkeypatch.setattr(exported.importlib.util, "find_spec", lambda name: None)
    status, _, err = call(mnist_export.main, *digits, "--to", "onnx")
    assert status == 1 and "needs the package onnxruntime" in err and "-r requirements-export.txt" in err


def test_an_app_says_what_is_wrong_with_an_export(call, here, digits):
    picture = draw_seven(here / "7.png")
    ask = [app.main, "--log-dir", here, "--engine", "onnx", picture]
    status, _, err = call(*ask)
    assert status == 1 and "this makes one: python mnist/export.py --to onnx" in err
    assert call(mnist_export.main, *digits, "--to", "npz")[0] == 0
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


def test_what_apps_import_is_not_tensorflow():
    program = (
        "import sys; sys.path.insert(0, '.')\n"
        "from mnist import app; from cifar10 import app; from common.app import page\n"
        "print([name for name in sys.modules if 'tensorflow' in name or name in ('matplotlib.pyplot', 'onnxruntime')])"
    )
    assert python(program, conftest.ROOT) == "[]\n"


def test_pages_and_cards_leave_out_what_an_export_cannot_say(here, digits, tiny, call):
    from common.app import drawing, page

    from werkzeug.test import Client

    class Forward:
        """As an exported network: it has no gradient."""

        gradient = None

        def __init__(self, network):
            self.about, self.probabilities = network.about, network.probabilities

    folder = runs.folder(here / "checkpoints", "mnist", "fully_connected", "generated")
    session = trained.Network(forward, runs.read(folder, NETWORKS), checkpoints.named(folder), conftest.CPU)
    picture = Image.open(draw_seven(here / "7.png"))
    widths, shown = [], []
    from mnist.picture_to_input import digit

    for network in session, Forward(session):
        asked = classifier.Classifier(network)
        [answer] = asked.classify([picture], [digit(picture)])
        widths.append(drawing.card(answer).width)
        client = Client(page.application("mnist", asked, digit))
        shown.append(client.post("/classify", data=(here / "7.png").read_bytes()).json["items"][0])
    assert widths[1] < widths[0] and shown[0].keys() - shown[1].keys() == {"decided"}
    assert shown[0]["probabilities"] == shown[1]["probabilities"]
