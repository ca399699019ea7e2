"""Several steps in one call of the session are the same steps, one by one."""

from common.training import hooks, several

import pytest
from helpers import scalars, train


def test_several_steps_a_call_are_the_same_steps(tiny, tmp_path, monkeypatch):
    taken, before_run = [], hooks.StopOnSignal.before_run
    monkeypatch.setattr(hooks.StopOnSignal, "before_run", lambda *args: taken.append(1) or before_run(*args))
    monkeypatch.setattr(hooks, "SUMMARY_STEPS", 7)
    results = []
    for short in (0, 1000):  # seconds: never, always
        monkeypatch.setattr(several, "SHORT", short)
        monkeypatch.setattr(several, "CALL", 4000)
        folder, calls = tmp_path / str(short), len(taken)
        values = train(folder, tiny, 40, "mechanics", save_steps=15)
        curves = [scalars(folder / "logs", tag) for tag in ("loss/total", "accuracy/training", "accuracy/validation")]
        results.append((len(taken) - calls, values, curves))
    (each, one_by_one, curves), (few, together, same_curves) = results
    assert each == 40 and few == 9  # the first, those at multiples of 7 and of 15, and the last
    assert curves == same_curves and list(curves[0]) == [1, 7, 14, 21, 28, 35] and list(curves[1]) == [15, 30, 40]
    assert all((together[name] == one_by_one[name]).all() for name in one_by_one)


def test_a_loss_that_is_not_finite_is_told_with_its_step_though_several_are_taken(tiny, tmp_path, monkeypatch):
    told = []
    for short in (0, 1000):
        monkeypatch.setattr(several, "SHORT", short)
        with pytest.raises(hooks.NotFinite) as caught:
            train(tmp_path / str(short), tiny, 400, "mechanics", learning_rate=1e6, save_steps=300)
        told.append(str(caught.value))
    assert told[0] == told[1] and "training diverged at step" in told[0]
