"""What the testers share: the network with its averaged weights, and following the checkpoints of a run."""

import contextlib
import sys
from pathlib import Path

from common import command_line
from common.data import datasets
from common.errors import UserError
from common.graph import batches, device
from common.training import calibration, checkpoints, evaluation, projector, restoring, runs

import numpy as np
import tensorflow.compat.v1 as tf

MOST_CLASSES = 20  # whose accuracy is printed
NONE = 2.0  # stands for the accuracy of a class without images, and sorts last


def parser(description, networks, family):
    """The command line of a tester. networks: their names. family: of data sets."""
    result = command_line.parser(description, list(networks), list(family))
    command_line.add_data_dir(result)
    result.add_argument("--checkpoint", metavar="PATH", type=Path, help="only this: FOLDER/model.ckpt-200 or FOLDER")
    result.add_argument("--once", action="store_true", help="only the newest checkpoint")
    result.add_argument(
        "--interval", metavar="S", type=command_line.positive(float), default=2.0,
        help="seconds between looks for a new checkpoint (default: %(default)s)",
    )
    result.add_argument("--split", choices=["test", "validation"], default="test", help="default: %(default)s")
    result.add_argument(
        "--on", metavar="NAME", help=f"test on images of another data set than trained on: {', '.join(family)}"
    )
    result.add_argument("--raw", action="store_true", help="the weights themselves, not their moving averages")
    result.add_argument(
        "--tta", action="store_true",
        help="test-time augmentation: the mean over an image, moved by a pixel, and mirrored if that shows the same",
    )
    result.add_argument(
        "--projector", action="store_true",
        help=f"at the end show {projector.COUNT:,} images as points in TensorBoard's projector",
    )
    return result


def test(forward, run, split, paths, device_name, *, raw=False, tta=False, skip_unreadable=False):
    """Evaluates a network on a split, with the weights of one checkpoint after the other.

    forward: the task's. run: runs.Run. split: datasets.Split. paths: iterable of checkpoints.
    raw: the weights themselves, not their moving averages. tta: test-time augmentation, the mean of the logits of the
    views that evaluation.augmented() gives. skip_unreadable: tell of a checkpoint that is gone or not whole, and go on,
    instead of raising restoring.Unreadable.
    Yields (global step, evaluation.Evaluation) for each.
    """
    with tf.Graph().as_default(), tf.device(device_name):
        data = batches.source(split, "data")

        def network(images):
            return evaluation.logits(forward, run, *(evaluation.augmented(run, images) if tta else [images]))

        evaluate = evaluation.evaluator(data, network, views=evaluation.MOST_VIEWS if tta else 1)
        global_step = tf.train.get_or_create_global_step()
        variables = restoring.averages(run, raw)
        saver = tf.train.Saver(variables)

        with tf.Session(config=device.session_config([device_name])) as session:
            session.run(tf.local_variables_initializer(), data.feed)
            for path in paths:
                try:
                    restoring.restore(session, saver, variables, path)
                except restoring.Unreadable as error:
                    if not skip_unreadable:
                        raise
                    print(f"{error}; left out", file=sys.stderr)
                else:
                    yield session.run(global_step), evaluate(session)


def test_checkpoints(task, args, forward, networks, family):
    """Tests what the flags ask for; prints each accuracy as it comes in, at the end that of each class, and logs them.

    task: its name. forward, networks: from its forward.py. family: of data sets.
    """
    device_name = device.resolve(args.device)
    if args.checkpoint:
        paths = [checkpoints.named(args.checkpoint)]
        directory = paths[0].parent
    else:
        directory = checkpoints.newest(args.checkpoint_dir, task, args.network, args.dataset, wait=not args.once)
        paths = [checkpoints.named(directory)] if args.once else checkpoints.follow(directory, args.interval)
    run = runs.read(directory, networks)
    data = datasets.load(family, args.on or run.dataset, args.data_dir, "" if args.on else run.dataset_folder)
    if data.class_names != run.class_names:
        where = f"--on {args.on}" if args.on else directory / "run.json"
        raise UserError(f"{where}: {data.title} has other classes than {run.dataset_title} had in training")
    if data.test.images.shape[1:] != tuple(run.image_shape):
        sizes = ["×".join(map(str, shape)) for shape in (data.test.images.shape[1:], run.image_shape)]
        raise UserError(f"{data.title} has images of {sizes[0]}, and the network was trained on {sizes[1]}")
    if not args.on and data.digest != run.dataset_sha256:
        print(f"warning: it was trained on other content than that of {data.title} here", file=sys.stderr)
    split = getattr(data, args.split)

    print(f"{run.title}: {len(split.labels):,} {args.split} images of {data.title}", flush=True)
    measured = ", ".join(["raw weights" if args.raw else "EMA", *(["TTA"] if args.tta else []), data.title])
    name = "-".join(filter(None, [args.split, args.raw and "raw", args.tta and "tta", args.on and data.name]))
    log_dir = runs.log_folder(args.log_dir, args.checkpoint_dir, task, directory) / name
    log = evaluation.Log(log_dir, split.images, args.split, data.class_names, only_point=bool(args.checkpoint))
    following = not (args.once or args.checkpoint)
    result = None
    tests = test(forward, run, split, paths, device_name, raw=args.raw, tta=args.tta, skip_unreadable=following)
    try:
        with contextlib.closing(tests):  # a session that is still open when Python ends would hang
            for step, result in tests:
                print(f"step {step}  {args.split} {result.text} ({measured})", flush=True)
                log.write(step, result)
    finally:  # after Ctrl-C too
        if result:
            # The temperature is for the averaged weights and plain images, and known when the training has ended.
            if not (following or args.raw or args.tta or args.on):
                print(f"calibration {_calibration(result, run)}")
            print(f"by class    {_by_class(data.class_names, result.class_accuracies())}")
            print(f"log         {command_line.shown(log_dir)}")
    if args.projector and result:
        images = split.images[: projector.COUNT]
        path = paths[0] if args.checkpoint else directory / f"model.ckpt-{step}"
        points = projector.activations(forward, run, images, path, device_name, args.raw)
        projector.write(log_dir, f"{run.network}, step {step}", images, points, result, data.class_names)


def _by_class(names, accuracies):
    """The accuracy of each class; of the least accurate ones where there are many."""
    each = list(zip(names, np.nan_to_num(accuracies, nan=NONE), strict=True))
    shown = sorted(each, key=lambda one: one[1])[:MOST_CLASSES] if len(each) > MOST_CLASSES else each
    more = f"  (the lowest of {len(each):,})" if len(each) > len(shown) else ""
    return "  ".join(f"{name} {'–' if accuracy == NONE else f'{accuracy:.3f}'}" for name, accuracy in shown) + more


def _calibration(result, run):
    """How far the probabilities are from the truth, before and after the temperature that validation images gave."""
    text = f"{calibration.expected_error(*result):.2%} expected error"
    if run.temperature == 1:  # none was needed, or the run has not ended yet
        return text
    calibrated = calibration.at(run.temperature, result.probabilities)
    return f"{text}, {calibration.expected_error(calibrated, result.labels):.2%} at temperature {run.temperature:.2f}"
