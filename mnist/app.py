"""Says which digit a picture shows, with a network that mnist/backward.py trained.

    python mnist/app.py docs/digit.jpg photo.png

Asks the network that was trained last on real digits, or the last one of a --network or --dataset.
"""

import itertools
import sys
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at mnist/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import batches, checkpoints, command_line, datasets, device, pictures, runs
from common.command_line import UserError
from mnist.forward import IMAGE_SIZE, NETWORKS, NUM_CHANNELS, forward

import numpy as np
import tensorflow.compat.v1 as tf
from PIL import Image

INK_SIZE = 20  # pixels: MNIST's digits fit a square of this size
INK_LEVEL = 0.3  # a pixel is ink from this share of the darkest ink's contrast to the paper


def network_input(image, path):
    """Turns a picture into what MNIST's makers made of theirs: white on black, fit to 20×20, centred by mass in 28×28.

    image: Pillow image, RGB. Returns uint8 [28, 28, 1]. Raises UserError, which names the path, if there is no ink.
    """
    grey = np.asarray(image.convert("L"), np.float32)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    paper = np.median(border)  # the digit seldom touches the border, so most of that is paper
    ink = np.abs(grey - paper)  # dark on light or light on dark
    if ink.max() < 25:  # of 255
        raise UserError(f"{path} shows no digit: nothing stands out from its background")
    ink = ((ink / ink.max() - INK_LEVEL) / (1 - INK_LEVEL)).clip(0)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = INK_SIZE / max(ink.shape)
    size = [max(1, round(side * scale)) for side in ink.shape]
    small = Image.fromarray(ink).resize(size[::-1], Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC)
    small = np.asarray(small).clip(0)

    # Where the centre of mass falls on the middle of the canvas, as far as the digit then still fits.
    top, left = (
        int(np.clip(round((IMAGE_SIZE - 1) / 2 - centre), 0, IMAGE_SIZE - side))
        for centre, side in zip(_centre_of_mass(small), small.shape, strict=True)
    )
    canvas = np.zeros([IMAGE_SIZE, IMAGE_SIZE, NUM_CHANNELS])
    canvas[top : top + small.shape[0], left : left + small.shape[1], 0] = small / small.max() * 255
    return canvas.astype(np.uint8)


def _centre_of_mass(image):
    rows, columns = np.indices(image.shape)
    return (rows * image).sum() / image.sum(), (columns * image).sum() / image.sum()


def classify(images, run, checkpoint, device_name):
    """The probabilities of the classes, float32 [n, 10], for images as network_input makes them, uint8 [n, 28, 28, 1].

    run: the record in the run.json beside the checkpoint. The weights are the moving averages.
    """
    with tf.Graph().as_default(), tf.device(device_name):
        x = tf.placeholder(tf.float32, [None, IMAGE_SIZE, IMAGE_SIZE, NUM_CHANNELS])
        logits = forward(batches.standardize(x, run["image_mean"], run["image_std"]), False, None, run["network"])
        probabilities = tf.nn.softmax(logits)
        ema = tf.train.ExponentialMovingAverage(run["recipe"]["moving_average_decay"])
        variables = ema.variables_to_restore()
        saver = tf.train.Saver(variables)
        with tf.Session(config=device.session_config(device_name)) as session:
            checkpoints.restore(session, saver, variables, checkpoint)
            return session.run(probabilities, {x: images})


def _names(folder, stem):
    """stem.png, stem-2.png, stem-3.png, …"""
    yield folder / f"{stem}.png"
    for i in itertools.count(2):
        yield folder / f"{stem}-{i}.png"


def main():
    parser = command_line.parser(__doc__, list(NETWORKS), datasets.MNIST_FAMILY)
    parser.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE", help="PNG, JPEG, WebP, …: one digit each")
    parser.add_argument("--checkpoint", metavar="PATH", type=Path, help="not the newest one, but FOLDER/model.ckpt-200")
    parser.add_argument("--output-dir", metavar="DIR", type=Path, help="for annotated pictures, instead of logs/…/app")
    args = parser.parse_args()
    device_name = device.resolve(args.device)
    checkpoint = checkpoints.named(
        args.checkpoint
        or checkpoints.folder_with_one(
            args.checkpoint_dir, "mnist", args.network, args.dataset, wait=False, real_first=True
        )
    )
    run = runs.read(checkpoint.parent, NETWORKS)

    readable, images, inputs = [], [], []
    for path in args.pictures:  # a bad one does not keep the others from their answer
        try:
            image = pictures.read(path)
            inputs.append(network_input(image, path))
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
        else:
            readable.append(path)
            images.append(image)
    if not inputs:
        return 1

    print(f"{run['network']} trained on {run['dataset_title']}, {command_line.shown(checkpoint)}")
    probabilities = classify(np.stack(inputs), run, checkpoint, device_name)
    output_dir = args.output_dir or runs.folder(args.log_dir, "mnist", run["network"], run["dataset"]) / "app"
    output_dir.mkdir(parents=True, exist_ok=True)
    from common import plots  # here, so that an error does not wait for matplotlib

    taken = set()
    for i, path in enumerate(readable):
        names, values = run["class_names"], probabilities[i]
        top = np.argsort(-values)[:3]
        annotated = next(p for p in _names(output_dir, path.stem) if p not in taken)
        taken.add(annotated)
        plots.answer(annotated, images[i], inputs[i], values, names, f"answer: {names[top[0]]}")
        ranking = ", ".join(f"{names[c]} {values[c]:.1%}" if values[c] >= 0.001 else f"{names[c]} <0.1%" for c in top)
        print(f"{path}  {names[top[0]]}  ({ranking})  {command_line.shown(annotated)}")
    return 0 if len(readable) == len(args.pictures) else 1


if __name__ == "__main__":
    command_line.run(main)
