"""The training run: EMA, learning rate, resuming, stopping, and the run's record."""

import dataclasses
import hashlib
import json
import os
import signal
import threading
import time

import cifar10.backward
from cifar10.networks import airbench
from common import checkpoints, command_line, hooks, optimization, runs, testing
from common.command_line import UserError
from mnist import backward
from mnist.forward import NETWORKS, forward

import conftest
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from conftest import CPU, variables

TINY = {name: dataclasses.replace(recipe, batch_size=8, save_steps=4) for name, recipe in backward.RECIPES.items()}


def train(folder, data, steps, network="fully_connected", seed=1, **changes):
    """Trains an MNIST network on tiny data to a global step; the last checkpoint's variables by name."""
    return conftest.train(backward, folder, data, dataclasses.replace(TINY[network], **changes), steps, network, seed)


def scalars(log_dir, tag):
    """What TensorBoard shows of a scalar: {step: value}. Fails if it shows a step twice."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shown = EventAccumulator(str(log_dir), {"scalars": 0}).Reload().Scalars(tag)
    assert len({e.step for e in shown}) == len(shown)
    return {e.step: e.value for e in shown}


def train_objects(folder, data, steps, network="airbench_slim", seed=1, **changes):
    """The same for CIFAR-10."""
    changes = {"batch_size": 8, "save_steps": 4} | changes
    recipe = dataclasses.replace(cifar10.backward.RECIPES[network], **changes)
    return conftest.train(cifar10.backward, folder, data, recipe, steps, network, seed)


@pytest.mark.parametrize("network", ["fully_connected", "convnet", "airbench_slim"])
def test_ema_is_updated_after_the_train_step(tiny, tiny_shapes, tmp_path, network):
    def run(folder, steps, **changes):
        if network == "airbench_slim":
            return train_objects(folder, tiny_shapes, steps, **changes)
        return train(folder, tiny, steps, network, **changes)

    frozen = run(tmp_path / "frozen", 1, learning_rate=0.0)  # the initial weights
    first = run(tmp_path / "run", 1)
    second = run(tmp_path / "run", 2)
    names = [name.removesuffix("/ExponentialMovingAverage") for name in first if name.endswith("MovingAverage")]
    assert any("logits/biases" in name for name in names)
    assert network == "fully_connected" or any(name.endswith("norm1/moving_variance") for name in names)
    for name in names:
        shadow = f"{name}/ExponentialMovingAverage"
        old = {1: frozen[name], 2: first[shadow]}
        if "moving_" in name:  # statistics move whatever the learning rate: their first value is known
            old[1] = np.full_like(frozen[name], "variance" in name)
        for n, values in ((1, first), (2, second)):
            decay = min(0.998, (1 + n) / (10 + n))
            expected = decay * old[n] + (1 - decay) * values[name]
            np.testing.assert_allclose(values[shadow], expected, rtol=1e-5, atol=1e-7)
    assert (first["logits/weights"] != frozen["logits/weights"]).any()  # else any order would pass


def test_moving_average_decay_is_the_upper_limit(tiny, tmp_path):
    before, after = (train(tmp_path, tiny, steps, moving_average_decay=0.1) for steps in (3, 4))
    shadow = "logits/weights/ExponentialMovingAverage"
    expected = 0.1 * before[shadow] + 0.9 * after["logits/weights"]
    np.testing.assert_allclose(after[shadow], expected, rtol=1e-5, atol=1e-7)


def test_learning_rate_at_chosen_steps(tiny, tmp_path):
    train(tmp_path, tiny, 100, learning_rate=0.4, learning_rate_decay=0.5, warmup_steps=75)
    epoch = 300 / 8  # steps
    rates = scalars(tmp_path / "logs", "learning_rate")
    for step in (1, 50, 100):  # the step-th step is taken at global step - 1
        expected = 0.4 * 0.5 ** ((step - 1) / epoch) * min(1, step / 75)
        assert rates[step] == pytest.approx(expected, rel=1e-5)


def test_loss_is_that_of_the_data_plus_every_penalty(tiny, tmp_path, graph):
    recipe = TINY["fully_connected"]
    run = conftest.record("fully_connected", tiny, recipe, steps=1)
    backward.backward(run, recipe, tiny, tmp_path, tmp_path / "logs", CPU)
    initial = train(tmp_path / "frozen", tiny, 1, learning_rate=0.0)
    penalties = 0
    for layer in ("hidden", "logits"):
        term = scalars(tmp_path / "logs", f"penalty/{layer}/l2_loss")[1]
        assert term == pytest.approx(0.5 * recipe.regularizer * np.square(initial[f"{layer}/weights"]).sum(), rel=1e-4)
        penalties += term
    total, data = (scalars(tmp_path / "logs", f"loss/{name}")[1] for name in ("total", "data"))
    assert total == pytest.approx(data + penalties, rel=1e-6)
    assert len(graph.get_collection("losses")) == 2  # validation adds none


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("network", NETWORKS)
def test_resumed_run_ends_in_the_same_checkpoint(tiny, tmp_path, network):
    """Batches, augmentation, dropout, momentum, batch-norm statistics and EMA: bit for bit."""
    train(tmp_path / "whole", tiny, 10, network)
    for steps in (7, 10):
        train(tmp_path / "parts", tiny, steps, network)
    assert len({digest(tmp_path / run / "model.ckpt-10.data-00000-of-00001") for run in ("whole", "parts")}) == 1


@pytest.mark.parametrize("network", cifar10.backward.RECIPES)
def test_resumed_cifar10_run_ends_in_the_same_checkpoint(tiny_shapes, tmp_path, network):
    """Crops, mirror images, light, cutout, label smoothing, every optimiser of the notes."""
    train_objects(tmp_path / "whole", tiny_shapes, 3, network, batch_size=4)
    for steps in (2, 3):
        train_objects(tmp_path / "parts", tiny_shapes, steps, network, batch_size=4)
    assert len({digest(tmp_path / run / "model.ckpt-3.data-00000-of-00001") for run in ("whole", "parts")}) == 1


@pytest.mark.parametrize(
    "changes",
    [*({"optimizer": name} for name in optimization.OPTIMIZERS), {"loss": "mean_squared_error"}, {"loss": "hinge"},
     {"penalty": "l1"}, {"initializer": "xavier"}],
    ids=lambda changes: "-".join(changes.values()),
)  # fmt: skip
def test_every_option_learns_and_resumes(tiny, tmp_path, changes):
    [option] = changes.values()
    rate = {"adam": 0.003, "rmsprop": 0.003, "mean_squared_error": 1.0}.get(option, 0.1)
    changes |= {"moving_average_decay": 0.5, "learning_rate": rate}
    train(tmp_path / "whole", tiny, 60, **changes)
    for steps in (40, 60):
        train(tmp_path / "parts", tiny, steps, **changes)
    assert len({digest(tmp_path / run / "model.ckpt-60.data-00000-of-00001") for run in ("whole", "parts")}) == 1
    accuracies = scalars(tmp_path / "whole/logs", "accuracy/validation")
    assert accuracies[60] > accuracies[4] + 0.1


def test_whitening_layer_stays_as_it_was(tiny_shapes, tmp_path):
    whole = train_objects(tmp_path, tiny_shapes, 2)
    mean, std = np.float32(120), np.float32(60)  # conftest.record
    expected = airbench.initial((tiny_shapes.train.images - mean) / std)["whitening"]
    np.testing.assert_allclose(whole["whiten/weights"], expected, rtol=1e-4, atol=1e-5)
    assert "whiten/weights/ExponentialMovingAverage" not in whole


def test_bias_scale_multiplies_the_steps_of_offsets_only(tiny_shapes, tmp_path):
    frozen = train_objects(tmp_path / "frozen", tiny_shapes, 1, learning_rate=0.0)
    one, sixteen = (
        train_objects(tmp_path / str(scale), tiny_shapes, 1, regularizer=0.0, bias_scale=scale) for scale in (1.0, 16.0)
    )
    trained = [name.removesuffix("/Momentum") for name in one if name.endswith("/Momentum")]
    assert sum(name.endswith("norm1/offset") for name in trained) == 3
    for name in trained:
        factor = 16 if "norm" in name and name.endswith("offset") else 1
        steps = one[name] - frozen[name], sixteen[name] - frozen[name]
        np.testing.assert_allclose(factor * steps[0], steps[1], rtol=1e-3, atol=1e-6)
        assert np.abs(steps[0]).max() > 0


@pytest.mark.parametrize("schedule", ["cosine", "triangular"])
def test_schedules_fall_to_zero_at_the_last_step(schedule):
    recipe = dataclasses.replace(TINY["convnet"], learning_rate=2.0, warmup_steps=10, schedule=schedule)
    step = tf.placeholder(tf.int64, [])
    rate = optimization.learning_rate(recipe, step, steps=1000, epoch=100)
    with tf.Session() as session:
        first, fifth, quarter, half, last = (session.run(rate, {step: i}) for i in (0, 4, 250, 500, 1000))
    assert (half, last) == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-6))
    assert first == pytest.approx(0.2) and fifth == pytest.approx(1.0, rel=0.01)  # the warm-up
    assert quarter == pytest.approx(1 + np.cos(np.pi / 4) if schedule == "cosine" else 1.5)


def test_cifar10_loss_is_cross_entropy_of_smoothed_labels_plus_every_l2_term(tiny_shapes, tmp_path):
    """The cross-entropy is linear in the labels: a share s of smoothing takes it that far to the uniform one's."""
    losses = {}
    blocks = [f"penalty/block{block}/conv{i}/l2_loss" for block in (1, 2, 3) for i in (1, 2)]
    penalties = [*blocks, "penalty/logits/l2_loss"]
    for share in (0.0, 0.25, 0.75):
        folder = tmp_path / str(share)
        values = train_objects(folder, tiny_shapes, 1, learning_rate=0.0, label_smoothing=share)
        losses[share], l2, total = (
            sum(scalars(folder / "logs", f"{name}")[1] for name in names)
            for names in (["loss/data"], penalties, ["loss/total"])
        )
        assert total == pytest.approx(losses[share] + l2, rel=1e-6)
        squares = sum(np.square(v).sum() for n, v in values.items() if n.endswith("weights") and "whiten" not in n)
        assert l2 == pytest.approx(0.5 * cifar10.backward.RECIPES["airbench_slim"].regularizer * squares, rel=1e-4)
    slope = (losses[0.25] - losses[0.0]) / 0.25
    assert losses[0.75] == pytest.approx(losses[0.0] + 0.75 * slope, rel=1e-4)
    assert losses[0.0] + slope >= np.log(10) - 1e-3 and abs(slope) > 1e-3  # uniform labels: no prediction does better


def test_mean_and_std_are_those_of_all_pixels(tiny_shapes):
    images = tiny_shapes.train.images
    mean, std = cifar10.backward.mean_and_std(images)
    np.testing.assert_allclose(mean, images.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, images.std(axis=(0, 1, 2)), rtol=1e-9)


def test_seed_changes_the_run(tiny, tmp_path):
    one, other = (train(tmp_path / str(seed), tiny, 1, seed=seed) for seed in (1, 2))
    assert (one["hidden/weights"] != other["hidden/weights"]).any()


def test_resumed_log_has_no_step_twice_and_one_graph(tiny, tmp_path):
    from tensorboard.backend.event_processing import event_file_loader

    train(tmp_path, tiny, 100)
    for path in (*tmp_path.glob("model.ckpt-96.*"), *tmp_path.glob("model.ckpt-100.*")):
        path.unlink()  # as if killed before the last saves
    time.sleep(1)  # TensorFlow names the log's files by the second
    train(tmp_path, tiny, 104)
    files = sorted((tmp_path / "logs").glob("events*"))
    events = [e for file in files for e in event_file_loader.EventFileLoader(str(file)).Load()]
    assert len(files) == 2 and sum(e.HasField("graph_def") for e in events) == 1
    assert list(scalars(tmp_path / "logs", "accuracy/validation"))[-4:] == [92, 96, 100, 104]


@pytest.mark.parametrize("damage", ["state lost", "state empty", "data cut", "data gone", "newest gone"])
def test_damaged_folder_goes_on_from_the_newest_whole_checkpoint(tiny, tmp_path, capsys, damage):
    whole = train(tmp_path / "whole", tiny, 12)
    train(tmp_path / "run", tiny, 8)
    state, data = tmp_path / "run" / "checkpoint", tmp_path / "run" / "model.ckpt-8.data-00000-of-00001"
    if damage == "state lost":
        state.unlink()
    elif damage == "state empty":
        state.write_text("")
    elif damage == "data cut":
        data.write_bytes(data.read_bytes()[:1000])
    else:
        data.unlink()
        if damage == "newest gone":
            data.with_name("model.ckpt-8.index").unlink()
    older = data.with_name("model.ckpt-4.index")
    written = older.stat().st_mtime_ns
    capsys.readouterr()
    resumed = train(tmp_path / "run", tiny, 12)
    assert ("cannot read the checkpoint" in capsys.readouterr().err) == damage.startswith("data")
    assert older.stat().st_mtime_ns == written  # not trained anew from step 0
    assert all((resumed[name] == whole[name]).all() for name in whole)


def test_folder_without_a_whole_checkpoint_is_not_started_over(tiny, tmp_path):
    train(tmp_path, tiny, 4)
    (tmp_path / "model.ckpt-4.index").write_bytes(b"half")
    with pytest.raises(UserError, match="no checkpoint in .* can be read; delete the folder"):
        train(tmp_path, tiny, 8)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_two_signals_at_once_stop_once_and_the_same_again_ends(second):
    with hooks.StopOnSignal() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.received == signal.SIGINT
        if second == signal.SIGTERM:  # what a shell script sends after the terminal's Ctrl-C
            signal.raise_signal(second)
            assert stop.received == signal.SIGINT
        else:
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(second)


def test_diverged_run_stops_and_saves_nothing_of_it(tiny, tmp_path):
    train(tmp_path, tiny, 4)
    with pytest.raises(UserError, match=r"diverged at step \d+.*smaller learning_rate"):
        train(tmp_path, tiny, 400, learning_rate=1e30)
    for path in tmp_path.glob("*.index"):
        assert all(np.isfinite(value).all() for value in variables(str(path.with_suffix(""))).values())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler  # ours is gone again


RECORD = {"network": "n", "dataset": "mnist", "dataset_title": "MNIST", "dataset_sha256": "s", "class_names": ["0"],
          "image_mean": 0, "image_std": 255, "recipe": {"epochs": 2.0, "momentum": 0.9}, "seed": 1,
          "steps": 10}  # fmt: skip


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
        ("batch_size=3.5", "batch_size is of type int, '3.5' is not"),
        ("batch_size=0", "batch_size must be at least 1"),
        ("learning_rate=-1", "learning_rate must be at least 0"),
        ("moving_average_decay=2", "moving_average_decay must be at least 0, and below 1"),
        ("epochs=0", "epochs must be above 0, and finite"),
        ("schedule=linear", "schedule must be one of exponential, staircase, cosine, triangular"),
        ("learning_rate=nan", "learning_rate must be at least 0, and finite"),
        ("batch_size", "KEY=VALUE"),
    ]:
        with pytest.raises(UserError, match=message):
            command_line.override(TINY["lenet5"], [setting])


def evaluated(folder, split, paths, raw=False, skip=True):
    """Runs testing.test: {step: evaluation}."""
    run = RECORD | {"network": "fully_connected", "recipe": {"moving_average_decay": 0.99}}
    return dict(testing.test(forward, run, split, paths, CPU, raw, skip_unreadable=skip))


def test_tester_restores_averages_and_counts_each_image_once(tiny, tmp_path):
    values = train(tmp_path, tiny, 20)
    for raw, suffix in ((False, "/ExponentialMovingAverage"), (True, "")):
        result = evaluated(tmp_path, tiny.test, [checkpoints.latest(tmp_path)], raw)[20]
        x = tiny.test.images.reshape(120, 784) / 255.0
        hidden = np.maximum(x @ values["hidden/weights" + suffix] + values["hidden/biases" + suffix], 0)
        logits = hidden @ values["logits/weights" + suffix] + values["logits/biases" + suffix]
        np.testing.assert_array_equal(result.labels, tiny.test.labels)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        expected = exponentials / exponentials.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(result.probabilities, expected, atol=1e-5)
        assert result.accuracy == (logits.argmax(axis=1) == tiny.test.labels).mean()
        assert result.confusion().sum() == 120 and np.trace(result.confusion()) == round(result.accuracy * 120)


def test_tester_survives_deleted_and_half_written_checkpoints(tiny, tmp_path, capsys):
    train(tmp_path, tiny, 12)
    for path in tmp_path.glob("model.ckpt-4.*"):
        path.unlink()
    half = tmp_path / "model.ckpt-8.data-00000-of-00001"
    half.write_bytes(half.read_bytes()[:1000])
    paths = [str(tmp_path / f"model.ckpt-{step}") for step in (4, 8, 12)]
    assert list(evaluated(tmp_path, tiny.test, paths)) == [12]
    assert capsys.readouterr().err.count("cannot read the checkpoint") == 2
    (tmp_path / "model.ckpt-8.index").write_bytes(b"half")
    with pytest.raises(UserError, match="cannot read the checkpoint .*model.ckpt-8"):
        evaluated(tmp_path, tiny.test, paths[1:], skip=False)


def test_checkpoint_of_another_network_is_told_by_variable(tiny, tmp_path):
    train(tmp_path, tiny, 4, "lenet5")
    with pytest.raises(UserError) as error:
        evaluated(tmp_path, tiny.test, [checkpoints.latest(tmp_path)])
    name = "hidden/weights/ExponentialMovingAverage"
    assert f"{name} is [3136, 512] in it, [784, 500] in the network" in str(error.value)


def test_follow_gives_each_checkpoint_once_and_ends_with_the_last_step(tiny, tmp_path):
    runs.write(tmp_path, RECORD | {"steps": 8})
    train(tmp_path, tiny, 4)
    seen = []
    for path in checkpoints.follow(tmp_path, interval=0.1):
        seen.append(checkpoints.step(path))
        if seen == [4]:
            train(tmp_path, tiny, 8)
    assert seen == [4, 8]


def test_follow_ends_when_the_trainer_has_died(tiny, tmp_path):
    runs.write(tmp_path, RECORD | {"steps": 1000})
    train(tmp_path, tiny, 4)
    locked, may_end = threading.Event(), threading.Event()

    def trainer():
        with runs.lock(tmp_path):
            locked.set()
            may_end.wait(10)

    thread = threading.Thread(target=trainer)
    thread.start()
    locked.wait(10)
    seen = []
    for path in checkpoints.follow(tmp_path, interval=0.1):
        seen.append(checkpoints.step(path))
        threading.Timer(0.5, may_end.set).start()
    thread.join()
    assert seen == [4]


def test_evaluate_all_shows_every_split(tiny, tmp_path):
    train(tmp_path, tiny, 4, "mechanics", evaluate="all")
    run = RECORD | {"network": "mechanics", "recipe": {"moving_average_decay": 0.99}}
    splits = {"validation": tiny.validation, "training_set": tiny.train, "test": tiny.test}
    for name, split in splits.items():
        [(step, result)] = testing.test(forward, run, split, [checkpoints.latest(tmp_path)], CPU)
        assert scalars(tmp_path / "logs", f"accuracy/{name}") == {step: pytest.approx(result.accuracy)}


def test_averaged_losses_follow_the_raw_ones(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(hooks, "SUMMARY_STEPS", 1)
    train(tmp_path, tiny, 5)
    for tag in ("loss/total", "loss/data", "penalty/hidden/l2_loss"):
        raw, averaged = (scalars(tmp_path / "logs", f"{tag}{suffix}") for suffix in ("", "_averaged"))
        biased = 0.0
        for step in range(1, 6):
            biased = 0.9 * biased + 0.1 * raw[step]
            assert averaged[step] == pytest.approx(biased / (1 - 0.9**step), rel=1e-5)


def test_without_a_regularizer_nothing_is_penalised(tiny, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(tmp_path, tiny, 1, "deep")
    tags = EventAccumulator(str(tmp_path / "logs")).Reload().Tags()["scalars"]
    assert "loss/total" in tags and not [tag for tag in tags if tag.startswith("penalty")]
