"""Measures what TensorBoard's precision and recall, projector and profile cost, on MNIST's default network.

    python benchmarks/speed/tensorboard.py

Every second step is recorded as --profile does it, so the recorded steps and the others see the same machine. The
tester's part is measured with the network that comes with the repository.
"""

import argparse
import dataclasses
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from common import command_line
from common.data import datasets
from common.training import hooks, profile, projector, runs, testing, trainer
from mnist import backward
from mnist.forward import NETWORKS, forward

from tensorboard.plugins.pr_curve import summary as pr_curve

CPU = "/device:CPU:0"
ROUNDS = 7
STEPS, FIRST = 120, 20  # the first ones compile and allocate


class EverySecond(profile.Profile):
    """Records the odd steps, and writes the last one of them. seconds: of the others, of the recorded, of writing."""

    seconds = [], [], []

    def before_run(self, run_context):
        self._at = self.step + 1 if self.step % 2 == 0 else 0
        self._begun = time.perf_counter()
        return super().before_run(run_context)

    def after_run(self, run_context, run_values):
        if self.step >= FIRST:
            self.seconds[1 - self.step % 2].append(time.perf_counter() - self._begun)
        if self.step == STEPS - 2:
            begun = time.perf_counter()
            super().after_run(run_context, run_values)
            self.seconds[2].append(time.perf_counter() - begun)
        else:
            hooks.CountSteps.after_run(self, run_context, run_values)


def main():
    parser = command_line.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command_line.add_data_dir(parser)
    data = datasets.load(datasets.MNIST, "mnist", parser.parse_args().data_dir)
    recipe = dataclasses.replace(NETWORKS["convnet"].RECIPE, save_steps=STEPS)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "logs").mkdir()
        backward.Profile = EverySecond
        run = trainer.describe("convnet", recipe, data, backward.IMAGE_MEAN, backward.IMAGE_STD, STEPS)
        backward.backward(run, data, folder, folder / "logs", [CPU], profile=1)
        plain, recorded = (statistics.median(times) for times in EverySecond.seconds[:2])
        print(f"a step {1000 * plain:.1f} ms, a recorded one {1000 * recorded:.1f} ms: {recorded / plain:.3f} times")
        print(f"writing the profile {EverySecond.seconds[2][0]:.2f} s")

        pretrained = ROOT / "checkpoints" / "mnist" / runs.PRETRAINED
        run, path = runs.read(pretrained, NETWORKS), next(pretrained.glob("*.index")).with_suffix("")
        [(_, result)] = testing.test(forward, run, data.test, [path], CPU)
        seconds = []
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            curves = [pr_curve.pb(str(i), result.labels == i, result.probabilities[:, i]) for i in range(10)]
            seconds.append(time.perf_counter() - begun)
        size = sum(curve.ByteSize() for curve in curves)
        print(f"ten curves {1000 * statistics.median(seconds):.1f} ms, {size:,} bytes a test")
        begun, images = time.perf_counter(), data.test.images[: projector.COUNT]
        points = projector.activations(forward, run, images, path, CPU)
        projector.write(folder / "projector", "points", images, points, result, data.class_names)
        print(f"the projector {time.perf_counter() - begun:.2f} s")


if __name__ == "__main__":
    command_line.run(main)
