"""The training run: EMA, losses, learning rate, temperature, stopping, and what TensorBoard shows."""

import dataclasses

import cifar10.backward
import cifar10.forward
from cifar10.networks import airbench
from common.data import datasets
from common.training import calibration, checkpoints, evaluation, hooks, runs, testing
from mnist import backward
from mnist.forward import NETWORKS, forward

import conftest
import numpy as np
import pytest
from conftest import CPU
from helpers import TINY, scalars, slow_but, train, train_objects
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


@pytest.mark.parametrize("network", slow_but(["fully_connected"], ["fully_connected", "convnet", "airbench_slim"]))
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
    run = conftest.described("fully_connected", tiny, recipe, steps=1)
    backward.backward(run, tiny, tmp_path, tmp_path / "logs", [CPU])
    initial = train(tmp_path / "frozen", tiny, 1, learning_rate=0.0)
    penalties = 0
    for layer in ("hidden", "logits"):
        term = scalars(tmp_path / "logs", f"penalty/{layer}/l2_loss")[1]
        assert term == pytest.approx(0.5 * recipe.regularizer * np.square(initial[f"{layer}/weights"]).sum(), rel=1e-4)
        penalties += term
    total, data = (scalars(tmp_path / "logs", f"loss/{name}")[1] for name in ("total", "data"))
    assert total == pytest.approx(data + penalties, rel=1e-6)
    assert len(graph.get_collection("losses")) == 2  # validation adds none


@pytest.mark.slow
def test_whitening_layer_stays_as_it_was(tiny_shapes, tmp_path):
    whole = train_objects(tmp_path, tiny_shapes, 2)
    mean, std = np.float32(120), np.float32(60)  # conftest.described
    expected = airbench.initial((tiny_shapes.train.images - mean) / std)["whitening"]
    np.testing.assert_allclose(whole["whiten/weights"], expected, rtol=1e-4, atol=1e-5)
    assert "whiten/weights/ExponentialMovingAverage" not in whole
    assert not whole["whiten/biases"].any() and "whiten/biases/Momentum" not in whole


@pytest.mark.slow
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


@pytest.mark.slow
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
        factor = cifar10.forward.NETWORKS["airbench_slim"].RECIPE.regularizer
        assert l2 == pytest.approx(0.5 * factor * squares, rel=1e-4)
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


def test_evaluate_all_shows_every_split(tiny, tmp_path):
    train(tmp_path, tiny, 4, "mechanics", evaluate="all")
    run = conftest.described("mechanics", tiny, TINY["mechanics"], steps=4)
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


@pytest.mark.parametrize("task", [backward, cifar10.backward], ids=["mnist", "cifar10"])
def test_a_signal_is_told_and_what_was_done_is_saved(tiny, tiny_shapes, tmp_path, monkeypatch, task):
    network, data = ("softmax", tiny) if task is backward else ("simple", tiny_shapes)
    recipe = dataclasses.replace(task.NETWORKS[network].RECIPE, batch_size=8)
    run = conftest.described(network, data, recipe, steps=50)
    after_run = hooks.StopOnSignal.after_run

    def signalled(self, run_context, run_values):
        self.received = 15
        after_run(self, run_context, run_values)

    monkeypatch.setattr(hooks.StopOnSignal, "after_run", signalled)
    report, stopped_by = task.backward(run, data, tmp_path, tmp_path / "logs", [CPU])
    assert stopped_by == 15 and report.step == checkpoints.step(checkpoints.latest(tmp_path)) == 1


def test_the_temperature_is_the_best_on_a_grid(call, tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(datasets.MNIST, "mnist", lambda data_dir: tiny._replace(name="mnist"))
    settings = ("--network", "softmax", "--dataset", "mnist", "--steps", 30, "--precision", "float32")
    settings += ("--set", "batch_size=20", "save_steps=15")
    status, out, _ = call(backward.main, "--checkpoint-dir", tmp_path, *settings)
    folder = tmp_path / "mnist" / "softmax"
    run = runs.read(folder, NETWORKS)
    assert status == 0 and f"at temperature {run.temperature:.2f}" in out
    paths = [checkpoints.latest(folder)]
    [(step, result)] = testing.test(forward, run, tiny.validation, paths, CPU)
    assert step == 30 and run.validation_accuracy == pytest.approx(result.accuracy) and 0.3 < result.accuracy < 1

    def cross_entropy(temperature):
        calibrated = calibration.at(temperature, result.probabilities)
        return evaluation.Evaluation(calibrated, result.labels).cross_entropy

    grid = np.geomspace(0.2, 20, 200)
    best = grid[np.argmin([cross_entropy(t) for t in grid])]
    assert run.temperature == pytest.approx(best, rel=0.03) and abs(np.log(best)) > 0.1


def test_without_a_regularizer_nothing_is_penalised(tiny, tmp_path):
    train(tmp_path, tiny, 1, "deep")
    tags = EventAccumulator(str(tmp_path / "logs")).Reload().Tags()["scalars"]
    assert "loss/total" in tags and not [tag for tag in tags if tag.startswith("penalty")]


@pytest.mark.slow
@pytest.mark.parametrize(("trained_with", "network"), [(train, "lenet5"), (train_objects, "airbench_slim")])
def test_tensorboard_shows_what_each_layer_does(tiny, tiny_shapes, tmp_path, trained_with, network):
    trained_with(tmp_path, tiny if trained_with is train else tiny_shapes, 1, network)
    tags = EventAccumulator(str(tmp_path / "logs")).Reload().Tags()
    layers = {"lenet5": ["conv1", "conv2", "hidden"], "airbench_slim": ["block1/norm1", "block3/norm2"]}[network]
    kind, weights = {"lenet5": ("relu", "conv2"), "airbench_slim": ("gelu", "block2/conv1")}[network]
    scalars = {"loss/total", "loss/data", f"penalty/{weights}/l2_loss", "learning_rate"}
    averaged = {f"{tag}_averaged" for tag in scalars - {"learning_rate"}}
    sparsity = {f"sparsity/{layer}/relu" for layer in layers if kind == "relu"}
    assert scalars | averaged | sparsity <= set(tags["scalars"])
    histograms = {f"activations/{layer}/{kind}" for layer in layers}
    histograms |= {f"{part}/{weights}/weights" for part in ("weights", "averages", "gradients")}
    assert histograms <= set(tags["histograms"])
    assert any(tag.startswith("input/image") for tag in tags["images"])
