"""Whether runs are the same: one that goes on from a checkpoint, and those of workers."""

import dataclasses
import hashlib
from pathlib import Path

from common.command_line import ROOT
from common.errors import UserError
from common.training import runs
from common.training.recipe import LASTING

MEASURED = ("temperature", "validation_accuracy")  # entries of run.json that go on with a run


def continued(directory, run, auto_precision=False):
    """The run as it goes on from the checkpoints in a folder, with what was measured of them; as it is without any.

    auto_precision: whether it has the precision of the checkpoints, whatever that is.

    Prints that it began from another checkpoint than the one that is named, if both are of the same folder.

    Raises UserError if they come from a run that differs in more than what saves, and the last step: training on would
    continue neither the one nor the other. The last step may differ where the schedule allows it.
    """
    kept = [*MEASURED, "precision"] if auto_precision else MEASURED
    may_change = {"versions", "test_accuracy", *kept, "dataset_folder", "dataset_source"}
    may_change |= {"recipe.save_steps", "recipe.evaluate"}
    may_change |= {"steps", "recipe.epochs"} if run.recipe.schedule in LASTING else set()
    if not runs.indexes(directory):
        return run
    before = runs.read_as(type(run.recipe), directory)
    began, told = before.start_from, run.start_from
    if began and told and began != told and Path(began).parent == Path(told).parent:  # its newest is another by now
        print(f"began from {began}, not from {Path(told).name}, and goes on from its own checkpoint")
        run = dataclasses.replace(run, start_from=began)
    there, here = _flat(before), _flat(run)
    differences = [
        f"{key} is {there[key]!r} there and {here[key]!r} here"
        for key in sorted(here.keys() - may_change)
        if there[key] != here[key]
    ]
    if differences:
        leave_out = " (without --precision it keeps its own)" if there["precision"] != here["precision"] else ""
        raise UserError(
            f"{directory} holds another run: {'; '.join(differences)}. Continue it with the same settings{leave_out}, "
            "choose another --checkpoint-dir, or delete the folder"
        )
    return dataclasses.replace(run, **{name: getattr(before, name) for name in kept})


def what_all_share(run):
    """What workers must have in common, a dict: the run but for what each has of its own, and the program's files."""
    own = {"dataset_folder", "dataset_source", "start_from", "test_accuracy", *MEASURED}
    digest = hashlib.sha256()
    for path in sorted(path for room in ("common", "mnist", "cifar10") for path in (ROOT / room).rglob("*.py")):
        if path.is_file():  # an editor's lock is a link to nothing
            digest.update(path.read_bytes())
    return {key: value for key, value in _flat(run).items() if key not in own} | {"program": digest.hexdigest()[:12]}


def _flat(run):
    """{"seed": 1, "recipe.epochs": 8.0, …}"""
    fields = dataclasses.asdict(run)
    recipe = fields.pop("recipe")
    return fields | {f"recipe.{key}": value for key, value in recipe.items()}
