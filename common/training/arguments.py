"""The command line of the trainers: their flags, the data set and the recipe that these ask for."""

import argparse
import os
import re
from pathlib import Path

from common import command_line
from common.command_line import CHECKPOINT_DIR
from common.data import datasets, foreign_records, packing, records
from common.errors import UserError
from common.graph import device
from common.training import checkpoints, runs
from common.training import recipe as recipes

AUTO = "auto"  # the precision: bfloat16 on a CPU that is faster in it, else float32
OWN = dict(images=1000, size=32, learnt=True)  # of pictures of one's own, before they are counted


def parser(description, task, networks, family):
    """The command line of a task's trainer. networks: modules by name, the default first. family: of data sets."""
    parser = command_line.parser(description, list(networks), list(family))
    command_line.add_data_dir(parser)
    whole = command_line.positive(int)
    parser.add_argument("--steps", metavar="N", type=whole, help="train up to this step, not by the recipe's epochs")
    parser.add_argument("--seed", metavar="N", type=whole, default=1, help="of weights, batches and augmentation (1)")
    parser.add_argument(
        "--precision", choices=(AUTO, *device.PRECISIONS), default=AUTO,
        help="the numbers that layers compute with; auto, the default: bfloat16 on a CPU that is faster in it (AMX, "
        "Zen 4), else float32, but a run that goes on keeps its own; float16 is for GPUs",
    )
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="change entries of the recipe, below"
    )
    parser.add_argument(
        "--start-from", metavar="CHECKPOINT",
        help="weights to begin with: of a checkpoint, pretrained or none (pretrained for your own pictures, else none)",
    )
    parser.add_argument(
        "--in-memory", metavar="GB", type=float,
        help="your own pictures are read from the disk if they take more, held twice (default: half of what is free)",
    )
    parser.add_argument(
        "--workers", metavar="N", type=command_line.positive(int, max(8, os.cpu_count() or 1)), default=1,
        help="train by N processes on this machine, each with its share of the cores (1); at most as many, or 8",
    )
    parser.add_argument(
        "--profile", metavar="STEP", type=whole, help="record time and memory of each operation in this step"
    )
    parser.add_argument("--only-pack", action="store_true", help="pack your own pictures, and do not train")
    parser.epilog = _recipe_table(task, networks, family)
    return parser


def parse(parser, task, networks, family):
    """What the command line asks for; `own`, `network`, `device`, `precision` and `start_from` are resolved.

    own: whether the data set is pictures of one's own. auto_precision: whether that was left to auto, so that
    checkpoints and the chief decide. Raises UserError for a device that is not there or does not compute in the
    precision, and for an entry of the recipe that is invalid or changes nothing.
    """
    args = parser.parse_args()
    args.own = bool(args.dataset) and args.dataset not in family
    if args.own:
        datasets.check_name(family, args.dataset)
    for flag in () if args.own else ("only_pack", "in_memory", "size", "as"):
        value = getattr(args, flag, None)
        if value is not None and value is not False:  # 0 is given
            flag = flag.replace("_", "-")
            raise UserError(f"--{flag} needs --dataset with a folder, a table or TFRecords of your own pictures")
    pretrained, known = CHECKPOINT_DIR / task / runs.PRETRAINED, _learnt(task, args.own)
    args.network = args.network or known or next(iter(networks))
    if args.start_from is None:
        args.start_from = "pretrained" if args.network == known else "none"
    if args.start_from != "none":
        path = pretrained if args.start_from == "pretrained" else Path(args.start_from)
        # A run that goes on needs it no more, and who trained it may have deleted it by now.
        may_be_gone = path.parent.is_dir() and re.fullmatch(r"model\.ckpt-\d+", path.name)
        args.start_from = path if may_be_gone else checkpoints.named(path)
    args.device = device.resolve_all(args.device)
    args.auto_precision = args.precision == AUTO
    args.precision = device.default_precision(args.device) if args.auto_precision else args.precision
    device.check_precision(args.precision, args.device)
    recipe = networks[args.network].RECIPE
    recipe = recipe.for_own(**OWN) if args.own else recipe
    recipes.change(recipe, args.set)  # fails before packing, which may take long
    return args


def load(args, networks, family, readers, size, reading=None):
    """The data set that the command line asks for; and args.recipe, which may depend on it.

    For pictures of one's own: readers: functions as packing.pack() takes them, by name. size: of what they give.
    reading: the name; or if None, the first, and of TFRecords the last, which takes them as they are.
    Raises UserError for pictures that were packed another way.
    """
    recipe = networks[args.network].RECIPE
    if args.own:
        limit = 0 if args.only_pack else None if args.in_memory is None else args.in_memory * 1e9
        if records.is_packed(args.dataset):
            there, asked = records.read(args.dataset), vars(args).get("size")
            if there.reading not in readers or reading not in (None, there.reading) or asked not in (None, there.size):
                raise UserError(
                    f"{args.dataset} was packed as {there.reading!r}, {there.size}×{there.size} pixels; name the "
                    "pictures themselves, to pack them another way"
                )
        reading = reading or list(readers)[-1 if foreign_records.files(Path(args.dataset)) else 0]
        data = datasets.packed(packing.pack(args.dataset, args.data_dir, reading, readers[reading], size), limit)
        recipe = recipe.for_own(*data.train.images.shape[:2], learnt=args.start_from != "none")
    else:
        data = datasets.load_or_generate(family, args.dataset, args.data_dir)
    args.recipe = recipes.change(recipe, args.set)
    return data


def _learnt(task, own):
    """The network whose weights training on pictures of one's own begins with; None for other data."""
    pretrained = CHECKPOINT_DIR / task / runs.PRETRAINED
    return runs.read(pretrained).network if own and checkpoints.latest(pretrained) else None


def _recipe_table(task, networks, family):
    """For --help: the recipe of the network that the command line names, or of the default one."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("--network", choices=networks)
    parser.add_argument("--dataset")
    try:
        args = parser.parse_known_args()[0]
    except argparse.ArgumentError:  # told by the parser of all flags
        return ""
    own = bool(args.dataset) and args.dataset not in family
    name = args.network or _learnt(task, own) or next(iter(networks))
    recipe, data = networks[name].RECIPE, ""
    if own:
        recipe, data = recipe.for_own(**OWN), f" on {OWN['images']:,} pictures of your own"
    return f"the recipe of {name}{data}, for --set:\n{recipes.table(recipe)}"
