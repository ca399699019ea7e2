"""What the apps share: pictures in, the classes that a trained network finds most probable out."""

import itertools
import sys
from pathlib import Path

from common import checkpoints, command_line, device, evaluation, pictures, runs
from common.command_line import UserError

import numpy as np
import tensorflow.compat.v1 as tf

BATCH_SIZE = 100  # pictures a run of the graph: bounds the memory
SHOWN_SIZE = (1000, 1000)  # pixels, at most, of a picture in its annotated one


def parser(description, networks, family):
    """The command line of an app. networks: their names. family: of data sets."""
    result = command_line.parser(description, list(networks), list(family))
    result.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE", help="PNG, JPEG, WebP, …")
    result.add_argument("--checkpoint", metavar="PATH", type=Path, help="FOLDER/model.ckpt-200 (the newest)")
    result.add_argument("--output-dir", metavar="DIR", type=Path, help="for annotated pictures, instead of logs/…/app")
    return result


def classify(forward, record, views, checkpoint, device_name, tta=False):
    """The probabilities of the classes for each picture, the mean over its views: float32 [n, classes].

    forward: the task's. record: of the run.json beside the checkpoint. views: uint8 [n, views, height, width,
    channels]. tta: also average over their mirror images. The weights are the moving averages.
    """
    shape = views.shape[2:]
    with tf.Graph().as_default(), tf.device(device_name):
        x = tf.placeholder(tf.float32, [None, *shape])
        probabilities = tf.nn.softmax(evaluation.logits(forward, record, x, tta))
        variables = checkpoints.averages(record)
        saver = tf.train.Saver(variables)
        with tf.Session(config=device.session_config(device_name)) as session:
            checkpoints.restore(session, saver, variables, checkpoint)
            found = [
                session.run(probabilities, {x: views[i : i + BATCH_SIZE].reshape(-1, *shape)})
                for i in range(0, len(views), BATCH_SIZE)
            ]
    return np.concatenate(found).reshape(*views.shape[:2], -1).mean(axis=1)


def run(task, args, forward, networks, network_input, tta=False):
    """Classifies the pictures that the flags name; prints and draws the answers. Returns the exit status.

    network_input(image): what the network takes of a Pillow image, uint8 [views, height, width, channels]; may raise
    UserError. A picture that cannot be used is reported, the others are still classified, and the status is 1.
    """
    device_name = device.resolve(args.device)
    checkpoint = checkpoints.named(
        args.checkpoint
        or checkpoints.folder_with_one(
            args.checkpoint_dir, task, args.network, args.dataset, wait=False, real_first=True
        )
    )
    record = runs.read(checkpoint.parent, networks)

    readable, images, inputs = [], [], []
    for path in args.pictures:
        try:
            image, views = _read(path, network_input)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
        else:
            readable.append(path)
            images.append(image)
            inputs.append(views)
    if not inputs:
        return 1

    print(f"{record['network']} trained on {record['dataset_title']}, {command_line.shown(checkpoint)}")
    probabilities = classify(forward, record, np.stack(inputs), checkpoint, device_name, tta)
    output_dir = args.output_dir or runs.folder(args.log_dir, task, record["network"], record["dataset"]) / "app"
    output_dir.mkdir(parents=True, exist_ok=True)
    from common import plots  # here, so that an error does not wait for matplotlib

    taken, names = set(), record["class_names"]
    for path, image, views, values in zip(readable, images, inputs, probabilities, strict=True):
        top = np.argsort(-values)[:3]
        annotated = next(p for p in _names(output_dir, path.stem) if p not in taken)
        taken.add(annotated)
        plots.answer(annotated, image, views, values, names, f"answer: {names[top[0]]}")
        ranking = ", ".join(f"{names[c]} {values[c]:.1%}" if values[c] >= 0.001 else f"{names[c]} <0.1%" for c in top)
        print(f"{path}  {names[top[0]]}  ({ranking})  {command_line.shown(annotated)}")
    return 0 if len(readable) == len(args.pictures) else 1


def _read(path, network_input):
    """A picture, small enough to show, and its views. Raises UserError, which names the path."""
    image = pictures.read(path)
    try:
        views = network_input(image)
    except UserError as error:
        raise UserError(f"{path} {error}") from None
    image.thumbnail(SHOWN_SIZE)
    return image, views


def _names(folder, stem):
    """stem.png, stem-2.png, stem-3.png, …"""
    yield folder / f"{stem}.png"
    for i in itertools.count(2):
        yield folder / f"{stem}-{i}.png"
