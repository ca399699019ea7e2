"""Writes a trained network for other programs, in many forms, and proves each against the session that it came from."""

import contextlib
import dataclasses
import hashlib
import os
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common import command_line
from common.app import exported, forms, read_me, trained
from common.command_line import shown
from common.data import datasets
from common.errors import UserError, writing
from common.training import checkpoints, evaluation, runs

import msgspec
import numpy as np
import tensorflow.compat.v1 as tf

CPU = "/device:CPU:0"
INT8 = "model-int8.tflite"
BESIDE = ["run.json", "labels.txt", exported.EXPORT, "README.md"]  # what describes the forms
LAYOUT = 1  # of the forms: those of another one do not stay beside new ones
BATCH_SIZE = 100  # images that the session answers at a time
EXACT = 1e-5  # the largest difference of a probability where nothing is rounded
ROW = "{:22} {:>10} {:>11} {:>12} {:>14}"
PROGRAMS = 2  # that convert and check at a time: each is a TensorFlow of its own


def parser(description, networks, family):
    """The command line of an export. networks: their names. family: of data sets."""
    result = command_line.parser(description, list(networks), list(family), logs=False)
    command_line.add_data_dir(result)
    every = list(forms.FILES)
    result.add_argument("--checkpoint", metavar="PATH", type=Path, help="FOLDER/model.ckpt-200 or FOLDER (the newest)")
    result.add_argument("--to", nargs="+", choices=every, metavar="FORM", help=f"{', '.join(every)} (default: all)")
    result.add_argument("--int8", action="store_true", help="with --to tflite, also in whole numbers of 8 bits")
    result.add_argument("--raw", action="store_true", help="the weights themselves, not their moving averages")
    result.add_argument("--output-dir", metavar="DIR", type=Path, help="instead of exports/TASK/NETWORK")
    return result


def export(task, args, forward, networks, family, photos=None, note=""):
    """Exports what the flags ask for; prints what the check of each form measured. Returns the exit status.

    That is 1 where a form does not answer as the session does; the form is deleted. task: its name. forward, networks:
    from its forward.py. family: of data sets. photos: a function of encoded pictures, a string tensor [n], and the
    runs.Run, that gives what the app makes of them, uint8 [n, views, height, width, channels]; or None. note: for the
    README.md of the export, on the input.
    """
    names = _names(args)
    checkpoint = _checkpoint(task, args)
    run = runs.read(checkpoint.parent, networks)
    folder = (args.output_dir or runs.folder(exported.EXPORTS, task, run.network, run.dataset)).resolve()
    _check_is_ours(folder)
    data = datasets.load(family, run.dataset, args.data_dir, run.dataset_folder)
    if data.digest != run.dataset_sha256:
        print(f"warning: it was trained on other content than that of {data.title} here", file=sys.stderr)

    weights = "raw" if args.raw else "averaged"
    title = f"{run.title}, {weights} weights of {shown(checkpoint)}"
    print(f"{title}: {len(data.test.labels):,} test images", flush=True)
    network = trained.Network(forward, run, checkpoint, CPU, args.raw)
    session = _answers(network, data.test)
    run = dataclasses.replace(run, test_accuracy=session.accuracy)
    if args.raw or not trained.is_measured(run, checkpoint):
        run = dataclasses.replace(run, validation_accuracy=None)
    with (
        tempfile.TemporaryDirectory() as temporary,
        _replaced(folder) as new,
        forms.served(forward, run, checkpoint, args.raw, photos) as served,
    ):
        work = Path(temporary)
        with writing(work, (OSError, tf.errors.OpError)):
            forms.prepare(work, served, data)
        runs.write(new, run)  # also for the checks of weights
        result = exported.Export(
            about=network.about, task=task, step=served.step, weights=weights, digest=_digest(run, served.arrays),
            dataset_title=data.title, dataset_source=run.dataset_source, images=len(session.labels),
            accuracy=session.accuracy, forms=_written(names, new, served, session, task, work),
        )  # fmt: skip
        failed = [name for name in names if name not in result.forms]
        if not result.forms:
            raise UserError(f"no form answers as the session does: {', '.join(failed)} are not kept")
        with writing(new):
            _describe(new, _with_kept(folder, new, result, failed), note)
    print(f"exported {shown(folder)}")
    if failed:
        print(f"error: not as the session, within {EXACT:g}, and deleted: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _names(args):
    """The files and folders to write. Raises UserError where a package is missing."""
    asked = args.to or list(forms.FILES)
    names = [name for form in asked for name in forms.FILES[form] if name != INT8 or args.int8 or not args.to]
    if args.int8 and INT8 not in names:
        raise UserError("--int8 goes with --to tflite")
    for form in asked:
        for package in forms.PACKAGES.get(form, ()):
            exported.check_package(package)
    return names


def _answers(network, split):
    """The Evaluation of a trained.Network on a datasets.Split."""
    starts = range(0, len(split.labels), BATCH_SIZE)
    answers = [network.probabilities(split.images[start : start + BATCH_SIZE]) for start in starts]
    return evaluation.Evaluation(np.concatenate(answers), split.labels)


def _written(names, new, served, session, task, work):
    """Writes forms to a folder and checks each: {name: exported.Check} of those that answer as the session does.

    session: the evaluation.Evaluation of its answers. The other forms are deleted.
    """

    def written(name):
        path = new / name
        with writing(path, (OSError, tf.errors.OpError)):
            forms.write(path, served, work)
        check = _check(path, forms.ask(path, task, work), session)
        if name in forms.FILES["checkpoint"]:  # in float16 it may have other answers; validation is of float32's
            runs.write(path, dataclasses.replace(served.run, test_accuracy=check.accuracy))
        return check

    result = {}
    print(ROW.format("form", "size", "difference", "same answer", "test accuracy"))
    with ThreadPoolExecutor(PROGRAMS) as pool:
        checks = [pool.submit(written, name) for name in names]
        try:
            for name, check in zip(names, checks, strict=True):
                try:
                    print(_row(name, check.result()), flush=True)
                    if _as_the_session(name, check.result()):
                        result[name] = check.result()
                        continue
                except forms.Failed as error:
                    print(f"{name}: {error}", file=sys.stderr)
                if (new / name).exists():
                    shutil.rmtree(new / name) if (new / name).is_dir() else (new / name).unlink()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return result


def _as_the_session(name, check):
    return check.difference <= EXACT or name in forms.ROUNDED and np.isfinite(check.difference)


def _check(path, probabilities, session):
    answers = evaluation.Evaluation(probabilities, session.labels)
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return exported.Check(
        bytes=sum(each.stat().st_size for each in files),
        difference=float(np.abs(probabilities - session.probabilities).max()),
        same=float(np.mean(answers.predictions == session.predictions)),
        accuracy=answers.accuracy,
    )


def _row(name, check):
    size = f"{check.bytes / 1e3:,.0f} kB"
    return ROW.format(name, size, f"{check.difference:.1e}", f"{check.same:.2%}", f"{check.accuracy:.4f}")


def _with_kept(folder, new, result, failed):
    """The Export with the forms of the same weights that an earlier one left, and this one was not asked for."""
    kept = {}
    if (folder / exported.EXPORT).exists():
        with contextlib.suppress(UserError):  # a damaged one, or of an older version
            before = exported.read(folder)
            kept = before.forms if before.digest == result.digest else {}
    kept = {name: check for name, check in kept.items() if name not in [*result.forms, *failed]}
    for name in kept:
        copy = shutil.copytree if (folder / name).is_dir() else shutil.copy
        copy(folder / name, new / name)
    every = kept | result.forms
    order = [name for files in forms.FILES.values() for name in files if name in every]
    return dataclasses.replace(result, forms={name: every[name] for name in order})


def _describe(new, result, note):
    """Writes what describes the forms."""
    (new / "labels.txt").write_text("".join(f"{name}\n" for name in result.about.class_names), encoding="utf-8")
    content = msgspec.json.format(msgspec.json.encode(result), indent=1)
    (new / exported.EXPORT).write_bytes(content + b"\n")
    (new / "README.md").write_text(read_me.text(result, note), encoding="utf-8")


def _checkpoint(task, args):
    """The one that the flags name, else that of the run that was trained last, else the one that comes with the kit."""
    if args.checkpoint:
        return checkpoints.named(args.checkpoint)
    try:
        folder = checkpoints.newest(args.checkpoint_dir, task, args.network, args.dataset, wait=False)
    except checkpoints.NoneYet:
        if args.checkpoint_dir != command_line.CHECKPOINT_DIR:
            raise
        folder = command_line.CHECKPOINT_DIR / task / runs.PRETRAINED
        run = runs.read(folder)
        if args.network not in (None, run.network) or not (args.dataset is None or run.is_on(args.dataset)):
            raise
    return checkpoints.named(folder)


@contextlib.contextmanager
def _replaced(folder):
    """A folder that the block fills, and that takes the place of another then; if the block fails, nothing changes."""
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = tempfile.TemporaryDirectory(prefix=".export-", dir=folder.parent)
    with beside as temporary:
        new = Path(temporary, "new")
        new.mkdir()
        yield new
        if folder.exists():
            folder.rename(Path(temporary, "old"))
        try:
            new.rename(folder)
        except OSError:
            Path(temporary, "old").rename(folder)
            raise


def _digest(run, arrays):
    """Tells what was exported from any other."""
    digest = hashlib.sha256(bytes([LAYOUT]) + msgspec.json.encode(run))
    for name, array in sorted(arrays.items()):
        digest.update(name.encode() + array.tobytes())
    return digest.hexdigest()


def _check_is_ours(folder):
    """Raises UserError for a folder that holds what no export wrote, which would be lost, or cannot be replaced."""
    for file in (place for place in (folder, *folder.parents) if place.exists() and not place.is_dir()):
        raise UserError(f"{file} is a file; name another --output-dir")
    if os.path.ismount(folder) or Path.cwd().is_relative_to(folder):
        raise UserError(f"{folder} is a mount or the folder that you are in; name a new one in it as --output-dir")
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    strange = sorted(names - {name for files in forms.FILES.values() for name in files} - set(BESIDE))
    if strange or names and exported.EXPORT not in names:
        held = ", ".join(strange or sorted(names))
        raise UserError(f"{folder} holds {held}, which no export wrote; name another --output-dir")
