"""Runs that were stopped, killed, damaged or diverged."""

import signal
import time

import cifar10.forward
from common.errors import UserError
from common.graph import optimization
from common.training import hooks
from mnist.forward import NETWORKS

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from conftest import variables
from helpers import digest, scalars, slow_but, train, train_objects


def events(log_dir):
    from tensorboard.backend.event_processing import event_file_loader

    return [e for file in sorted(log_dir.glob("events*")) for e in event_file_loader.EventFileLoader(str(file)).Load()]


def sums_in_any_order(log_dir):
    """AddN adds into whichever input's memory is free first: of more than two, the last bit depends on timing."""
    [graph] = [tf.GraphDef.FromString(e.graph_def) for e in events(log_dir) if e.HasField("graph_def")]
    return [node.name for node in graph.node if node.op == "AddN" and len(node.input) > 2]


@pytest.mark.parametrize("network", slow_but(["fully_connected"], NETWORKS))
def test_resumed_run_ends_in_the_same_checkpoint(tiny, tmp_path, network):
    """Batches, augmentation, dropout, momentum, batch-norm statistics and EMA: bit for bit."""
    lasting = {"schedule": "exponential"}  # a triangular one depends on the last step
    train(tmp_path / "whole", tiny, 10, network, **lasting)
    for steps in (7, 10):
        train(tmp_path / "parts", tiny, steps, network, **lasting)
    assert len({digest(tmp_path / run / "model.ckpt-10.data-00000-of-00001") for run in ("whole", "parts")}) == 1
    assert not sums_in_any_order(tmp_path / "whole/logs")


@pytest.mark.parametrize("network", slow_but(["simple"], cifar10.forward.NETWORKS))
def test_resumed_cifar10_run_ends_in_the_same_checkpoint(tiny_shapes, tmp_path, network):
    """Crops, mirror images, light, cutout, label smoothing, every optimiser of the notes."""
    train_objects(tmp_path / "whole", tiny_shapes, 3, network, batch_size=4)
    for steps in (2, 3):
        train_objects(tmp_path / "parts", tiny_shapes, steps, network, batch_size=4)
    assert len({digest(tmp_path / run / "model.ckpt-3.data-00000-of-00001") for run in ("whole", "parts")}) == 1
    assert not sums_in_any_order(tmp_path / "whole/logs")


@pytest.mark.slow
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


@pytest.mark.slow
def test_resumed_log_has_no_step_twice_and_one_graph(tiny, tmp_path):
    train(tmp_path, tiny, 100)
    for path in (*tmp_path.glob("model.ckpt-96.*"), *tmp_path.glob("model.ckpt-100.*")):
        path.unlink()  # as if killed before the last saves
    time.sleep(1)  # TensorFlow names the log's files by the second
    train(tmp_path, tiny, 104)
    graphs = sum(e.HasField("graph_def") for e in events(tmp_path / "logs"))
    assert len(list((tmp_path / "logs").glob("events*"))) == 2 and graphs == 1
    assert list(scalars(tmp_path / "logs", "accuracy/validation"))[-4:] == [92, 96, 100, 104]


@pytest.mark.slow
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


def test_two_signals_at_once_stop_once():
    with hooks.StopOnSignal() as stop:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)  # what a shell script sends after the terminal's Ctrl-C
        assert stop.received == signal.SIGINT


def test_diverged_run_stops_and_saves_nothing_of_it(tiny, tmp_path):
    train(tmp_path, tiny, 4)
    with pytest.raises(UserError, match=r"diverged at step \d+.*smaller learning_rate"):
        train(tmp_path, tiny, 400, learning_rate=1e30)
    for path in tmp_path.glob("*.index"):
        assert all(np.isfinite(value).all() for value in variables(str(path.with_suffix(""))).values())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler  # ours is gone again
