"""A network of the user's own pictures, from the folder to the app's answer; which network answers."""

import dataclasses
import json
import os

import mnist.picture_to_input
from common.errors import UserError
from common.training import checkpoints, runs

import pytest
from conftest import ROOT
from helpers import RUN
from PIL import Image, ImageDraw


def coloured(path, color, i):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (60, 44), (230 - i, 230, 225))
    ImageDraw.Draw(image).ellipse([8 + i % 9, 5 + i % 7, 40 + i % 11, 36 + i % 5], fill=color)
    image.save(path)
    return path


def test_from_a_folder_to_the_answer_of_the_app(program, tmp_path):
    for name, color in {"rote Äpfel": "#c02020", "10": "#20a040", "9": "#2040c0"}.items():
        for i in range(40):
            coloured(tmp_path / "obst" / name / f"{i}.jpg", color, i)
    flags = ["--dataset", "obst", "--data-dir", "data", "--set", "batch_size=16", "--steps", "40"]
    out, err = program("cifar10/backward.py", *flags).communicate(timeout=120)
    assert out.startswith("obst: 3 classes, 32×32 pixels; 96 pictures to train, 12 to validate, 12 to test, in data/")
    network = runs.read(ROOT / "checkpoints/cifar10" / runs.PRETRAINED).network
    assert f"{network} on obst: step 0 to 40, " in out and "\nstarts from checkpoints/cifar10/pretrained/" in out
    out, err = program("cifar10/test.py", "--once", "--data-dir", "data").communicate(timeout=60)
    assert f"{network} trained on obst: 12 test images of obst" in out, err
    accuracy = float(out.split("mean of classes ")[1].split()[0])
    assert accuracy > 0.9
    new = coloured(tmp_path / "new.png", "#bb2222", 77)
    process = program("cifar10/app.py", new, "--json")
    out, err = process.communicate(timeout=60)
    [answer] = json.loads(out)
    assert answer["answer"] == "rote Äpfel" and list(answer["probabilities"]) == ["9", "10", "rote Äpfel"]
    assert "best of 1; --dataset cifar10 asks the task's own" in err
    out, err = program("cifar10/test.py", "--once", "--dataset", "obst").communicate(timeout=60)  # another --data-dir
    assert "12 test images of obst" in out, err


def test_numbers_are_not_looked_for_by_a_network_of_whole_pictures():
    with pytest.raises(UserError, match="--segment looks for ink on paper"):
        mnist.picture_to_input.numbers("plain", 28)
    assert mnist.picture_to_input.numbers("ink", 28) is mnist.picture_to_input.digits


def test_ink_of_ones_own(program, tmp_path):
    rows = ["file,label"]
    for i in range(30):
        for name, line in {"ж": [20, 20, 80, 80], "-": [15, 50, 85, 50]}.items():
            image = Image.new("L", (100, 100), 235)
            ImageDraw.Draw(image).line([line[0] + i % 5, line[1] + i % 7, line[2] - i % 3, line[3] + i % 11], 30, 8)
            image.save(tmp_path / f"{ord(name)}-{i}.png")
            rows.append(f"{ord(name)}-{i},{name}")
    (tmp_path / "letters.csv").write_text("\n".join(rows), "utf-8")
    flags = ["--dataset", "letters.csv", "--data-dir", "data", "--steps", "20", "--set", "batch_size=16"]
    out, err = program("mnist/backward.py", *flags).communicate(timeout=120)
    assert "convnet on letters: step 0 to 20" in out, err
    out, err = program("mnist/app.py", tmp_path / "1078-3.png").communicate(timeout=60)
    assert "1078-3.png  ж  " in out or "not sure, perhaps ж" in out, out + err


def test_the_network_of_the_users_own_pictures_answers(tmp_path):
    def run_in(name, own, accuracy, age):
        folder = tmp_path / "mnist" / name
        folder.mkdir(parents=True)
        fields = dict(dataset=name, dataset_title=name.partition("-")[0], dataset_folder=own and f"{own}/{name}")
        fields["dataset_source"] = own and f"{own}/{fields['dataset_title']}"
        runs.write(folder, dataclasses.replace(RUN, **fields, validation_accuracy=accuracy))
        (folder / "model.ckpt-1.index").touch()
        os.utime(folder / "run.json", (age, age))

    run_in("mnist", "", 0.99, 50)
    assert checkpoints.best(tmp_path, "mnist", None, None)[0].name == "mnist"
    run_in("leaves-1", "/my", 0.5, 10)
    run_in("screws-2", "/my", 0.6, 20)
    for dataset, name in {None: "screws-2", "mnist": "mnist", "my/leaves/": "leaves-1", "leaves-1": "leaves-1"}.items():
        assert checkpoints.best(tmp_path, "mnist", None, dataset)[0].name == name
    assert checkpoints.newest(tmp_path, "mnist", None, "leaves", wait=False).name == "leaves-1"
    run_in("leaves-2", "/my", 0.4, 30)  # after pictures were added
    for dataset in None, "leaves", "data/leaves-2":
        assert checkpoints.best(tmp_path, "mnist", None, dataset)[0].name == "leaves-2"
    assert checkpoints.best(tmp_path, "mnist", None, "data/leaves-1")[0].name == "leaves-1"
