"""Which run is meant, and by whom it is trained."""

import contextlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

from common.data import datasets
from common.errors import UserError
from common.training import checkpoints, runs
from mnist import backward

import numpy as np
import pytest
from test_records import changed


def runs_of(root, *described):
    """Folders with a run.json, and a checkpoint's index but where it says "none": (network, dataset, accuracy, …)."""
    for age, (network, dataset, accuracy, *none) in enumerate(described):
        folder = runs.folder(root, "mnist", network, dataset)
        if network == runs.PRETRAINED:
            network = "convnet"
        folder.mkdir(parents=True)
        runs.write(folder, changed(network=network, dataset=dataset, validation_accuracy=accuracy))
        os.utime(folder / "run.json", (1000 - age, 1000 - age))
        if not none:
            (folder / "model.ckpt-10.index").touch()


def test_the_newest_run_that_has_a_checkpoint_is_tested(tmp_path):
    runs_of(
        tmp_path, ("mechanics", "mnist", None, "none"), ("convnet", "mnist", 0.9), ("lenet5", "mnist", 0.99),
        ("convnet", "generated", 1.0), ("pretrained", "mnist", 0.995),
    )  # fmt: skip
    expected = {
        (None, None): "convnet", ("lenet5", None): "lenet5", (None, "generated"): "convnet-generated",
        ("convnet", "mnist"): "convnet",
    }  # fmt: skip
    for (network, dataset), name in expected.items():
        for wait in (False, True):
            assert checkpoints.newest(tmp_path, "mnist", network, dataset, wait).name == name
    with pytest.raises(UserError, match="; or test what comes with the kit: --checkpoint .*pretrained$"):
        (tmp_path / "mnist/convnet/model.ckpt-10.index").rename(tmp_path / "aside")
        checkpoints.newest(tmp_path, "mnist", "convnet", "mnist", wait=False)
    (tmp_path / "aside").rename(tmp_path / "mnist/convnet/model.ckpt-10.index")
    for network, dataset in (("lenet5", "generated"), ("mechanics", None)):
        with pytest.raises(UserError, match=f"this makes one: python mnist/backward.py --network {network}"):
            checkpoints.newest(tmp_path, "mnist", network, dataset, wait=False)
    (tmp_path / "mnist/convnet/run.json").write_text("{")  # a damaged record does not stand in the way of others
    assert checkpoints.newest(tmp_path, "mnist", None, None, wait=False).name == "lenet5"


def test_a_run_without_a_checkpoint_is_waited_for_whatever_becomes_of_its_trainer(tmp_path, monkeypatch, capsys):
    runs_of(tmp_path, ("lenet5", "mnist", None, "none"), ("softmax", "mnist", 0.92))
    folder = tmp_path / "mnist/lenet5"
    trained = contextlib.ExitStack()
    trained.enter_context(runs.lock(folder))
    meanwhile = iter([trained.close, (folder / "model.ckpt-10.index").touch])
    monkeypatch.setattr(checkpoints, "time", SimpleNamespace(sleep=lambda seconds: next(meanwhile)()))
    assert checkpoints.newest(tmp_path, "mnist", None, None, wait=True) == folder
    assert capsys.readouterr().out.splitlines() == [
        f"waiting for the first checkpoint in {folder}",
        f"no trainer is at work in {folder}; waiting for one, until Ctrl-C",
    ]


def test_the_best_run_on_the_tasks_own_data_answers(tmp_path):
    generated, fashion = ("softmax", "generated", 1.0), ("convnet", "fashion", 0.999)
    runs_of(
        tmp_path, generated, fashion, ("mechanics", "mnist", 0.999, "none"), ("deep", "mnist", None),
        ("softmax", "mnist", 0.92), ("lenet5", "mnist", 0.9944), ("pretrained", "mnist", 0.9944),
    )  # fmt: skip
    expected = {
        (None, None): ("lenet5", 4), ("convnet", None): ("pretrained", 1), ("softmax", None): ("softmax", 1),
        (None, "fashion"): ("convnet-fashion", 1), (None, "generated"): ("softmax-generated", 1),
        ("deep", None): ("deep", 1),
    }  # fmt: skip
    for (network, dataset), (name, count) in expected.items():
        folder, found = checkpoints.best(tmp_path, "mnist", network, dataset)
        assert (folder.name, found) == (name, count)
    runs.write(tmp_path / "mnist/lenet5", changed(network="lenet5", validation_accuracy=0.9942))
    assert checkpoints.best(tmp_path, "mnist", None, None)[0].name == "pretrained"
    for name in ("pretrained", "deep", "lenet5", "softmax"):
        (tmp_path / "mnist" / name / "model.ckpt-10.index").unlink()
    with pytest.raises(UserError, match="no checkpoint in .*; there is one of --dataset fashion, generated"):
        checkpoints.best(tmp_path, "mnist", None, None)


def test_a_damaged_record_is_told_beside_the_network_of_the_repository(tmp_path):
    runs_of(tmp_path, ("convnet", "mnist", 0.9), ("pretrained", "mnist", 0.99))
    (tmp_path / "mnist/convnet/run.json").write_text("{")
    for find in (checkpoints.best, lambda *args: checkpoints.newest(*args, wait=True)):
        with pytest.raises(UserError, match="run.json is damaged"):
            find(tmp_path, "mnist", None, None)


def test_copies_of_checkpoints_are_none(tmp_path):
    for name in ("model.ckpt-9.index", "model.ckpt-1000 (copy).index", "model.ckpt-12~.index", "model.ckpt-x.index"):
        (tmp_path / name).touch()
    assert checkpoints.latest(tmp_path) == str(tmp_path / "model.ckpt-9")
    assert checkpoints.newest_first(tmp_path) == [str(tmp_path / "model.ckpt-9")]


@pytest.mark.slow
def test_second_trainer_is_refused_and_tester_knows_of_the_first(tmp_path):
    assert not runs.is_training(tmp_path)
    first = runs.lock(tmp_path)
    assert runs.is_training(tmp_path)
    with pytest.raises(UserError, match="another backward.py is training"):
        runs.lock(tmp_path)
    first.lock.release()
    assert not runs.is_training(tmp_path)


@pytest.mark.parametrize("name", ["a*", "a?", "try [1]"])
def test_names_that_mean_other_folders_to_tensorflow_are_refused(tmp_path, name):
    with pytest.raises(UserError, match="in its name, which TensorFlow takes for a pattern"):
        runs.lock(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_testers_do_not_take_each_other_for_a_trainer(tmp_path):
    runs.lock(tmp_path).lock.release()
    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(lambda _: [runs.is_training(tmp_path) for _ in range(300)], range(4)))
    assert not np.any(seen)


def contents(folder):
    """{name: (bytes, when they were written)} of its files."""
    files = [path for path in folder.iterdir() if path.is_file()]
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_a_command_that_trains_nothing_changes_nothing(call, trained, tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(datasets.MNIST, "mnist", lambda data_dir: tiny._replace(name="mnist"))
    folder, flags = trained
    held = json.loads((folder / "run.json").read_text()) | {"dataset_title": tiny.title, "dataset_sha256": tiny.digest}
    (folder / "run.json").write_text(json.dumps(held))
    before = contents(folder)
    for steps in (2, 3):
        status, out, _ = call(backward.main, *flags, "--steps", steps, "--dataset", "mnist")
        assert status == 0 and "at step 3 already" in out
    status, _, err = call(backward.main, *flags, "--steps", 9, "--dataset", "mnist", "--seed", 7)
    assert status == 1 and "seed is 1 there and 7 here" in err
    after = contents(folder)
    assert {name: after[name] for name in before} == before and after.keys() - before.keys() <= {runs.LOCK}
