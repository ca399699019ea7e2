"""The hook that shows how training goes, and validates."""

import dataclasses
import time

from common.training import calibration, runs
from common.training.hooks import CountSteps, NotFinite

import numpy as np
import tensorflow.compat.v1 as tf
from tensorboard.plugins.hparams import summary_v2  # not api, which imports Keras
from tqdm import tqdm


class Report(CountSteps):
    """Shows progress, validates, and stops a run that diverged: a bar on a terminal, plain lines elsewhere.

    run: runs.Run. watched: the tensors "loss", "accuracy" and "learning_rate". evaluators: by the name of the images,
    "validation" first; each is a function of a session that gives an evaluation.Evaluation. They are called at every
    save_steps of the recipe, and at the last step, not where a signal stops the run before. run.json in checkpoint_dir
    gets the accuracy, and at the last step the temperature, before the checkpoint: a kill loses neither. log: an
    EventFile. Without a checkpoint_dir, as in workers that are not the chief, it shows and writes nothing.
    """

    def __init__(self, run, watched, evaluators, checkpoint_dir, log):
        self._fetches = watched
        self._run, self._evaluators = run, evaluators
        self._checkpoint_dir, self._log = checkpoint_dir, log
        self.validation = self.temperature = None  # evaluation.Evaluation, the last one; once the run has ended

    def after_create_session(self, session, coord):
        super().after_create_session(session, coord)
        if self.step == 0 and self._checkpoint_dir:
            self._log.add_summary(_compared_by(self._run), 0)
        self._correct = 0.0  # sum of the batches' accuracies since the last report
        self._reported = self.begun = self.step
        self._started = self._reported_at = time.perf_counter()
        self._bar = tqdm(
            total=self._run.steps, initial=self.step, bar_format="{n}/{total} {bar} {remaining} left{postfix}",
            dynamic_ncols=True, disable=None if self._checkpoint_dir else True,  # None: only on a terminal
        )

    def is_due(self, step):
        return self._run.is_validated(step)

    def before_run(self, run_context):
        return tf.train.SessionRunArgs(self._fetches)

    def after_loop(self, watched):
        for i in range(len(watched["loss"])):
            self.step += 1
            self._count({name: values[i] for name, values in watched.items()})

    def after_step(self, run_context, results):
        self._count(results)
        if not self._bar.disable:
            self._show_in_bar()
        if self.step == self._run.steps or self.is_due(self.step) and not run_context.stop_requested:
            self._report(run_context.session)

    def _count(self, results):
        """Adds a step's results up."""
        if not np.isfinite(results["loss"]):
            self._bar.close()
            raise NotFinite(self.step, f"the loss is {results['loss']}")
        self._results = results
        self._correct += results["accuracy"]
        self._bar.update()

    def end(self, session):
        self._bar.close()

    def _report(self, session):
        results = {name: evaluate(session) for name, evaluate in self._evaluators.items()}
        accuracies = {name: result.accuracy for name, result in results.items()}
        self.validation = results["validation"]
        if not self._checkpoint_dir:
            return
        measured = {"validation_accuracy": self.validation.accuracy}
        if self.step == self._run.steps:
            self.temperature = measured["temperature"] = calibration.temperature(*self.validation)
        runs.write(self._checkpoint_dir, dataclasses.replace(self._run, **measured))
        now = time.perf_counter()
        steps = self.step - self._reported
        batch_size = self._run.recipe.batch_size
        speed = steps * batch_size / (now - self._reported_at)  # images/s, with the pauses to save and validate
        for tag, value in {
            "accuracy/training": self._correct / steps,
            **{f"accuracy/{name}": accuracy for name, accuracy in accuracies.items()},
            "images_per_second": speed,
        }.items():
            self._log.add_summary(tf.Summary(value=[tf.Summary.Value(tag=tag, simple_value=value)]), self.step)
        self._correct, self._reported, self._reported_at = 0.0, self.step, now
        self.seconds = now - self._started
        if self._bar.disable:
            shown = "  ".join(f"{name.replace('_', ' ')} accuracy {a:.4f}" for name, a in accuracies.items())
            minutes, seconds = divmod(round((self._run.steps - self.step) * batch_size / speed), 60)
            print(
                f"step {self.step}/{self._run.steps}  loss {self._results['loss']:.4f}  "
                f"learning rate {self._results['learning_rate']:.5f}  "
                f"{shown} ({self._run.dataset_title})  {speed:,.0f} images/s  "
                f"{minutes}:{seconds:02} left",
                flush=True,
            )

    def _show_in_bar(self):
        rate = (self._bar.format_dict["rate"] or 0) * self._run.recipe.batch_size
        loss, learning_rate = self._results["loss"], self._results["learning_rate"]
        shown = [f" {rate:,.0f} images/s", f"loss {loss:.3f}", f"lr {learning_rate:.4f}"]
        if self.validation is not None:
            shown.append(f"val {self.validation.accuracy:.4f}")
        self._bar.set_postfix_str("  ".join(shown), refresh=False)


def _compared_by(run):
    """What TensorBoard's tab HParams compares a run with others by, as the bytes of a summary.

    Without the seed: there runs of several seeds are one line, which has their mean.
    """
    values = {name: getattr(run, name) for name in ("network", "dataset_title", "precision", "steps")}
    values |= {"start_from": run.start_from or "none", **dataclasses.asdict(run.recipe)}
    return summary_v2.hparams_pb(values).SerializeToString()
