"""Exports: each form answers as the session does, and other programs can read it."""

import json
import re

import cifar10.app
import cifar10.export
from cifar10.forward import NETWORKS as CIFAR10
from cifar10.forward import forward as cifar10_forward
from common.app import export, exported, forms, trained
from common.data import datasets
from common.training import checkpoints, runs
from mnist import export as mnist_export
from mnist.forward import NETWORKS, forward

import conftest
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from conftest import trained_run
from helpers import python
from packing_helpers import folder_of, pack
from PIL import Image

EVERY = [name for names in forms.FILES.values() for name in names]
STRANGE = ("it's \"red\"", "ғ 字", "10")  # names of classes


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
    assert all(told.forms[name].difference > 0 for name in forms.ROUNDED)

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
    assert len(expected) == len(NETWORKS) + len(CIFAR10)  # of other names each
    for name, (shown, answers) in expected.items():
        for ending in ".onnx", ".tflite":
            asked = exported.Network(tmp_path / f"{name}{ending}").probabilities(shown)
            np.testing.assert_allclose(asked, answers, atol=1e-5, err_msg=f"{name}{ending}")


@pytest.mark.slow
def test_forms_of_the_same_weights_stay_those_of_others_go(call, here, trained_digits, tiny):
    folder = here / "exports/mnist/fully_connected-generated"
    assert call(mnist_export.main, *trained_digits, "--to", "npz")[0] == 0
    assert call(mnist_export.main, *trained_digits, "--to", "text")[0] == 0
    assert list(exported.read(folder).forms) == ["weights.npz", "weights.txt"]
    trained_run(here, "mnist", tiny, "fully_connected", steps=5)
    assert call(mnist_export.main, *trained_digits, "--to", "text", "--raw")[0] == 0
    told = exported.read(folder)
    assert list(told.forms) == ["weights.txt"] and told.step == 5 and told.weights == "raw"
    assert sorted(path.name for path in folder.iterdir()) == sorted(["weights.txt", *export.BESIDE])


@pytest.mark.slow
def test_raw_weights_are_others_and_the_checkpoint_has_averages_alone(call, here, trained_digits):
    held = {}
    for weights, flags in ("averaged", []), ("raw", ["--raw"]):
        folder = here / weights
        assert call(mnist_export.main, *trained_digits, *flags, "--to", "checkpoint", "--output-dir", folder)[0] == 0
        held[weights] = conftest.variables(checkpoints.latest(folder / "checkpoint"))
        assert runs.read(folder / "checkpoint", NETWORKS).test_accuracy == exported.read(folder).accuracy
    names = held["raw"].keys()
    assert names == held["averaged"].keys()
    assert all("ExponentialMovingAverage" in name or name == "global_step" for name in names)
    assert any((held["averaged"][name] != held["raw"][name]).any() for name in names)
