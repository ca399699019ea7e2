"""The tables and the curves of docs/results.md, from what reproduce.py measured."""

from benchmarks import runner
from common.data import datasets

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt

TABLE = """\
| name | parameters | multiply-adds | the notes | validation: EMA | raw | test: EMA | raw | steps | seconds | images/s |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def measured(task, rows, results):
    """[(row, what was measured of it)] of a task."""
    return [(row, results[row.name]) for row in rows if row.task == task and row.name in results]


def table(task, rows, results):
    data = {result["data"] for _, result in measured(task, rows, results)}
    lines = [f"\n## {', '.join(sorted(data))}\n\n", TABLE]
    for row, result in measured(task, rows, results):
        percent = {split: f"{accuracy:.2%}".replace("%", " %") for split, accuracy in result["accuracies"].items()}
        shown = f"`{row.network}`, {row.recipe}" if row.recipe else f"`{row.network}`"
        cut = "" if result["step"] >= result["steps"] else f" of {result['steps']:,}"
        lines.append(
            f"| {shown} | {result['parameters']:,} | {result['multiply_adds'] / 1e6:,.2f} M | {row.headline or '–'} | "
            f"{percent['validation']} | {percent['validation_raw']} | {percent['test']} | {percent['test_raw']} | "
            f"{result['step']:,}{cut} | {result['seconds']:,.0f} | {result['images_per_second']:,.0f} |\n"
        )
    return "".join(lines)


def draw(rows, results, path):
    """The validation accuracy of every run over its seconds, one panel a task."""
    figure, axes = plt.subplots(1, 2, figsize=(13, 5), layout="constrained")
    for axis, (task, title) in zip(axes, (("mnist", "MNIST"), ("cifar10", "CIFAR-10")), strict=True):
        for row, result in measured(task, rows, results):
            label = row.name if result["step"] >= result["steps"] else f"{row.name} (cut)"
            axis.plot(*zip(*result["curve"], strict=True), label=label, marker=".")
        axis.set(title=title, xlabel="seconds of training", ylabel="validation accuracy (EMA)", xscale="log")
        axis.xaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_major_formatter("{x:.0%}")
        axis.grid(alpha=0.25)
        if axis.lines:
            axis.legend(frameon=False, fontsize=8)
    axes[0].set_ylim(0.88, 1.0)
    figure.savefig(path, dpi=110)


def write(rows, results):
    """Fills in docs/results.md, between two marks, and draws docs/results.png.

    rows: reproduce.Row each. results: by the row's name, what reproduce.measure() gave.
    """
    page = runner.ROOT / "docs" / "results.md"
    before, _, after = page.read_text().partition("<!-- tables -->")
    _, _, after = after.partition("<!-- end of tables -->")
    tables = "".join(table(task, rows, results) for task in datasets.FAMILIES)
    origins = sorted({f"{r['machine']}; commit {r['commit']}, {r['date']}" for r in results.values()})
    tables = f"<!-- tables -->\n{tables}\n{'; '.join(origins)}\n<!-- end of tables -->"
    page.write_text(before + tables + after)
    draw(rows, results, runner.ROOT / "docs" / "results.png")
