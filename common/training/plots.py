"""Pictures for people: training curves, confusion matrix, wrong images."""

import io
import logging
import warnings

from common import fonts

import matplotlib
import numpy as np

matplotlib.use("agg")  # draws to files; needs no screen
from matplotlib import pyplot as plt  # noqa: E402

NUMBERED, LARGEST = 40, 18  # classes of a confusion picture, up to which all is written; inches
LONGEST_NAME = 20  # characters
BLUE, ORANGE, GREY = "#1f77b4", "#e07020", "#9aa0a6"
plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "font.size": 10, "axes.titlesize": 11})


def curves(log_dir, title):
    """Draws loss, accuracies and learning rate from TensorBoard's files in log_dir. Returns log_dir/curves.png.

    Read from the log, not from memory, so that a resumed run is drawn whole.
    """
    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it tells of each restart in the log
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(log_dir), size_guidance={"scalars": 0, "images": 1, "histograms": 1}).Reload()
    scalars = {
        tag: ([e.step for e in log.Scalars(tag)], [e.value for e in log.Scalars(tag)]) for tag in log.Tags()["scalars"]
    }
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    panels = {
        "Loss": {"loss/total": BLUE, "loss/data": ORANGE},
        "Accuracy": {"accuracy/training": GREY, "accuracy/validation": BLUE},
        "Learning rate": {"learning_rate": BLUE},
    }
    for axis, (name, tags) in zip(axes, panels.items(), strict=True):
        for tag, color in tags.items():
            if tag in scalars:
                axis.plot(*scalars[tag], color=color, label=tag.split("/")[-1].replace("_", " "), linewidth=1.5)
        axis.set(title=name, xlabel="step")
        axis.grid(alpha=0.25)
        if len(tags) > 1 and axis.lines:
            axis.legend(frameon=False)
    axes[0].set_yscale("log")
    figure.suptitle(title, family=fonts.family(title), parse_math=False)
    return _save(figure, log_dir / "curves.png")


def confusion(counts, class_names):
    """PNG bytes: rows are the true classes, columns the answers; the colour shows the mistakes only."""
    classes = len(counts)
    side = min(max(4.6, 0.44 * classes), LARGEST)
    figure, axis = plt.subplots(figsize=(side + 0.2, side), layout="constrained")
    mistakes = counts.copy()
    mistakes[range(len(counts)), range(len(counts))] = 0
    axis.imshow(mistakes, cmap="Oranges", vmax=max(mistakes.max(), 1) * 1.4)
    if classes <= NUMBERED:
        for row, column in zip(*np.nonzero(counts), strict=True):
            color = "grey" if row == column else "black"
            axis.text(column, row, counts[row, column], ha="center", va="center", color=color)
    ticks = range(0, classes, -(-classes // NUMBERED))
    names = [fonts.short(class_names[tick], LONGEST_NAME) for tick in ticks]
    turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if max(map(len, names)) > 3 else {}
    as_text = {"family": fonts.family("".join(names)), "parse_math": False}
    axis.set_xticks(ticks, names, **as_text, **turned)
    axis.set_yticks(ticks, names, **as_text)
    axis.set(xlabel="answer", ylabel="label", title=f"{mistakes.sum()} wrong of {counts.sum():,}")
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    return _png(figure)


def gallery(images, labels, answers, probabilities, class_names, columns=6):
    """PNG bytes: a grid of images (uint8 [n, height, width, channels]), each with label, answer and probability."""
    rows = max(1, -(-len(images) // columns))
    figure, axes = plt.subplots(rows, columns, figsize=(1.7 * columns, 2.0 * rows), layout="constrained", squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, label, answer, probability in zip(axes.flat, images, labels, answers, probabilities, strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255)
        said, right = (fonts.short(class_names[c], LONGEST_NAME) for c in (answer, label))
        title = f"{said} ({probability:.0%})\nlabel: {right}"
        axis.set_title(title, fontsize=9, family=fonts.family(title), parse_math=False)
    return _png(figure)


def _save(figure, path):
    with warnings.catch_warnings():  # of letters that no font here has: a box stands for them
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _png(figure):
    buffer = io.BytesIO()
    _save(figure, buffer)
    return buffer.getvalue()
