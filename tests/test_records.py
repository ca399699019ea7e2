"""A run's folder, its run.json, and the settings it was started with."""

import dataclasses
import json
import shutil

from cifar10.forward import NETWORKS as CIFAR10
from common.data import datasets
from common.errors import UserError
from common.training import agreement, recipe, runs, trainer
from mnist import app, backward, test
from mnist.forward import NETWORKS

import conftest
import pytest
from helpers import RUN, TINY, draw_seven, train


def changed(**fields):
    """RUN with other fields; those that a recipe has, of its recipe."""
    entries = {key: fields.pop(key) for key in list(fields) if hasattr(RUN.recipe, key)}
    return dataclasses.replace(RUN, recipe=dataclasses.replace(RUN.recipe, **entries), **fields)


def test_run_with_other_settings_is_refused_by_name(tiny, tmp_path):
    runs.write(tmp_path, RUN)
    assert agreement.continued(tmp_path, changed(seed=2)) == changed(seed=2)  # nothing trained yet: a new run
    train(tmp_path, tiny, 1)
    runs.write(tmp_path, changed(seed=2, steps=20, epochs=4.0, temperature=1.5, validation_accuracy=0.9))
    longer = {"seed": 2, "steps": 30, "epochs": 5.0}
    goes_on = agreement.continued(tmp_path, changed(**longer))
    assert goes_on == changed(**longer, temperature=1.5, validation_accuracy=0.9)
    with pytest.raises(UserError, match="recipe.momentum is 0.9 there and 0.5 here; seed is 2 there and 1 here"):
        agreement.continued(tmp_path, changed(epochs=3.0, momentum=0.5))
    cosine = {"seed": 2, "epochs": 4.0, "schedule": "cosine"}
    with pytest.raises(UserError, match="there and 'cosine' here; steps is 20 there and 30 here"):
        agreement.continued(tmp_path, changed(steps=30, **cosine))
    with pytest.raises(UserError, match="precision is 'float32' there and 'bfloat16' here"):
        agreement.continued(tmp_path, changed(seed=2, precision="bfloat16"))


def damaged(name, value):
    """A change of what run.json holds: name, such as "recipe.epochs", gets another value, or is taken away for None."""
    return pytest.param(name, value, id=f"{name}={str(value)[:20]}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        damaged(name, value)
        for name, value in [
            ("network", None), ("network", 3), ("network", "../../convnet"), ("network", ""), ("network", "con\nvnet"),
            ("dataset", "/../../../../x"), ("dataset", ".hidden"), ("dataset", ["mnist"]), ("dataset", "m" * 101),
            ("dataset_title", "\x1b[2J"), ("dataset_title", "\u202eTSINM"), ("dataset_title", "\x9b2J"),
            ("dataset_title", None), ("dataset_sha256", 12),
            ("class_names", "0123456789"), ("class_names", []), ("class_names", [0, 1]), ("class_names", ["a\r", "b"]),
            ("image_size", "28"), ("image_size", 0), ("image_size", 10**9), ("image_size", 28.5),
            ("image_mean", None), ("image_mean", [0.0, 0.0]), ("image_mean", "0"), ("image_mean", -1),
            ("image_std", 0), ("image_std", 1e-300), ("image_std", {}), ("image_std", True),
            ("recipe", None), ("recipe", "sgd"), ("recipe", []), ("recipe.batch_size", "200"),
            ("recipe.moving_average_decay", 1.5), ("recipe.moving_average_decay", None), ("recipe.optimizer", "lion"),
            ("recipe.degrees", "many"), ("seed", "one"), ("seed", -1), ("precision", "float8"), ("steps", 0),
            ("steps", 10**12), ("versions", "2.21"), ("temperature", 0), ("temperature", "hot"),
            ("test_accuracy", 99.5),
        ]
    ],
)  # fmt: skip
def test_damaged_record_is_one_line_that_names_the_field(call, trained, tiny, tmp_path, monkeypatch, name, value):
    monkeypatch.setitem(datasets.MNIST, "mnist", lambda data_dir: tiny._replace(name="mnist"))
    folder, flags = trained
    held = json.loads((folder / "run.json").read_text())
    *outer, last = name.split(".")
    place = held[outer[0]] if outer else held
    if value is None:
        del place[last]
    else:
        place[last] = value
    (folder / "run.json").write_text(json.dumps(held))
    picture = draw_seven(tmp_path / "seven.png")
    for main, more in (
        (backward.main, ["--dataset", "mnist"]),
        (test.main, ["--checkpoint", folder]),
        (test.main, ["--once"]),
        (app.main, ["--checkpoint", folder, picture]),
        (app.main, [picture]),
    ):
        status, out, err = call(main, *flags, *more)
        assert status == 1 and out == "" and err.count("\n") == 1
        assert f"{folder / 'run.json'} is damaged (" in err and last in err
    assert {path.name for path in tmp_path.iterdir()} <= {"checkpoints", "logs", "seven.png"}
    assert {path.name for path in (tmp_path / "logs").rglob("*")} <= {"mnist", "fully_connected", "train"}


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\xff", b"[" * 100_000, b'{"network": "convnet"}'])
def test_record_that_is_none_is_one_line(tmp_path, content):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(UserError, match="^[^\n]*run.json is damaged [^\n]*$"):
        runs.read(tmp_path, NETWORKS)


@pytest.mark.parametrize(
    ("path", "networks"),
    [
        (conftest.ROOT / "checkpoints/mnist/pretrained/run.json", NETWORKS),
        (conftest.ROOT / "tests/old_run.json", CIFAR10),  # of a whole run, from when run.json was a dict
    ],
)
def test_run_json_that_was_written_before_is_read_whole_and_goes_on(tmp_path, path, networks):
    shutil.copy(path, tmp_path / "run.json")
    held, run = json.loads(path.read_text()), runs.read(tmp_path, networks)
    assert type(run.recipe) is type(networks[run.network].RECIPE) and run.precision == held.get("precision", "float32")
    (tmp_path / "model.ckpt-1.index").touch()
    changed_since = ("epochs", "learning_rate", "learning_rate_decay", "label_smoothing", "regularizer")
    held_then = {key: getattr(run.recipe, key) for key in changed_since}
    recipe = dataclasses.replace(networks[run.network].RECIPE, **held_then)  # of today, and --set
    now = dataclasses.replace(run, recipe=recipe, temperature=1.0, test_accuracy=None)
    goes_on = agreement.continued(tmp_path, now)
    runs.write(tmp_path, goes_on)
    defaults = {
        "precision": "float32", "validation_accuracy": None, "reading": "", "dataset_folder": "", "dataset_source": "",
        "start_from": "",
    }  # fmt: skip
    new = {"class_weights": "none", "degrees": 0.0, "scale": 0.0, "shear": 0.0, "shift": 0.0, "mirror": 0}
    new |= {"brightness": 0.0, "contrast": 0.0, "edges": "mirrored" if networks is CIFAR10 else "black"}
    new |= {"color": 0.0} if networks is CIFAR10 else {}
    expected = defaults | held | {"test_accuracy": None, "recipe": new | held["recipe"]}
    assert json.loads((tmp_path / "run.json").read_text()) == expected
    assert runs.read(tmp_path, networks) == dataclasses.replace(run, test_accuracy=None)


def test_a_run_of_an_unknown_data_set_is_one_line(call, trained):
    folder, flags = trained
    runs.write(folder, dataclasses.replace(runs.read(folder, NETWORKS), dataset="mine"))
    status, out, err = call(test.main, *flags, "--checkpoint", folder)
    assert status == 1 and out == "" and err.count("\n") == 1
    assert "there is no data set 'mine' in " in err and "name another: mnist, fashion" in err


def test_a_networks_own_recipe_is_checked():
    with pytest.raises(UserError, match="the recipe of the network is not valid: .*moving_average_decay"):
        recipe.change(dataclasses.replace(TINY["lenet5"], moving_average_decay=1.0), ["batch_size=8"])


def test_overrides_are_typed():
    small = recipe.change(TINY["lenet5"], ["batch_size=32", "learning_rate=.5e-3"])
    assert (small.batch_size, small.learning_rate) == (32, 0.0005)
    objects = CIFAR10["airbench_slim"].RECIPE
    assert recipe.change(objects, ["cutout=0", "padding=0", "schedule=cosine"]).cutout == 0
    for setting in ("padding=32", "label_smoothing=1"):
        with pytest.raises(UserError, match="takes a (whole )?number of at least 0 and below"):
            recipe.change(objects, [setting])
    for setting, message in [
        ("batch=3", "no entry 'batch' in the recipe; there are batch_size, epochs, loss"),
        ("batch_size=3.5", "batch_size takes a whole number of at least 1"),
        ("batch_size=0", "batch_size takes a whole number of at least 1"),
        ("learning_rate=-1", "learning_rate takes a number of at least 0"),
        ("moving_average_decay=2", "moving_average_decay takes a number of at least 0 and below 1"),
        ("epochs=0", "epochs takes a number above 0 and below 2147483648"),
        ("schedule=linear", "schedule takes one of exponential, staircase, cosine, triangular"),
        ("learning_rate=nan", "learning_rate takes a number of at least 0 and below 2147483648"),
        ("batch_size=3000000000", "batch_size takes a whole number of at least 1 and below 2147483648"),
        ("batch_size", "KEY=VALUE"),
    ]:
        with pytest.raises(UserError, match=message):
            recipe.change(TINY["lenet5"], [setting])
    with pytest.raises(UserError, match="batch_size is set twice"):
        recipe.change(TINY["lenet5"], ["batch_size=3", "batch_size=4"])


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (dict(epochs=2e9, batch_size=1), "2e.09 epochs are .* steps; set epochs to less, or batch_size to more"),
        (dict(batch_size=100_000), "batch_size 100000 is more than the .* training images; set it to less"),
    ],
)
def test_more_steps_or_images_than_there_can_be_are_refused(tiny, entries, message):
    chosen = dataclasses.replace(TINY["lenet5"], **entries)
    with pytest.raises(UserError, match=message):
        trainer.describe("lenet5", chosen, tiny, 0.0, 255.0)
