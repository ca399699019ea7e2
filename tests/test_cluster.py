"""Workers: real processes on the loopback that train together, are lost, and start again."""

import json
import signal
import time

from common.training import launch

import numpy as np
import psutil
import pytest
from conftest import variables
from helpers import digest, scalars
from PIL import Image
from test_scripts import finish

ALIKE = ("--device", "cpu", "--precision", "float32")  # on every machine
SHORT = ("--dataset", "generated", *ALIKE, "--network", "fully_connected", "--set", "save_steps=4")
FOLDER = "checkpoints/mnist/fully_connected-generated"


def told(addresses, index, chief=True):
    """TF_CONFIG of one of the workers."""
    jobs = {"chief": addresses[:1], "worker": addresses[1:]} if chief else {"worker": addresses}
    task = {"type": "worker", "index": index - chief} if index or not chief else {"type": "chief", "index": 0}
    return json.dumps({"cluster": jobs, "task": task})


@pytest.fixture
def start(program):
    """start(count, *flags, others=flags) starts workers of mnist/backward.py: their processes, the chief's first."""

    def start(count, *flags, others=None):
        addresses = [f"127.0.0.1:{port}" for port in launch.free_ports(count)]
        return [
            program("mnist/backward.py", *(flags if others is None or i == 0 else others), TF_CONFIG=told(addresses, i))
            for i in range(count)
        ]

    return start


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.slow
def test_any_number_of_workers_goes_on_with_what_another_began(program, start, tmp_path):
    """The checkpoints are those of one process but for rounding; the chief alone prints and writes."""
    flags = [*SHORT, "batch_size=60", "--network", "lenet5"]  # which augments and has dropout
    out, _ = finish(program("mnist/backward.py", *flags, "--steps", 8))
    folder = tmp_path / "checkpoints/mnist/lenet5-generated"
    logs = tmp_path / "logs/mnist/lenet5-generated/train"

    def measured():
        return scalars(logs, "accuracy/validation")[8], json.loads((folder / "run.json").read_text())["temperature"]

    alone, by_one = variables(str(folder / "model.ckpt-8")), measured()
    folder.rename(tmp_path / "alone")
    logs.rename(tmp_path / "logs of one")
    outputs = []
    for count, steps in ((2, 4), (3, 8), (2, 8)):
        processes = start(count, *flags, "--steps", steps)
        first, *others = [finish(process) for process in processes]
        assert not any(out + err for out, err in others)
        outputs.append(first[0])
    assert [out.splitlines()[0] for out in outputs] == [
        "lenet5 on generated digits: step 0 to 4, float32, 2 workers",
        "lenet5 on generated digits: step 4 to 8, float32, 3 workers",
        f"lenet5 on generated digits: at step 8 already, in {folder.relative_to(tmp_path)}; a larger --steps trains on",
    ]
    found = variables(str(folder / "model.ckpt-8"))
    assert found.keys() == alone.keys()
    for name, values in alone.items():
        np.testing.assert_allclose(found[name], values, atol=3e-6 * max(1, np.abs(values).max()), err_msg=name)
    assert measured() == pytest.approx(by_one, rel=0.01)


@pytest.mark.slow
def test_streamed_pictures_go_on_with_workers_as_in_memory_with_one_process(program, tmp_path):
    """CIFAR-10's trainer. Stopped on the way, and gone on with."""
    for kind, color in ("red", (200, 40, 30)), ("blue", (20, 60, 210)):
        (tmp_path / "pictures" / kind).mkdir(parents=True)
        for i in range(60):
            pixels = np.random.default_rng(i).integers(-20, 20, [40, 40, 3]) + color
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / "pictures" / kind / f"{i}.png")
    flags = ["--dataset", tmp_path / "pictures", "--data-dir", tmp_path, "--network", "simple", *ALIKE]
    flags += ["--start-from", "none", "--set", "batch_size=8", "save_steps=2"]
    finish(program("cifar10/backward.py", *flags, "--steps", 5))
    [alone] = (tmp_path / "checkpoints/cifar10").iterdir()
    expected = variables(str(alone / "model.ckpt-5"))
    alone.rename(tmp_path / "alone")
    for steps in (3, 5):
        finish(program("cifar10/backward.py", *flags, "--in-memory", 1e-6, "--workers", 2, "--steps", steps))
    found = variables(str(alone / "model.ckpt-5"))
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5 * max(1, np.abs(values).max()), err_msg=name)


@pytest.mark.slow
def test_workers_take_the_precision_of_the_chief_and_that_of_the_run(start):
    flags = ["--dataset", "generated", "--device", "cpu", "--network", "softmax", "--set", "batch_size=60"]
    for step, chiefs in (0, ["--precision", "bfloat16"]), (1, []):
        steps = ["--steps", step + 1]
        (out, _), _ = [finish(process) for process in start(2, *chiefs, *flags, *steps, others=[*flags, *steps])]
        assert out.startswith(f"softmax on generated digits: step {step} to {step + 1}, bfloat16, 2 workers\n")


@pytest.mark.slow
def test_lost_workers_start_again_and_end_in_the_same_checkpoint(program, tmp_path):
    """Each in turn, by SIGKILL: the same SHA-256 as without."""
    flags = [*SHORT, "batch_size=60", "--steps", 120, "--workers", 2]
    finish(program("mnist/backward.py", *flags))
    file = tmp_path / FOLDER / "model.ckpt-120.data-00000-of-00001"
    undisturbed = digest(file)
    (tmp_path / FOLDER).rename(tmp_path / "undisturbed")
    launcher = program("mnist/backward.py", *flags)
    for which in range(2):
        before = set(indexes(tmp_path))
        wait_for(lambda before=before: set(indexes(tmp_path)) - before)
        workers = sorted(psutil.Process(launcher.pid).children(), key=lambda process: process.create_time())
        workers[which].kill()
        wait_for(lambda workers=workers: not any(worker.is_running() for worker in workers), 40)
    out, err = finish(launcher)
    assert digest(file) == undisturbed
    assert out.count("2 workers") == 3 and err.count("all workers start again") == 2
    for who in ("the chief", "worker 1"):
        assert f"{who}: killed by SIGKILL" in err
    # Who has not noticed after launch.NOTICING seconds is killed, and says nothing: rarely both.
    assert "lost worker 1 at 127.0.0.1:" in err or "lost the chief at 127.0.0.1:" in err


def indexes(tmp_path):
    folder = tmp_path / FOLDER
    return [path.name for path in folder.glob("*.index")] if folder.exists() else []


@pytest.mark.slow
def test_a_signal_to_one_worker_stops_all_at_the_same_step(start, tmp_path):
    flags = [*SHORT, "batch_size=60", "--steps", 10**6]
    processes = start(2, *flags)
    wait_for(lambda: indexes(tmp_path))
    processes[1].send_signal(signal.SIGTERM)
    (out, _), (other, _) = [finish(process, 128 + signal.SIGTERM) for process in processes]
    assert "stopped by SIGTERM at step" in out and not other
    stopped = int(out.partition("at step ")[2].split()[0])
    assert f"model.ckpt-{stopped}.index" in indexes(tmp_path)


@pytest.mark.slow
def test_a_signal_stops_all_that_workers_started(program, tmp_path):
    launcher = program("mnist/backward.py", *SHORT, "batch_size=60", "--steps", 10**6, "--workers", 2)
    wait_for(lambda: indexes(tmp_path))
    workers = psutil.Process(launcher.pid).children()
    launcher.send_signal(signal.SIGINT)
    out, err = finish(launcher, 128 + signal.SIGINT)
    assert "stopped by SIGINT at step" in out and "start again" not in err
    assert not any(worker.is_running() for worker in workers)


@pytest.mark.slow
def test_workers_that_would_not_train_the_same_are_refused_by_name(start):
    flags = [*SHORT, "--steps", 4]
    processes = start(2, *flags, others=[*flags, "--set", "learning_rate=0.07"])
    for process in processes:
        _, err = finish(process, 1)
        assert "error: worker 1 at 127.0.0.1:" in err
        assert "differs: recipe.learning_rate is 0.07, the chief's 0.1\n" in err
