"""Where the weights of a new run start: at those of a checkpoint, as far as they fit."""

from common.command_line import ROOT
from common.errors import UserError
from common.training import checkpoints, restoring

import tensorflow.compat.v1 as tf


def weights(run, ema, checkpoint_dir):
    """What gives a new run the weights that it starts from: an init_fn for tf.train.Scaffold, or None.

    Of the checkpoint run.start_from it takes the averages of all that fits by name and shape; tells what starts anew.
    run: runs.Run. ema: the moving averages of the graph. checkpoint_dir: a run that has one there is not new. Raises
    UserError if nothing fits, or the checkpoint is damaged.
    """
    if not run.start_from or checkpoints.latest(checkpoint_dir):
        return None
    path = (ROOT / run.start_from).resolve()
    held = restoring.read(path)
    variables = list(dict.fromkeys(tf.trainable_variables() + tf.moving_average_variables() + tf.model_variables()))
    taken = {}  # name in the checkpoint: variable
    for variable in variables:
        for name in ema.average_name(variable), variable.op.name:
            if name in held and list(held[name].shape) == variable.shape.as_list():
                taken.setdefault(name, variable)
                break
    anew = [v.op.name for v in variables if not any(v is other for other in taken.values())]
    if not taken:
        raise UserError(f"nothing in {run.start_from} fits {run.network}; give --start-from none, or another --network")

    def start(scaffold, session):
        for name, variable in taken.items():
            for each in variable, ema.average(variable):
                if each is not None:  # what is not trained has no average
                    each.load(held[name], session)
        which = f"; anew: {', '.join(anew)}" if anew else ""
        print(f"starts from {run.start_from}: {len(taken)} of {len(variables)} variables{which}", flush=True)

    return start
