"""A network that was trained here, in a session."""

from common.app import exported
from common.command_line import shown
from common.errors import UserError
from common.graph import device
from common.training import checkpoints, evaluation, restoring, runs

import tensorflow.compat.v1 as tf


class Network:
    """A trained network in an open session, for any number of threads."""

    def __init__(self, forward, run, checkpoint, device_name, raw=False):
        """forward: the task's. run: runs.Run, from beside the checkpoint.

        The weights are the moving averages, unless raw. The probabilities are those at the run's temperature. Raises
        UserError if the checkpoint does not fit the network.
        """
        self.about = about(run, checkpoint)
        with tf.Graph().as_default(), tf.device(device_name):
            self._x = tf.placeholder(tf.float32, [None, *run.image_shape])
            self._class = tf.placeholder(tf.int32, [None])
            logits, self._probabilities = evaluation.calibrated(forward, run, self._x)
            [self._gradient] = tf.gradients(tf.gather(logits, self._class, batch_dims=1), self._x)
            variables = restoring.averages(run, raw)
            saver = tf.train.Saver(variables)
            self._session = tf.Session(config=device.session_config([device_name]))
            restoring.restore(self._session, saver, variables, checkpoint)

    def probabilities(self, images):
        """images: uint8 [n, height, width, channels]. Returns float32 [n, classes]."""
        return self._session.run(self._probabilities, {self._x: images})

    def gradient(self, images, classes):
        """Of the classes' logits, by the pixels: float32 [n, height, width, channels]. classes: int [n]."""
        return self._session.run(self._gradient, {self._x: images, self._class: classes})


def about(run, checkpoint):
    """The exported.About of a run, at a checkpoint of its."""
    accuracy = run.validation_accuracy if checkpoint.suffix == ".npz" or is_measured(run, checkpoint) else None
    return exported.About(
        network=run.network,
        dataset=run.dataset,
        title=run.title,
        class_names=run.class_names,
        image_shape=tuple(run.image_shape),
        reading=run.reading,
        mirrors=run.mirrors,
        accuracy=f"validation accuracy {'not known' if accuracy is None else f'{accuracy:.4f}'}",
    )


def is_measured(run, checkpoint):
    """Whether the validation accuracy in run.json is of a checkpoint: of the newest, unless a signal made that."""
    path = str(checkpoint)
    return path == checkpoints.latest(checkpoint.parent) and run.is_validated(checkpoints.step(path))


def find(task, args, forward, networks):
    """(Network, where it comes from in words, the folder of its logs), as an app's flags ask for.

    Raises UserError where there is none.
    """
    device_name = device.resolve(args.device)
    if args.network and args.network not in networks:
        raise UserError(f"argument --network: invalid choice: {args.network!r} (choose from {', '.join(networks)})")
    directory, count = args.checkpoint, 0
    if not directory:
        directory, count = checkpoints.best(args.checkpoint_dir, task, args.network, args.dataset)
    checkpoint = checkpoints.named(directory)
    run = runs.read(checkpoint.parent, networks)
    another = f"--dataset {task} asks the task's own" if run.dataset_folder else "--checkpoint asks another one"
    where = f"{shown(checkpoint)}{f' (best of {count}; {another})' if count else ''}"
    logs = runs.log_folder(args.log_dir, args.checkpoint_dir, task, checkpoint.parent)
    return Network(forward, run, checkpoint, device_name), where, logs
