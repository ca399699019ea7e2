"""Restoring a checkpoint, or exported weights, with a clear word where it does not fit."""

from pathlib import Path

from common.errors import UserError

import numpy as np
import tensorflow.compat.v1 as tf

WEIGHTS = ".npz"  # the ending of exported weights
FEW = 3  # variables that are told of each kind that does not fit


class Unreadable(UserError):
    """The checkpoint is gone or not whole; another may be fine."""


def averages(run, raw=False):
    """The moving averages of the graph's variables, as checkpoints name them: a dict from name to variable.

    Variables that have none, as they are not trained, stand under their own name. run: runs.Run. raw: the weights
    themselves, all under their own name.
    """
    if raw:
        return {v.op.name: v for v in tf.global_variables()}
    ema = tf.train.ExponentialMovingAverage(run.recipe.moving_average_decay)
    return ema.variables_to_restore()


def restore(session, saver, variables, path):
    """Restores `variables`, a dict from names in the checkpoint to variables, by the Saver made from that dict.

    Or from a checkpoint in float16, which a Saver refuses; or from exported weights, which have the variables' own
    names. Raises what check() raises.
    """
    check(variables, path)
    exported = Path(path).suffix == WEIGHTS
    try:
        if not exported and not _is_float16(path):
            saver.restore(session, str(path))
            return
    except (tf.errors.OpError, ValueError, IndexError, OSError) as error:  # the trainer deleted it meanwhile
        raise _unreadable(path, error) from None
    held = read(path)
    for name, variable in variables.items():
        variable.load(held[variable.op.name if exported else name], session)


def read(path):
    """What a checkpoint, or weights that export.py wrote as .npz, holds: arrays by name.

    Raises Unreadable if it is gone or damaged.
    """
    try:
        if Path(path).suffix == WEIGHTS:
            with np.load(path, allow_pickle=False) as arrays:
                held = dict(arrays)
            if wrong := [name for name, array in held.items() if np.asarray(array).dtype.kind not in "fiu"]:
                raise ValueError(f"{wrong[0]!r} holds no numbers")
            return held
        reader = tf.train.NewCheckpointReader(str(path))
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    except Exception as error:  # NumPy, zipfile and TensorFlow have many kinds
        raise _unreadable(path, error) from None


def check(variables, path):
    """Checks that a checkpoint is whole and holds `variables`, a dict from names in it to variables.

    Raises Unreadable if it is gone or damaged, UserError that names some variables that it lacks or holds in another
    shape.
    """
    wanted = {name: variable.shape.as_list() for name, variable in variables.items()}
    if Path(path).suffix == WEIGHTS:
        wanted = {variable.op.name: variable.shape.as_list() for variable in variables.values()}
        held = {name: list(array.shape) for name, array in read(path).items()}
    else:
        try:
            reader = tf.train.NewCheckpointReader(str(path))
            held = reader.get_variable_to_shape_map()
            for name in wanted.keys() & held.keys() if wanted else held:
                if held[name] == wanted.get(name, held[name]):  # others may be larger than the memory
                    reader.get_tensor(name)  # fails where the file is cut short
        except Exception as error:  # as in read()
            raise _unreadable(path, error) from None
    missing = sorted(wanted.keys() - held.keys())
    if any(f"{name}/ExponentialMovingAverage" in held for name in missing):
        which = "named as moving averages; ask it without --raw, and train in another folder"
        raise UserError(f"the checkpoint {path} holds one set of weights, {which}")
    differences = _few([f"{name} is not in it" for name in missing])
    differences += _few([
        f"{name} is {held[name]} in it, {wanted[name]} in the network"
        for name in sorted(wanted.keys() & held.keys())
        if held[name] != wanted[name]
    ])
    if differences:
        raise UserError(f"the checkpoint {path} does not fit the network: {'; '.join(differences)}")


def _few(lines):
    return [*lines[:FEW], *([f"and {len(lines) - FEW} more like that"] if len(lines) > FEW else [])]


def _is_float16(path):
    return tf.float16 in tf.train.NewCheckpointReader(str(path)).get_variable_to_dtype_map().values()


def _unreadable(path, error):
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if "[" in str(path) and Path(path).suffix != WEIGHTS:
        reason = "TensorFlow finds none below a folder with [ in its name; rename the folder"
    return Unreadable(f"cannot read the checkpoint {path}: {reason}")
