"""A run's folder, its run.json, and the settings it was started with."""

import argparse
import dataclasses
import json
import os

import cifar10.backward
from common import command_line, runs, training
from common.command_line import UserError

import pytest
from helpers import RECORD, TINY, train


def test_run_with_other_settings_is_refused_by_name(tiny, tmp_path):
    runs.start(tmp_path, RECORD)
    runs.start(tmp_path, RECORD | {"seed": 2})  # nothing trained yet: a new run
    train(tmp_path, tiny, 1)
    runs.start(tmp_path, RECORD | {"seed": 2, "steps": 20, "recipe": {"epochs": 4.0, "momentum": 0.9}})
    with pytest.raises(UserError, match="recipe.momentum is 0.9 there and 0.5 here; seed is 2 there and 1 here"):
        runs.start(tmp_path, RECORD | {"recipe": {"epochs": 3.0, "momentum": 0.5}})
    assert runs.read(tmp_path)["steps"] == 20
    with pytest.raises(UserError, match="steps is 20 there and 30 here"):
        runs.start(tmp_path, runs.read(tmp_path) | {"steps": 30}, may_grow=False)
    with pytest.raises(UserError, match="precision is None there and 'bfloat16' here"):
        runs.start(tmp_path, runs.read(tmp_path) | {"precision": "bfloat16"})


def test_find_gives_the_run_that_was_started_last(tmp_path):
    for age, (network, dataset) in enumerate([("convnet", "mnist"), ("lenet5", "mnist"), ("convnet", "generated")]):
        folder = runs.folder(tmp_path, "mnist", network, dataset)
        folder.mkdir(parents=True)
        runs.write(folder, RECORD | {"network": network, "dataset": dataset})
        os.utime(folder / "run.json", (1000 - age, 1000 - age))
    expected = {
        (None, None): "convnet", ("lenet5", None): "lenet5", (None, "generated"): "convnet-generated",
        ("convnet", "mnist"): "convnet",
    }  # fmt: skip
    for (network, dataset), name in expected.items():
        assert runs.find(tmp_path, "mnist", network, dataset).name == name
    assert runs.find(tmp_path, "mnist", "lenet5", "generated") is None
    (tmp_path / "mnist/convnet/run.json").write_text("{")  # a damaged record does not stand in the way of others
    os.utime(tmp_path / "mnist/convnet-generated/run.json", (2000, 2000))
    assert runs.find(tmp_path, "mnist", None, None).name == "convnet-generated"
    assert runs.find(tmp_path, "mnist", None, None, real_first=True).name == "lenet5"


def test_second_trainer_is_refused_and_tester_knows_of_the_first(tmp_path):
    assert not runs.is_training(tmp_path)
    first = runs.lock(tmp_path)
    assert runs.is_training(tmp_path)
    with pytest.raises(UserError, match="another backward.py is training"):
        runs.lock(tmp_path)
    first.lock.release()
    assert not runs.is_training(tmp_path)


@pytest.mark.parametrize("text", ["{", "[1]", json.dumps({"network": "convnet"})])
def test_damaged_record_is_one_clear_error(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match="run.json is damaged"):
        runs.read(tmp_path)


def test_overrides_are_typed():
    recipe = command_line.override(TINY["lenet5"], ["batch_size=32", "learning_rate=1e-3"])
    assert (recipe.batch_size, recipe.learning_rate) == (32, 0.001)
    objects = cifar10.backward.RECIPES["airbench_slim"]
    assert command_line.override(objects, ["cutout=0", "padding=0", "schedule=cosine"]).cutout == 0
    for setting in ("padding=32", "label_smoothing=1"):
        with pytest.raises(UserError, match="must be at least 0, and below"):
            command_line.override(objects, [setting])
    for setting, message in [
        ("batch=3", "no entry 'batch' in the recipe; there are batch_size, epochs, loss"),
        ("batch_size=3.5", "batch_size takes a whole number, not '3.5'"),
        ("batch_size=0", "batch_size must be at least 1"),
        ("learning_rate=-1", "learning_rate must be at least 0"),
        ("moving_average_decay=2", "moving_average_decay must be at least 0, and below 1"),
        ("epochs=0", "epochs must be above 0, and below 2147483648"),
        ("schedule=linear", "schedule must be one of exponential, staircase, cosine, triangular"),
        ("learning_rate=nan", "learning_rate must be at least 0, and below 2147483648"),
        ("batch_size=3000000000", "batch_size must be at least 1, and below 2147483648"),
        ("batch_size", "KEY=VALUE"),
    ]:
        with pytest.raises(UserError, match=message):
            command_line.override(TINY["lenet5"], [setting])
    with pytest.raises(UserError, match="batch_size is set twice"):
        command_line.override(TINY["lenet5"], ["batch_size=3", "batch_size=4"])


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (dict(epochs=2e9, batch_size=1), "2e.09 epochs are .* steps; set epochs to less, or batch_size to more"),
        (dict(batch_size=100_000), "batch_size 100000 is more than the .* training images; set it to less"),
    ],
)
def test_more_steps_or_images_than_there_can_be_are_refused(tiny, entries, message):
    recipe = dataclasses.replace(TINY["lenet5"], **entries)
    args = argparse.Namespace(recipe=recipe, steps=None, network="lenet5", seed=1)
    with pytest.raises(UserError, match=message):
        training.run("mnist", args, tiny, {}, None)
