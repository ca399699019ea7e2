"""The repository itself: requirements that agree, run.sh's words."""

import subprocess

import pytest
from conftest import ROOT


def requirements(name):
    lines = (ROOT / name).read_text().splitlines()
    return {line for line in lines if line and not line.startswith(("#", "tensorflow"))}


def test_gpu_requirements_differ_in_tensorflow_only():
    assert requirements("requirements.txt") == requirements("requirements-gpu.txt")
    assert len(requirements("requirements.txt")) >= 8


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--help"], 0, "./run.sh tensorboard"),
        (["trian"], 1, "error: unknown command 'trian'"),
        (["train"], 1, "error: which task?"),
        (["app", "imagenet"], 1, "tasks: cifar10 mnist"),
    ],
)
def test_run_sh_explains_itself(arguments, status, message):
    done = subprocess.run([ROOT / "run.sh", *arguments], capture_output=True, text=True, cwd="/")
    assert done.returncode == status and message in done.stdout + done.stderr
