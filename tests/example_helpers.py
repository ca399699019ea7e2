"""What an example printed and drew, and a convolution in NumPy to compare with."""

import re

import numpy as np
from conftest import ROOT
from PIL import Image

EXAMPLES = ROOT / "examples"
NORMAL = np.array([-0.8113182, 1.4845988, 0.06532937, -2.4427042, 0.0992484, 0.5912243])  # seed 1, as the notes have it
NUMBER = r"-?\d[\d,]*(?:\.\d*)?"


def numbers(text):
    """Those in a text that no letter precedes: 5.0 of "w1 5.0"."""
    return [float(each.replace(",", "")) for each in re.findall(rf"(?<![\w.-]){NUMBER}", text)]


def lines(output, start):
    return [line for line in output.splitlines() if line.startswith(start)]


def assert_documented(name, output):
    """docs/examples.md says what an example prints, but for the digits; else ./run.sh examples is to write it again."""

    def words(text):
        return re.sub(r"\s+", "", re.sub(NUMBER, "#", re.sub("picture: .*", "", text)))

    page = (ROOT / "docs/examples.md").read_text(encoding="utf-8")
    assert words(page.partition(f"\n## {name}.py\n")[2].split("```")[1]) == words(output)


def assert_drawn(tmp_path, name):
    with Image.open(tmp_path / "logs/examples" / f"{name}.png") as picture:
        assert min(picture.size) > 200 and len(set(picture.convert("L").resize([99, 99]).tobytes())) > 20


def convolution(x, w):
    """Stride 1, padding "SAME"."""
    margin = len(w) // 2
    x = np.pad(x, [(0, 0), (margin, margin), (margin, margin), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[:2], axis=(1, 2))
    return np.tensordot(windows, w.transpose(2, 0, 1, 3), axes=3)
