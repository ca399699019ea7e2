"""A network that export.py wrote, asked without TensorFlow: by ONNX Runtime, or by LiteRT."""

import dataclasses
import importlib.util
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from common.command_line import CHECKPOINT_DIR, ROOT, quiet_stderr, shown
from common.errors import UserError

import msgspec
import numpy as np

EXPORTS = ROOT / "exports"
EXPORT = "export.json"
ENGINES = {"onnx": "model.onnx", "tflite": "model.tflite"}  # name: the file that it runs, unless told another


@dataclass(frozen=True, kw_only=True)
class About:
    """What is to be known of a network, to ask it. An exported one brings it in its export.json.

    title: what it is and what it learnt. image_shape: of its input, height, width, channels. reading: how a picture
    becomes that, a name that the task knows. mirrors: whether a mirror image shows the same class. accuracy: in words.
    """

    network: str
    dataset: str
    title: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    reading: str
    mirrors: bool
    accuracy: str


@dataclass(frozen=True, kw_only=True)
class Check:
    """What a form answered to the test images, beside the session."""

    bytes: int  # on the disk
    difference: float  # the largest, of a probability
    same: float  # share of the images with the same answer
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Export:
    """What export.json holds."""

    about: About
    task: str
    step: int
    weights: str  # averaged, or raw
    digest: str  # SHA-256 of run.json and the weights
    dataset_title: str
    dataset_source: str  # of pictures of one's own, where they are
    images: int  # of the test set
    accuracy: float  # of the session on them
    forms: dict[str, Check]  # by file


def read(folder):
    """The Export in a folder. Raises UserError where there is none, or export.json is damaged."""
    path = Path(folder) / EXPORT
    try:
        return msgspec.json.decode(path.read_bytes(), type=Export)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; name a folder that export.py wrote, or a model in it") from None
    except ValueError as error:  # msgspec's errors are ValueErrors
        raise UserError(f"{path} is damaged ({error}); export again") from None


class Network:
    """An exported network in ONNX Runtime or LiteRT, for any number of threads."""

    gradient = None  # these runtimes only go forward

    def __init__(self, path, about=None):
        """path: model.onnx, or one of the .tflite files. about: of the network.

        Raises UserError where the package that runs it is missing, or the file is damaged.
        """
        self.about, self._lock = about, threading.Lock()
        open_file = _open_onnx if path.suffix == ".onnx" else _open_tflite
        try:
            self._run = open_file(path)
        except UserError:
            raise
        except Exception as error:  # each runtime has its own kinds
            raise UserError(f"{path} cannot be read ({str(error).partition(chr(10))[0]}); export again") from None

    def probabilities(self, images):
        """images: uint8 [n, height, width, channels]. Returns float32 [n, classes]."""
        with self._lock:  # an interpreter of LiteRT holds the tensors of one run
            return self._run(images)


def check_package(name):
    """Raises UserError, which says how to install it, if a package that only exports need is not there."""
    if not importlib.util.find_spec(name):
        raise UserError(f"this needs the package {name}: {sys.executable} -m pip install -r requirements-export.txt")


def _open_onnx(path):
    check_package("onnxruntime")
    import onnxruntime as runtime

    runtime.set_default_logger_severity(3)  # errors only
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: session.run(["probabilities"], {"images": images})[0]


def _open_tflite(path):
    check_package("ai_edge_litert")
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(path), num_threads=os.cpu_count()).get_signature_runner("serving_default")
    shape = runner.get_input_details()["images"]["shape"]
    with quiet_stderr():  # the first run prints what it runs on
        runner(images=np.zeros([1, *shape[1:]], np.uint8))
    return lambda images: runner(images=images)["probabilities"]


def find(task, args):
    """(Network, where it comes from in words, the folder of its logs), as an app's flags ask for.

    Without --checkpoint it is the one that was exported last, of a --network or --dataset. Raises UserError where there
    is none.
    """
    name = ENGINES[args.engine]
    for flag, usual in (("device", "auto"), ("checkpoint_dir", CHECKPOINT_DIR)):
        if getattr(args, flag) != usual:
            raise UserError(f"--{flag.replace('_', '-')} goes without --engine, which asks an export, on the CPU")
    if args.checkpoint:
        path = args.checkpoint / name if args.checkpoint.is_dir() else args.checkpoint
        if path.suffix != Path(name).suffix:
            raise UserError(f"--engine {args.engine} runs a {name}, not {path}")
    else:
        path = _newest(task, args, name)
    if not path.is_file():
        raise UserError(f"no {path}; this makes one: python {task}/export.py --to {args.engine}")
    export = read(path.parent)
    if export.task != task:
        raise UserError(f"{path} is a network of {export.task}: ask it with {export.task}/app.py")
    accuracy = f"test accuracy {export.forms[path.name].accuracy:.4f}" if path.name in export.forms else "not checked"
    about = dataclasses.replace(export.about, accuracy=accuracy)
    return Network(path, about), shown(path), args.log_dir / task / path.resolve().parent.name


def _newest(task, args, name):
    paths = sorted(EXPORTS.glob(f"{task}/*/{name}"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in paths:
        export = read(path.parent)
        own = args.dataset and os.path.realpath(args.dataset) == export.dataset_source
        known = None, export.about.dataset, export.dataset_title
        if args.network in (None, export.about.network) and (own or args.dataset in known):
            return path
    wanted = [f"--{flag} {getattr(args, flag)}" for flag in ("network", "dataset") if getattr(args, flag)]
    command = " ".join([f"python {task}/export.py --to {args.engine}", *wanted])
    raise UserError(f"no {name} in {shown(EXPORTS / task)} yet; this makes one: {command}")
