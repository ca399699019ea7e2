"""The graph that reads photos for exported networks, beside what the app does."""

import io

import cifar10.export
from cifar10.forward import NETWORKS, forward
from cifar10.photos import views
from cifar10.picture_to_input import reader
from common.app import classifier, forms, trained
from common.data import pictures
from common.training import checkpoints, runs

import conftest
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from PIL import Image, ImageDraw


def turned(image, number):
    """A JPEG file that is to be turned, as EXIF says."""
    exif, file = Image.Exif(), io.BytesIO()
    exif[pictures.ORIENTATION] = number
    image.save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


def saved(image, kind):
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


@pytest.fixture(scope="module")
def photo():
    """A picture whose corners differ, 150×90 pixels."""
    image = Image.effect_noise((150, 90), 40).convert("RGB")
    draw = ImageDraw.Draw(image)
    draw.rectangle([0, 0, 70, 30], fill=(250, 60, 20))
    draw.ellipse([90, 40, 149, 89], fill=(20, 90, 240))
    return image


def test_the_graph_reads_a_photo_as_the_app_does(photo):
    clear = photo.copy()
    clear.putalpha(Image.linear_gradient("L").resize(photo.size))
    files = [turned(photo, number) for number in range(1, 9)]
    files += [saved(photo, "PNG"), saved(clear, "PNG"), saved(photo.convert("L"), "JPEG"), saved(photo, "BMP")]
    files += [saved(photo.resize((33, 500)), "PNG"), saved(photo.resize((5, 3)), "PNG")]
    content = tf.placeholder(tf.string, [])
    graphs = {reading: views(content, reading, 32) for reading in ("", "whole")}
    with tf.Session() as session:
        for file in files:
            for reading, graph in graphs.items():
                [expected] = reader(reading, 32)(pictures.read(io.BytesIO(file), "x"))
                found = session.run(graph, {content: file})
                assert found.shape == expected.shape
                difference = np.abs(found.astype(int) - expected)
                assert difference.max() <= 2  # 1 here; decoders of other versions may round otherwise
        upright, upside_down = (session.run(graphs["whole"], {content: file}) for file in (files[0], files[2]))
    assert np.abs(upside_down.astype(int)[:, ::-1, ::-1] - upright).mean() < 1 < np.abs(upside_down - upright).mean()


@pytest.mark.parametrize("header", [b"", b"II", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff"])
def test_exif_that_is_damaged_turns_nothing(photo, header):
    file = saved(photo, "JPEG")
    header = b"Exif\0\0" + header
    segment = b"\xff\xe1" + (len(header) + 2).to_bytes(2, "big") + header
    content = tf.placeholder(tf.string, [])
    seen = views(content, "whole", 32)
    with tf.Session() as session:
        plain, damaged = (session.run(seen, {content: each}) for each in (file, file[:2] + segment + file[2:]))
    np.testing.assert_array_equal(plain, damaged)


@pytest.mark.slow
def test_the_pretrained_networks_answer_photos_as_bytes(photo):
    """bytes, at the whole of what the app does: four views, and their mirror images."""
    folder = conftest.ROOT / "checkpoints/cifar10/pretrained"
    run = runs.read(folder, NETWORKS)
    checkpoint = checkpoints.named(folder)
    network = trained.Network(forward, run, checkpoint, conftest.CPU)
    [answer] = classifier.Classifier(network, tta=True).classify([photo], [reader("", 32)(photo)])
    with forms.served(forward, run, checkpoint, False, cifar10.export.photos) as served:
        signature = served.signatures["bytes"]
        fetches = [signature.outputs[name].name for name in ("probabilities", "class_name")]
        given = {signature.inputs["bytes"].name: [saved(photo, "PNG")] * 2}
        probabilities, names = served.session.run(fetches, given)
    np.testing.assert_allclose(probabilities, [answer.probabilities[0]] * 2, atol=0.02)
    assert [name.decode() for name in names] == [answer.text] * 2
