"""The page: what it answers to requests."""

import json
import re
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from common.app import classifier, page, trained
from common.training import runs
from mnist import picture_to_input
from mnist.forward import forward

import conftest
import numpy as np
import pytest
from page_helpers import PRETRAINED, png, started, three
from PIL import Image
from werkzeug.test import Client


@pytest.fixture(scope="module")
def network():
    run = runs.read(PRETRAINED)
    checkpoint = next(PRETRAINED.glob("*.index")).with_suffix("")
    return classifier.Classifier(trained.Network(forward, run, checkpoint, conftest.CPU))


@pytest.fixture
def client(network):
    return Client(page.application("mnist", network, picture_to_input.digit))


def test_picture_is_classified(client):
    response = client.post("/classify", data=png(three()))
    assert response.status_code == 200
    found = json.loads(response.text)
    [item] = found["items"]
    assert found["answer"] == "3" and found["sure"]
    assert np.argmax(item["probabilities"]) == 3 and sum(item["probabilities"]) == pytest.approx(1, abs=0.01)
    seen = Image.open(urllib.request.urlopen(item["seen"]))
    assert seen.size == (28, 28) and np.asarray(seen).max() == 255


@pytest.mark.parametrize(
    ("data", "status", "message"),
    [
        (b"notes on numbers", 400, "this file is not a picture that can be read"),
        (b"", 411, "Length Required"),
        (png(three())[:900], 400, "this file cannot be read"),
        (png(Image.new("RGB", (60, 60), "white")), 400, "this file shows no ink"),
        (png(Image.new("1", (11000, 11000))), 400, "this file has 11000×11000 pixels, more than"),
        (b"x" * (page.MAX_BYTES + 1), 413, "the picture is larger than 20 MB"),
    ],
    ids=["text", "empty", "cut", "blank", "pixels", "bytes"],
)
def test_what_is_no_picture_gets_a_friendly_line(client, data, status, message):
    response = client.post("/classify", data=data)
    assert response.status_code == status and json.loads(response.text)["error"].startswith(message)


def test_paths_and_headers(client):
    about = json.loads(client.get("/about").text)
    assert about["task"] == "mnist" and about["classes"][3] == "3" and len(about["examples"]) >= 3
    for path in ("/", "/page.css", "/page.js", *(f"/examples/{name}" for name in about["examples"])):
        response = client.get(path)
        assert response.status_code == 200 and response.data
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert path.startswith("/examples") or not re.search(rb"https?:|[\"'(]//", response.data)
    assert client.get("/classify").status_code == 405
    for path in ("/page.py", "/examples/../page.py", "/run.json"):
        assert client.get(path).status_code == 404


def test_other_sites_and_names_are_refused(network):
    local = Client(page.application("mnist", network, picture_to_input.digit, page.LOCAL))
    data = png(three())
    assert local.post("/classify", data=data).status_code == 200
    assert local.post("/classify", data=data, headers={"Origin": "http://localhost"}).status_code == 200
    assert local.post("/classify", data=data, headers={"Origin": "https://elsewhere.example"}).status_code == 403
    assert local.post("/classify", data=data, headers={"Origin": "http://[bad"}).status_code == 403
    assert local.get("/about", headers={"Host": "elsewhere.example"}).status_code == 400


def test_visitors_at_once_get_their_own_answers(client, network):
    pictures = [png(three(size)) for size in (120, 200, 300, 450)]
    alone = [client.post("/classify", data=data).text for data in pictures]
    assert len(set(alone)) == 4
    app = page.application("mnist", network, picture_to_input.digit)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: Client(app).post("/classify", data=pictures[i % 4]).text, range(40)))
    assert found == [alone[i % 4] for i in range(40)]


@pytest.mark.slow
def test_port_in_use_is_one_line(program):
    _, address = started(program)
    port = address.rpartition(":")[2]
    process = program("mnist/app.py", "--checkpoint", PRETRAINED, "--serve", "--port", port)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1 and err.count("\n") == 1
    assert err.startswith("error: cannot serve") and "choose another --port" in err
