"""Checkpoints: which there are, and which is meant."""

import contextlib
import re
import sys
import time
from pathlib import Path

from common.command_line import CHECKPOINT_DIR, shown
from common.data import datasets
from common.errors import UserError
from common.training import restoring, runs

import tensorflow.compat.v1 as tf


class NoneYet(UserError):
    """No run that is asked for has a checkpoint."""


def newest_first(directory):
    """The paths of the checkpoints in a folder, by their files: the state file "checkpoint" may be lost or behind."""
    return sorted((str(index.with_suffix("")) for index in runs.indexes(directory)), key=step, reverse=True)


def latest(directory):
    """The path of the newest checkpoint in a folder, or None."""
    return next(iter(newest_first(directory)), None)


def newest_whole(directory):
    """The path of the newest checkpoint in a folder that can be read, or None."""
    for path in newest_first(directory):
        with contextlib.suppress(restoring.Unreadable):
            restoring.check({}, path)
            return path
    return None


def named(path):
    """The checkpoint that a user means: FOLDER/model.ckpt-STEP, one of its files, or the newest of a folder.

    Or exported weights, a .npz file, which have a run.json beside them, too.
    """
    if Path(path).suffix == restoring.WEIGHTS and Path(path).is_file():
        return Path(path)
    checkpoint = re.sub(r"\.(index|data-\d+-of-\d+)$", "", str(latest(path) if Path(path).is_dir() else path))
    if not Path(f"{checkpoint}.index").exists():
        wanted = "give a folder that holds some, FOLDER/model.ckpt-STEP, or weights.npz of an export"
        raise UserError(f"no checkpoint {path}; {wanted}")
    return Path(checkpoint)


def go_on_from(directory):
    """Points TensorFlow's state file at the newest checkpoint that is whole, tells of those that are not.

    Removes what saves that did not end have left.
    Raises UserError if there are checkpoints, and none is whole or the first whole one does not fit the graph.
    """
    for part in (*directory.glob("model.ckpt-*.tempstate*"), *directory.glob("checkpoint.tmp*")):
        part.unlink()
    variables = {v.op.name: v for v in tf.global_variables()}
    paths = newest_first(directory)
    for i, path in enumerate(paths):
        try:
            restoring.check(variables, path)
        except restoring.Unreadable as error:
            print(f"{error}; left out", file=sys.stderr)
        else:
            tf.train.update_checkpoint_state(str(directory), path, paths[i:][::-1])  # the oldest first
            return
    if paths:
        raise UserError(f"no checkpoint in {directory} can be read; delete the folder to start again")
    (directory / "checkpoint").unlink(missing_ok=True)


def step(path):
    """The global step in a checkpoint's name, model.ckpt-STEP; 0 for no checkpoint."""
    return int(str(path).rpartition("-")[2]) if path else 0


def best(root, task, network, dataset):
    """The folder of the most accurate run on the validation images that has a checkpoint, and how many there are.

    network: or any, if None. dataset: or if None, the user's own pictures that were trained on last; without such, the
    task's own. Of equal ones it is the newest; the network that comes with the repository, if that is in root, is the
    last. Raises UserError with the command that makes one.
    """
    _check_dataset(root, task, dataset)
    every = [(d, run) for d, run in runs.find(root, task, network) if latest(d)]
    meant = (run.dataset for _, run in every if (run.is_on(dataset) if dataset else run.dataset_folder))
    last = next(meant, dataset or task)  # pictures that changed since are another data set of the same title
    found = [(d, run) for d, run in every if run.dataset == last]
    if not found:
        others = sorted({run.dataset for _, run in every})
        raise _none_yet(
            root, task, network, dataset, f"; there is one of --dataset {', '.join(others)}" if others else ""
        )
    accuracy = [(run.validation_accuracy or 0, d.name != runs.PRETRAINED) for d, run in found]
    return found[accuracy.index(max(accuracy))][0], len(found)


def newest(root, task, network, dataset, wait):
    """The folder of the run that was started or evaluated last, of those here that have a checkpoint or are trained.

    network, dataset: or any, if None. wait: for its first checkpoint to come; where its trainer dies before, for that
    or another trainer. Else runs without one do not count; raises UserError with the command that makes one.
    """
    _check_dataset(root, task, dataset)
    told, folder = "", None
    while True:
        found = [d for d, _ in runs.find(root, task, network, dataset)]
        pretrained = next((d for d in found if d.name == runs.PRETRAINED), None)
        training = [d for d in found if wait and runs.is_training(d)]
        if folder not in training:  # at first, and where the trainer of the awaited one has died
            own = [d for d in found if d != pretrained]
            folder = next((d for d in own if d in training or not folder and latest(d)), folder)
        if folder and latest(folder):
            return folder
        if not wait:
            bundled = f"; or test what comes with the kit: --checkpoint {shown(pretrained)}" if pretrained else ""
            raise _none_yet(root, task, network, dataset, bundled)
        tell = f"waiting for the first checkpoint in {shown(folder or _usual(root, task, network, dataset))}"
        if not folder:
            tell += f", by {_command(root, task, network, dataset)}"
        elif not training:
            tell = _no_trainer(folder)
        if tell != told:
            print(tell, flush=True)
            told = tell
        time.sleep(1)


def _check_dataset(root, task, dataset):
    if dataset and not runs.find(root, task, None, dataset):
        datasets.check_name(datasets.FAMILIES[task], dataset)


def _none_yet(root, task, network, dataset, others=""):
    """What to raise where there is none. Raises a UserError itself where there are some, and their run.json is lost."""
    for folder in sorted((root / task).glob("*")):
        if runs.indexes(folder) and not (folder / "run.json").exists():
            runs.read(folder)
    place = shown(_usual(root, task, network, dataset))
    return NoneYet(f"no checkpoint in {place} yet; this makes one: {_command(root, task, network, dataset)}{others}")


def _usual(root, task, network, dataset):
    known = network and Path(dataset or task).name == (dataset or task)  # not so for a path of one's own pictures
    return runs.folder(root, task, network, dataset or task) if known else root / task


def _command(root, task, network, dataset):
    flags = {"--network": network, "--dataset": dataset, "--checkpoint-dir": None if root == CHECKPOINT_DIR else root}
    return " ".join([f"python {task}/backward.py", *(f"{flag} {value}" for flag, value in flags.items() if value)])


def follow(directory, interval):
    """Yields the newest checkpoint of a folder, each time there is a new one; looks every `interval` seconds.

    Ends with the checkpoint of the run's last step. Where a trainer ended before it, ends with its last one, and tells.
    """
    seen, trainer_seen, told = None, False, False
    while True:
        training = runs.is_training(directory)  # before the look: the last save of a trainer that ended is seen then
        trainer_seen = trainer_seen or training
        newest = latest(directory)
        if newest and newest != seen:
            seen = newest
            yield newest
            continue
        steps = runs.read(directory).steps
        if step(seen) >= steps:
            return
        if trainer_seen and not training:
            print(f"the trainer ended before step {steps}; start the tester again beside the next one", flush=True)
            return
        if not training and not told:
            print(_no_trainer(directory), flush=True)
            told = True
        time.sleep(interval)


def _no_trainer(directory):
    return f"no trainer is at work in {shown(directory)}; waiting for one, until Ctrl-C"
