"""Checkpoints: which there are, and restoring one with a clear word where it does not fit."""

import time

from common import runs
from common.command_line import CHECKPOINT_DIR, UserError, shown

import tensorflow.compat.v1 as tf

# What reading a checkpoint raises when the trainer deletes it meanwhile, or it is not whole.
UNREADABLE = (tf.errors.OpError, ValueError)


class Unreadable(UserError):
    """The checkpoint is gone or not whole; another may be fine."""


def latest(directory):
    """The path of the newest checkpoint in a folder, or None."""
    return tf.train.latest_checkpoint(str(directory))


def step(path):
    """The global step in a checkpoint's name, model.ckpt-STEP; 0 for no checkpoint."""
    return int(str(path).rpartition("-")[2]) if path else 0


def folder_with_one(root, task, network, dataset, wait):
    """The folder of the run that runs.find() finds, once it holds a checkpoint.

    Where it does not, waits for one to come; with wait=False raises UserError with the command that makes one.
    """
    other_root = None if root == CHECKPOINT_DIR else root
    flags = {"--network": network, "--dataset": dataset, "--checkpoint-dir": other_root}
    command = " ".join([f"python {task}/backward.py", *(f"{flag} {value}" for flag, value in flags.items() if value)])
    told = False
    while not (directory := runs.find(root, task, network, dataset)) or not latest(directory):
        missing = f"no checkpoint in {shown(directory or root / task)} yet; this makes one: {command}"
        if not wait:
            raise UserError(missing)
        if not told:
            print(f"waiting: {missing}", flush=True)
            told = True
        time.sleep(1)
    return directory


def follow(directory, interval):
    """Yields the newest checkpoint of a folder, each time there is a new one; looks every `interval` seconds.

    Ends with the checkpoint of the run's last step, or the last one of a trainer that ended before it.
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
        if step(seen) >= runs.read(directory)["steps"] or (trainer_seen and not training):
            return
        if not training and not told:
            print(f"no trainer is at work in {shown(directory)}; waiting for one, until Ctrl-C", flush=True)
            told = True
        time.sleep(interval)


def restore(session, saver, variables, path):
    """Restores `variables`, a dict from names in the checkpoint to variables, by the Saver made from that dict.

    Raises what check() raises.
    """
    check(variables, path)
    try:
        saver.restore(session, str(path))
    except UNREADABLE as error:
        raise _unreadable(path, error) from None


def check(variables, path):
    """Checks that a checkpoint holds `variables`, a dict from names in it to variables.

    Raises Unreadable if it is gone or damaged, UserError that lists the variables that it lacks or holds in another
    shape.
    """
    try:
        held = tf.train.NewCheckpointReader(str(path)).get_variable_to_shape_map()
    except UNREADABLE as error:
        raise _unreadable(path, error) from None
    wanted = {name: variable.shape.as_list() for name, variable in variables.items()}
    differences = [f"{name} is not in it" for name in sorted(wanted.keys() - held.keys())]
    differences += [
        f"{name} is {held[name]} in it, {wanted[name]} in the network"
        for name in sorted(wanted.keys() & held.keys())
        if held[name] != wanted[name]
    ]
    if differences:
        raise UserError(f"the checkpoint {path} does not fit the network: {'; '.join(differences)}")


def _unreadable(path, error):
    return Unreadable(f"cannot read the checkpoint {path}: {str(error).strip().splitlines()[0]}")
