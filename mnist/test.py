"""Tests the checkpoints of mnist/backward.py as they come in, on the images that training never saw.

    python mnist/test.py           # beside the trainer, from another terminal; ends when the trainer has finished
    python mnist/test.py --once    # the newest checkpoint only
    python mnist/test.py --raw     # the weights themselves instead of their moving averages, to compare

Tests the run that was started last, or the last one of a --network or --dataset.
"""

import sys
from pathlib import Path

if not __package__:  # run as a script: the path starts at the repository, not at mnist/
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common import batches, checkpoints, command_line, datasets, device, evaluation, runs
from mnist.forward import NETWORKS, forward

import tensorflow.compat.v1 as tf


def test(run, split, paths, device_name, raw=False, skip_unreadable=False):
    """Evaluates a network on a split, with the weights of one checkpoint after the other.

    run: the record in run.json. split: datasets.Split. paths: iterable of checkpoints. raw: the weights themselves, not
    their moving averages. skip_unreadable: tell of a checkpoint that is gone or not whole, and go on, instead of
    raising checkpoints.Unreadable. Yields (global step, evaluation.Evaluation) for each.
    """
    with tf.Graph().as_default(), tf.device(device_name):
        data = batches.on_device(split, "data")

        def network(images):
            x = batches.standardize(images, run["image_mean"], run["image_std"])
            return forward(x, False, None, run["network"])

        evaluate = evaluation.evaluator(data, network)
        global_step = tf.train.get_or_create_global_step()
        ema = tf.train.ExponentialMovingAverage(run["recipe"]["moving_average_decay"])
        variables = {v.op.name: v for v in tf.global_variables()} if raw else ema.variables_to_restore()
        saver = tf.train.Saver(variables)

        with tf.Session(config=device.session_config(device_name)) as session:
            session.run(tf.local_variables_initializer(), data.feed)
            for path in paths:
                try:
                    checkpoints.restore(session, saver, variables, path)
                except checkpoints.Unreadable as error:
                    if not skip_unreadable:
                        raise
                    print(f"{error}; left out", file=sys.stderr)
                else:
                    yield session.run(global_step), evaluate(session)


def main():
    parser = command_line.parser(__doc__, list(NETWORKS), datasets.MNIST_FAMILY)
    command_line.add_data_dir(parser)
    parser.add_argument("--checkpoint", metavar="PATH", type=Path, help="only this one, as FOLDER/model.ckpt-200")
    parser.add_argument("--once", action="store_true", help="only the newest checkpoint")
    parser.add_argument(
        "--interval", metavar="S", type=command_line.positive(float), default=2.0,
        help="seconds between looks for a new checkpoint (default: %(default)s)",
    )
    parser.add_argument("--split", choices=["test", "validation"], default="test", help="default: %(default)s")
    parser.add_argument(
        "--on", metavar="NAME", choices=datasets.MNIST_FAMILY, help="test on images of another data set than trained on"
    )
    parser.add_argument("--raw", action="store_true", help="the weights themselves, not their moving averages")
    args = parser.parse_args()
    device_name = device.resolve(args.device)

    if args.checkpoint:
        paths = [checkpoints.named(args.checkpoint)]
        directory = paths[0].parent
    else:
        directory = checkpoints.folder_with_one(
            args.checkpoint_dir, "mnist", args.network, args.dataset, wait=not args.once
        )
        paths = [checkpoints.latest(directory)] if args.once else checkpoints.follow(directory, args.interval)
    run = runs.read(directory, NETWORKS)
    data = datasets.load(args.on or run["dataset"], args.data_dir)
    split = getattr(data, args.split)

    title = f"{run['network']} trained on {run['dataset_title']}"
    print(f"{title}: {len(split.labels):,} {args.split} images of {data.title}", flush=True)
    weights = "raw weights" if args.raw else "EMA"
    unusual = "" if data.name == "mnist" else f", {data.title}"
    name = "-".join([args.split, *(["raw"] if args.raw else []), *([args.on] if args.on else [])])
    log_dir = runs.folder(args.log_dir, "mnist", run["network"], run["dataset"]) / name
    log_dir.mkdir(parents=True, exist_ok=True)
    log = evaluation.Log(log_dir, split.images, args.split, data.class_names)
    following = not (args.once or args.checkpoint)
    for step, result in test(run, split, paths, device_name, args.raw, skip_unreadable=following):
        print(f"step {step}  {args.split} accuracy {result.accuracy:.4f} ({weights}{unusual})", flush=True)
        log.write(step, result)
    print(f"log  {command_line.shown(log_dir)}")


if __name__ == "__main__":
    command_line.run(main)
