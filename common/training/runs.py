"""A run's folders and its run.json: what test.py and app.py need to rebuild the network that backward.py trained."""

import dataclasses
import errno
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Generic, Literal, TypeVar

from common.data import datasets, sources
from common.errors import UserError, writing
from common.graph.device import PRECISIONS
from common.training.recipe import Recipe

import filelock
import msgspec
import numpy as np
from msgspec import Meta

LOCK = "trainer.lock"
PATTERN = set("*?[") | ({"\\"} if os.name == "posix" else set())  # characters of one, in a path
PRETRAINED = "pretrained"  # the folder of the network that comes with the repository
MEND = "put back the one that was beside the weights, or delete the folder and train again"

R = TypeVar("R", bound=Recipe)
InPath = Annotated[str, Meta(pattern=r"^\w[\w.-]{0,99}\Z")]  # becomes part of a path
Line = Annotated[str, Meta(pattern=rf"^[^{sources.CONTROLS}]{{1,{sources.LONGEST_NAME}}}\Z")]  # is shown on a terminal
Share = Annotated[float, Meta(ge=0, le=1)]
Whole = Annotated[int, Meta(ge=1, lt=2**31)]
Pixel = Annotated[float, Meta(ge=0, le=255)]
Deviation = Annotated[float, Meta(ge=0.01, le=255)]  # less would make numbers that are not finite


@dataclass(frozen=True, kw_only=True)
class Run(Generic[R]):
    """What run.json holds. R: the type of the task's recipes.

    A field that is added gets a default, for folders that were written before it.
    """

    network: InPath
    dataset: InPath
    dataset_title: Line
    dataset_sha256: Line
    class_names: Annotated[tuple[Line, ...], Meta(min_length=1, max_length=65_536)]
    image_size: Annotated[int, Meta(ge=1, le=1024)]  # pixels, both ways
    image_mean: Pixel | tuple[Pixel, ...]  # the input is (pixel - mean) / std: one number, or one per channel
    image_std: Deviation | tuple[Deviation, ...]
    recipe: R
    seed: Whole
    precision: Literal[tuple(PRECISIONS)] = "float32"
    reading: str = ""  # how the app reads a picture: a name that the task knows; its usual way if empty
    dataset_folder: str = ""  # where pictures of one's own were packed
    dataset_source: str = ""  # from where
    start_from: str = ""  # the checkpoint whose weights it began with, from the repository on
    steps: Whole  # the last one
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    temperature: Annotated[float, Meta(ge=0.1, le=100)] = 1.0  # of the logits, see calibration.py
    validation_accuracy: Share | None = None  # of the newest checkpoint, once it was evaluated
    test_accuracy: Share | None = None  # of a checkpoint that was exported

    def __post_init__(self):
        if np.shape(self.image_mean) != np.shape(self.image_std):
            raise ValueError("image_mean and image_std are not of the same length")

    @property
    def title(self):
        return f"{self.network} trained on {self.dataset_title}"

    @property
    def mirrors(self):
        """Whether a mirror image shows the same class: of photos, but not of digits.

        Of pictures of one's own, which may be letters, only the recipe knows.
        """
        return bool(self.recipe.mirror or not self.dataset_folder and self.image_shape[2] == 3)

    def is_validated(self, step):
        """Whether there is a validation at a step: where a signal stops the run, there is none."""
        return step % self.recipe.save_steps == 0 or step == self.steps

    def is_on(self, dataset):
        """Whether a user means its data set: by its name, or the path of the pictures, or of what was packed."""
        if not self.dataset_folder or any(dataset in family for family in datasets.FAMILIES.values()):
            return dataset == self.dataset
        if Path(dataset).exists():
            return os.path.realpath(dataset) in (self.dataset_source, self.dataset_folder)
        return sources.name(dataset) in (self.dataset, self.dataset_title)

    @property
    def image_shape(self):
        """[height, width, channels]"""
        return [self.image_size, self.image_size, np.size(self.image_mean)]


def folder(root, task, network, dataset):
    """root/task/network; for any data set but the task's own, root/task/network-dataset."""
    return Path(root) / task / (network if dataset == task else f"{network}-{dataset}")


def log_folder(log_dir, checkpoint_dir, task, directory):
    """Where what is measured of a run is logged. directory: its checkpoints; if they are elsewhere, so are the logs."""
    directory = directory.resolve()
    here = directory.parent == (checkpoint_dir / task).resolve()
    return log_dir / task / ("" if here else "elsewhere") / directory.name


def find(root, task, network=None, dataset=None):
    """The runs in root/task, of this network and data set where they are not None: a list of (folder, Run).

    dataset: its name, or the path of pictures of one's own.
    The one that was started or evaluated last is the first. Raises UserError if there are only ones whose run.json is
    damaged, apart from the one that comes with the repository.
    """
    found, damaged = [], None
    for path in sorted((Path(root) / task).glob("*/run.json"), key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            run = read(path.parent)
        except UserError as error:
            damaged = damaged or error
        else:
            found.append((path.parent, run))
    if damaged and all(d.name == PRETRAINED for d, _ in found):
        raise damaged
    return [
        (d, run) for d, run in found if network in (None, run.network) and (dataset is None or run.is_on(dataset))
    ]


def indexes(directory):
    """The index files of the checkpoints in a folder; not the copies that file managers and clouds make."""
    return [path for path in Path(directory).glob("model.ckpt-*.index") if re.fullmatch(r"model\.ckpt-\d+", path.stem)]


def write(directory, run):
    """Writes run.json whole or not at all. Raises UserError where that fails, as on a full disk."""
    part = directory / "run.json.part"
    with writing(directory / "run.json"):
        part.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")
        to_disk(part)
        for wait in (0.1,) * 10 + (0,):
            try:
                part.replace(directory / "run.json")
                break
            except PermissionError:  # Windows, while a tester reads it
                if not wait:
                    raise
                time.sleep(wait)  # seconds


def to_disk(*paths):
    """Returns when these files and folders are on the disk, where a loss of power leaves them."""
    if os.name != "posix":  # Windows opens no folders
        return
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno != errno.EINVAL:  # of folders on some file systems of networks
                raise
        finally:
            os.close(handle)


def read(directory, networks=None):
    """The Run in directory/run.json. networks: the task's, modules by name.

    Without `networks` the recipe has only what all tasks share: such a Run is not to be written back.
    Raises UserError where there is none, where a field is missing, of another type or out of its range, and where its
    network is not one of `networks`.
    """
    run = read_as(type(next(iter(networks.values())).RECIPE) if networks else Recipe, directory)
    if networks and run.network not in networks:
        raise UserError(f"{directory / 'run.json'} names the network {run.network!r}; there are {', '.join(networks)}")
    return run


def read_as(recipe_type, directory):
    """The Run in directory/run.json, its recipe of a type. Raises what read() raises, but knows no networks."""
    path = Path(directory) / "run.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Run[recipe_type])
    except FileNotFoundError:
        raise UserError(f"{path} is missing; {MEND}") from None
    except (UserError, ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise UserError(f"{path} is damaged ({error}); {MEND}") from None


def lock(directory):
    """Makes the folder and locks it for the trainer, until released or the process ends, however it ends.

    Raises UserError if another trainer has it, or its name would mean others to TensorFlow, too.
    """
    if special := PATTERN & set(str(directory)):
        raise UserError(
            f"{directory} has {' '.join(sorted(special))} in its name, which TensorFlow takes for a pattern where it "
            "reads and deletes checkpoints; choose another --checkpoint-dir"
        )
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
    try:  # another tester, which looks in as well, has it for less than a millisecond
        filelock.FileLock(directory / LOCK).acquire(timeout=0.3, poll_interval=0.02).lock.release()
        return False
    except filelock.Timeout:
        return True
