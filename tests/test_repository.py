"""The repository itself: storeys, requirements that agree, run.sh's words."""

import ast
import subprocess
import sys

import pytest
from conftest import ROOT, environment

STOREYS = {"app": 3, "training": 2, "data": 1, "graph": 1}  # of common/; what is in none of them is the ground, 0


def imports(source):
    """The modules that a source file imports anywhere in it: {"common.graph.layers", …}."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names}
    return names


def forbidden(room, source):
    """What a module in a room of common/ imports but may not."""
    wrong = []
    for name in imports(source):
        top, _, rest = name.partition(".")
        other = rest.partition(".")[0]
        below = STOREYS.get(other, 0) < STOREYS.get(room, 0) or other == room or other not in STOREYS
        if top in ("", "mnist", "cifar10", "benchmarks", "tests") or (top == "common" and not below):
            wrong.append(name)
    return wrong


def test_no_pickle_is_read():
    """It runs what its maker wants. But app/check.py reads the weights.npy that export.py has just written."""
    own = ROOT / "common" / "app" / "check.py"
    for path in {path for room in ("common", "mnist", "cifar10") for path in (ROOT / room).rglob("*.py")} - {own}:
        source = path.read_text()
        named = {name.split(".")[0] for name in imports(source)}
        assert not named & {"pickle", "dill", "joblib", "marshal", "shelve", "torch"}, path
        for call in ast.walk(ast.parse(source)):
            if isinstance(call, ast.Call) and getattr(call.func, "attr", "") in ("load", "open_memmap"):
                allowed = [each.value.value for each in call.keywords if each.arg == "allow_pickle"]
                assert allowed in ([], [False]), path


def test_no_module_imports_from_a_storey_above():
    modules = list((ROOT / "common").rglob("*.py"))
    assert {path.parent.name for path in modules} == {"common", *STOREYS}
    wrong = {str(path): forbidden(path.parent.name, path.read_text()) for path in modules}
    assert not {name: names for name, names in wrong.items() if names}


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("graph", "from common.training import recipe"),
        ("graph", "def f():\n    from common.data import datasets"),
        ("data", "import common.graph.layers"),
        ("data", "from common.graph.augmentation import mirror"),
        ("training", "from common import app"),
        ("training", "if True:\n    from common.app.page import serve"),
        ("common", "from common.graph import device"),
        ("app", "from mnist import forward"),
        ("app", "from . import page"),
    ],
)
def test_an_import_from_above_would_be_found(room, source):
    assert forbidden(room, source)
    assert not forbidden(room, "import numpy as np\nfrom common.errors import UserError")


def test_the_first_program_of_the_documents_prints_what_they_say():
    parts = (ROOT / "docs/read.md").read_text().split("```")
    program, output = parts[1].removeprefix("python\n"), parts[3]
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment())
    assert done.stdout == output.lstrip("\n") and done.stderr == ""


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
        (["export"], 1, "error: which task?"),
        (["pack", "mnist"], 1, "error: pack what? ./run.sh pack TASK SOURCE"),
        (["eval", "mnist"], 1, "error: 'eval' is called 'test' now: ./run.sh test TASK"),
        (["test", "-x"], 1, "the tests of this repository are ./run.sh check now"),
    ],
)
def test_run_sh_explains_itself(arguments, status, message):
    done = subprocess.run([ROOT / "run.sh", *arguments], capture_output=True, text=True, cwd="/")
    assert done.returncode == status and message in done.stdout + done.stderr
