"""A run's folders and its run.json: what test.py and app.py need to rebuild the network that backward.py trained."""

import json
from pathlib import Path

from common.command_line import UserError

import filelock

LOCK = "trainer.lock"
PRETRAINED = "pretrained"  # the folder of the network that comes with the repository
MEND = "put back the one that the training wrote, or delete the folder and train again"
KEYS = {
    "network", "dataset", "dataset_title", "dataset_sha256", "class_names", "image_size", "image_mean", "image_std",
    "recipe", "seed", "steps",
}  # fmt: skip


def folder(root, task, network, dataset):
    """root/task/network; for any data set but the task's own, root/task/network-dataset."""
    return Path(root) / task / (network if dataset == task else f"{network}-{dataset}")


def find(root, task, network, dataset, real_first=False):
    """The folder of the run that started or ended last, of this network and data set where they are not None; or None.

    real_first: one trained on generated digits only where there is no other. The one that comes with the repository was
    not started here.
    """
    found = []
    for path in (Path(root) / task).glob("*/run.json"):
        if path.parent.name == PRETRAINED:
            continue
        try:
            record = read(path.parent)
        except UserError:
            continue  # told where it is asked for
        if network in (None, record["network"]) and dataset in (None, record["dataset"]):
            real = record["dataset"] != "generated"
            found.append((real_first and real, path.stat().st_mtime, path.parent))
    return max(found)[-1] if found else None


def write(directory, record):
    """Writes run.json whole or not at all."""
    part = directory / "run.json.part"
    part.write_text(json.dumps(record, indent=1) + "\n")
    part.replace(directory / "run.json")


def read(directory, networks=None):
    """The record in directory/run.json.

    Raises UserError where there is none, it is damaged, or its network is not one of `networks`, if these are given.
    """
    path = Path(directory) / "run.json"
    try:
        record = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path} is missing; {MEND}") from None
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); {MEND}") from None
    if not isinstance(record, dict):
        raise UserError(f"{path} is damaged (it holds no record); {MEND}")
    if missing := KEYS - record.keys():
        raise UserError(f"{path} is damaged (it lacks {', '.join(sorted(missing))}); {MEND}")
    temperature = record.get("temperature", 1.0)
    if not isinstance(temperature, int | float) or temperature <= 0:
        raise UserError(f"{path} is damaged (its temperature is {temperature!r}); {MEND}")
    if networks is not None and record["network"] not in networks:
        raise UserError(f"{path} names the network {record['network']!r}; there are {', '.join(networks)}")
    return record


def start(directory, record, may_grow=True):
    """Writes the record of a run that starts or goes on in a folder.

    may_grow: whether a run may go on to another last step. Raises UserError if the checkpoints there come from a run
    that differs in more than that and in what saves: training on would continue neither the one nor the other.
    """
    may_change = ("versions", "temperature", "recipe.save_steps", "recipe.evaluate")
    may_change += ("steps", "recipe.epochs") if may_grow else ()
    if any(directory.glob("model.ckpt-*.index")):
        there, here = _flat(read(directory)), _flat(record)
        differences = [
            f"{key} is {there.get(key)!r} there and {here.get(key)!r} here"
            for key in sorted(there.keys() | here.keys())
            if not key.startswith(may_change) and there.get(key) != here.get(key)
        ]
        if differences:
            raise UserError(
                f"{directory} holds another run: {'; '.join(differences)}. Continue it with the same settings, "
                "choose another --checkpoint-dir, or delete the folder"
            )
        record = read(directory) | record  # with the temperature
    write(directory, record)


def _flat(record):
    """{"recipe": {"epochs": 8}} → {"recipe.epochs": 8}, with the types that JSON keeps."""
    flat = {}
    for key, value in json.loads(json.dumps(record)).items():
        flat.update({f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value})
    return flat


def lock(directory):
    """Makes the folder and locks it for the trainer, until released or the process ends, however it ends.

    Raises UserError if another trainer has it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    try:
        return filelock.FileLock(directory / LOCK).acquire(timeout=2)  # seconds; a tester looks in for a moment
    except filelock.Timeout:
        raise UserError(
            f"another backward.py is training in {directory}; wait for it, stop it, or choose another --checkpoint-dir"
        ) from None


def is_training(directory):
    """Whether a trainer is at work in the folder."""
    if not (directory / LOCK).exists():
        return False
    try:
        filelock.FileLock(directory / LOCK).acquire(timeout=0).lock.release()
        return False
    except filelock.Timeout:
        return True
