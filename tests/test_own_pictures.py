"""Training on packed pictures: streamed or in memory, and from weights that were learnt before."""

import dataclasses
import re

import cifar10.app
import cifar10.backward
import cifar10.forward
import cifar10.test
from common.command_line import ROOT
from common.data import datasets, records, shards
from common.errors import UserError
from common.graph import optimization
from common.training import agreement, checkpoints, hooks, runs, several, trainer
from mnist import backward

import conftest
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import TINY, digest, scalars
from packing_helpers import FIRST, flip, folder_of, pack

PRETRAINED = ROOT / "checkpoints/cifar10/pretrained"
KNOWN = runs.read(PRETRAINED)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A packed folder of 40 training pictures in three classes, of 12×12 pixels and in several shards."""
    root = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "SHARD_BYTES", 7 * 12 * 12 * 3)
        return pack(folder_of(root / "s", {"a": 20, "b": 20, "c": 10}), root / "data", 12)


def train(folder, data, steps, start_from="none", network="global_average", **changes):
    """Trains a CIFAR-10 network on a packed data set; the digest of the last checkpoint."""
    changes = {"batch_size": 8, "save_steps": 4, "degrees": 5.0, "mirror": 1, **changes}
    recipe = dataclasses.replace(cifar10.forward.NETWORKS[network].RECIPE, **changes)
    mean_and_std = cifar10.backward.mean_and_std(data.train.images)
    run = trainer.describe(network, recipe, data, *mean_and_std, steps, start_from=start_from)
    with tf.Graph().as_default():
        cifar10.backward.backward(run, data, folder, folder / "logs", [conftest.CPU])
    return digest(folder / f"model.ckpt-{steps}.data-00000-of-00001")


def test_streamed_and_in_memory_are_the_same_bit_for_bit_stopped_or_not(tmp_path, packed, monkeypatch):
    monkeypatch.setattr(hooks, "PICTURE_STEPS", 3)  # whose own runs of the graph must not take a batch
    streamed, in_memory = datasets.packed(packed, in_memory=0), datasets.packed(packed)
    assert isinstance(streamed.train.images, records.Images) and isinstance(in_memory.train.images, np.ndarray)
    expected = train(tmp_path / "memory", in_memory, 12)  # more than two epochs
    assert train(tmp_path / "streamed", streamed, 12) == expected
    train(tmp_path / "stopped", streamed, 5)
    assert train(tmp_path / "stopped", streamed, 12) == expected
    assert train(tmp_path / "other", in_memory, 12, degrees=6.0) != expected


def test_a_loop_of_steps_takes_the_streamed_pictures_of_each(tmp_path, packed, monkeypatch):
    digests = set()
    for short, in_memory in ((0, None), (1000, 0)):  # seconds of a step, below which there is a loop
        monkeypatch.setattr(several, "SHORT", short)
        data = datasets.packed(packed, in_memory)
        digests.add(train(tmp_path / str(short), data, 12, network="two_layer_fc", save_steps=6))
    assert len(digests) == 1


def test_every_split_of_a_streamed_data_set_is_evaluated(tmp_path, packed):
    measured = []
    for name, limit in {"streamed": 0, "memory": None}.items():
        train(tmp_path / name, datasets.packed(packed, limit), 4, evaluate="all")
        logs = tmp_path / name / "logs"
        measured.append([scalars(logs, f"accuracy/{split}") for split in ("validation", "training_set", "test")])
    assert measured[0] == measured[1] and all(list(split) == [4] for split in measured[0])


def test_a_stream_that_lost_its_step_is_an_error(packed):
    from common.graph import batches

    data = datasets.packed(packed, in_memory=0)
    step = tf.get_variable("step", initializer=tf.constant(0, tf.int64))
    images, _ = batches.shuffled(batches.source(data.train, "data"), step.read_value(), 8, seed=1)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(tf.tables_initializer())
        session.run(images)
        with pytest.raises(tf.errors.InvalidArgumentError, match="the stream of batches is at another step"):
            session.run(images)


def test_a_shard_that_is_damaged_while_it_is_read_is_one_line(call, tmp_path, monkeypatch):
    folder = pack(folder_of(tmp_path / "s", {"a": 20, "b": 20}), tmp_path / "data", 12)
    load = datasets.packed

    def damaged(*args):
        data = load(*args)
        cifar10.backward.mean_and_std(data.train.images)
        flip(folder / FIRST.replace("2.", "1."))
        monkeypatch.setattr(cifar10.backward, "mean_and_std", lambda images: ((1.0,) * 3, (60.0,) * 3))
        return data

    monkeypatch.setattr(datasets, "packed", damaged)
    flags = [*conftest.folders(tmp_path), "--network", "global_average", "--set", "epochs=9", "save_steps=2"]
    status, _, err = call(cifar10.backward.main, "--dataset", folder, "--in-memory", 0, *flags)
    assert status == 1 and "Traceback" not in err
    assert err.splitlines()[-1].startswith(f"error: {folder}/train-00000-of-00001.tfrecord is damaged at byte")


def test_weights_that_were_learnt_before_are_taken_where_they_fit(tmp_path, packed, capsys):
    data = datasets.packed(packed)
    source = checkpoints.named(PRETRAINED)
    train(tmp_path, data, 1, source, KNOWN.network, learning_rate=0.0, regularizer=0.0)
    told = capsys.readouterr().out.splitlines()[0]
    anew = "32 of 34 variables; anew: logits/weights, logits/biases"
    assert told == f"starts from {source.relative_to(ROOT)}: {anew}"
    held, made = conftest.variables(str(source)), conftest.variables(checkpoints.latest(tmp_path))
    average = "/ExponentialMovingAverage"
    taken = [name for name in held if name.endswith("weights" + average) and "logits" not in name]
    assert len(taken) == 6
    for name in taken:  # both the weights and their averages
        assert (made[name] == held[name]).all() and (made[name.removesuffix(average)] == held[name]).all()
    assert (made["whiten/weights"] == held["whiten/weights"]).all()
    assert (made["whiten/biases"] == held["whiten/biases" + average]).all() and made["whiten/biases"].any()
    statistic = "block3/norm2/moving_variance" + average
    assert not (made[statistic] == held[statistic]).all()  # moved by one step, from where it was
    assert np.abs(made[statistic] / held[statistic] - 1).mean() < 0.5
    assert made["logits/weights"].shape == (208, 3)


def test_a_run_goes_on_from_its_checkpoint_and_not_from_the_start(tmp_path, packed, capsys):
    data, source = datasets.packed(packed), checkpoints.named(PRETRAINED)
    expected = train(tmp_path / "whole", data, 8, source, KNOWN.network)
    train(tmp_path / "stopped", data, 4, source, KNOWN.network)
    capsys.readouterr()
    assert train(tmp_path / "stopped", data, 8, source, KNOWN.network) == expected
    assert "starts from" not in capsys.readouterr().out


def test_another_start_is_another_run(tmp_path, packed):
    data = datasets.packed(packed)
    recipe = dataclasses.replace(cifar10.forward.NETWORKS["airbench_slim"].RECIPE, batch_size=8)
    scale = (1.0,) * 3, (1.0,) * 3
    described = [
        trainer.describe("airbench_slim", recipe, data, *scale, start_from=start)
        for start in ("none", checkpoints.named(PRETRAINED))
    ]
    runs.write(tmp_path, described[0])
    (tmp_path / "model.ckpt-4.index").touch()
    agreement.continued(tmp_path, dataclasses.replace(described[0], dataset_folder="moved"))
    with pytest.raises(UserError, match="another run: start_from is '' there and 'checkpoints/cifar10/pretrained"):
        agreement.continued(tmp_path, described[1])


def test_a_later_checkpoint_of_the_start_is_no_other_run_and_a_damaged_start_is_named(tmp_path, packed, capsys):
    data = datasets.packed(packed)
    start = tmp_path / "start"
    train(start, data, 4)
    train(tmp_path / "on", data, 4, start / "model.ckpt-4")
    train(start, data, 8)
    described = runs.read(tmp_path / "on", cifar10.forward.NETWORKS)
    later = dataclasses.replace(described, start_from=described.start_from.replace("ckpt-4", "ckpt-8"))
    capsys.readouterr()
    assert agreement.continued(tmp_path / "on", later).start_from == described.start_from
    assert re.match(r"began from .*start/model.ckpt-4, not from model.ckpt-8, and goes on", capsys.readouterr().out)
    flip(start / "model.ckpt-8.data-00000-of-00001")
    train(tmp_path / "on", data, 8, start / "model.ckpt-8")
    with pytest.raises(UserError, match="cannot read the checkpoint .*start/model.ckpt-8"):
        train(tmp_path / "new", data, 4, start / "model.ckpt-8")


def test_a_run_goes_on_though_its_start_was_deleted(call, tmp_path, packed):
    data, flags = datasets.packed(packed), ["--dataset", packed, *conftest.folders(tmp_path)]
    flags += ["--network", "global_average", "--set", "batch_size=8"]
    train(tmp_path / "start", data, 4)
    start = tmp_path / "start/model.ckpt-4"

    def backward(*more):
        with tf.Graph().as_default():
            return call(cifar10.backward.main, *flags, "--start-from", start, *more)

    assert backward("--steps", 2)[0] == 0
    for part in start.parent.glob("model.ckpt-4.*"):
        part.unlink()
    status, out, _ = backward("--steps", 3)
    assert status == 0 and "step 2 to 3" in out and re.search(r"\d s of training since step 2\n", out)
    status, _, err = backward("--checkpoint-dir", tmp_path / "new")
    assert status == 1 and f"cannot read the checkpoint {start}" in err


def test_a_packed_folder_is_trained_on_as_it_was_packed(call, tmp_path, packed):
    for main, flags in ((backward.main, []), (cifar10.backward.main, ["--size", 32])):
        status, _, err = call(main, "--dataset", packed, "--only-pack", *flags)
        assert status == 1 and err == (
            f"error: {packed} was packed as 'whole', 12×12 pixels; name the pictures themselves, to pack them another "
            "way\n"
        )
    assert call(cifar10.backward.main, "--dataset", packed, "--only-pack", "--size", 12)[0] == 0


def test_help_shows_the_recipe_for_ones_own_pictures(call, packed):
    status, out, _ = call(cifar10.backward.main, "--dataset", packed, "--help")
    recipe = cifar10.forward.NETWORKS[KNOWN.network].RECIPE.for_own(1000, 32, learnt=True)
    assert status == 0 and f"the recipe of {KNOWN.network} on 1,000 pictures of your own, for --set:" in out
    assert f" learning_rate={recipe.learning_rate} " in out and f" degrees={recipe.degrees} " in out


def test_what_fits_nothing_is_refused(call, tmp_path, packed):
    flags = ["--dataset", packed, *conftest.folders(tmp_path), "--network", "two_layer_fc"]
    status, _, err = call(cifar10.backward.main, *flags, "--start-from", "pretrained")
    assert status == 1
    assert f"pretrained/{checkpoints.named(PRETRAINED).name} fits two_layer_fc; give --start-from none" in err
    status, _, err = call(cifar10.backward.main, *flags, "--start-from", tmp_path / "nothing")
    assert status == 1 and f"no checkpoint {tmp_path / 'nothing'}" in err


@pytest.mark.parametrize("flags", [["--only-pack"], ["--only-pack", "--dataset", "mnist"], ["--dataset", "nowhere"]])
def test_flags_that_need_own_pictures(call, flags):
    status, _, err = call(backward.main, *flags)
    assert status == 1 and err.startswith("error: ") and "a folder" in err and err.count("\n") == 1


def test_balanced_weights_make_every_class_count_the_same():
    labels = np.array([0] * 6 + [1] * 3 + [2])
    recipe = dataclasses.replace(TINY["softmax"], class_weights="balanced", reduction="sum")
    with tf.Session() as session:
        logits = tf.constant(np.random.default_rng(1).normal(size=[10, 4]), tf.float32)
        each = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        plain, loss = session.run([each, optimization.data_loss(recipe, tf.constant(labels), logits, labels)])
    assert loss / len(labels) == pytest.approx(np.mean([plain[labels == c].mean() for c in range(3)]), rel=1e-5)


def test_mirror_images_are_looked_at_only_if_they_show_the_same(packed):
    recipe = cifar10.forward.NETWORKS["airbench_slim"].RECIPE
    for mirror, own, channels, expected in (
        (1, True, 3, True), (0, True, 3, False), (0, False, 3, True), (0, False, 1, False)
    ):  # fmt: skip
        data = datasets.packed(packed)._replace(folder=str(packed) if own else "")
        run = trainer.describe(
            "airbench_slim", dataclasses.replace(recipe, mirror=mirror, batch_size=8), data, *[(1.0,) * channels] * 2
        )
        assert run.mirrors == expected
