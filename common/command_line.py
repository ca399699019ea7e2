"""The command line: errors of one line, typed overrides of a recipe, the flags that all scripts share."""

import argparse
import dataclasses
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHECKPOINT_DIR = ROOT / "checkpoints"


class UserError(Exception):
    """A mistake that the user can mend. Its text, one line, says what, where and what to do."""


def run(main):
    """Runs main() as a program: exits with the status it returns (None is 0), and after a UserError with 1."""
    sys.stdout.reconfigure(errors="backslashreplace")  # for names of files that the terminal cannot show
    try:
        status = main()
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 1
    except BrokenPipeError:  # the reader went away, as in `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141  # 128 + SIGPIPE
    except OSError as error:
        if error.filename is None:  # not about a file that the user can do something about
            raise
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        status = 130  # 128 + SIGINT, as shells report it
    sys.exit(status)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, without the usage."""

    def error(self, message):
        self.exit(2, f"error: {message}; --help lists the flags\n")


def parser(description, networks, datasets):
    """A Parser with the flags that trainer, tester and app share.

    Where no data set is named, and in testers and apps no network, the script's description says what is taken.
    """
    result = Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--network", metavar="NAME", choices=networks, help=", ".join(networks))
    result.add_argument("--dataset", metavar="NAME", choices=datasets, help=", ".join(datasets))
    result.add_argument(
        "--device", metavar="NAME", default="auto",
        help="cpu, gpu or a name such as /device:GPU:1; auto, the default, is the first GPU, or the CPU",
    )
    result.add_argument(
        "--checkpoint-dir", metavar="DIR", type=Path, default=CHECKPOINT_DIR,
        help="where checkpoints are kept (default: checkpoints/ of the repository)",
    )
    result.add_argument(
        "--log-dir", metavar="DIR", type=Path, default=ROOT / "logs",
        help="where TensorBoard's files are kept (default: logs/ of the repository)",
    )
    return result


def add_data_dir(parser):
    parser.add_argument(
        "--data-dir", metavar="DIR", type=Path, default=Path(os.environ.get("DATA_DIR", ROOT / "data")),
        help="where data sets are kept (default: the environment variable DATA_DIR, or data/ of the repository)",
    )


def positive(kind):
    """The type of a flag that takes a number of a kind, int or float, above 0 and below 2³¹."""

    def parse(text):
        if not 0 < kind(text) < 2**31:
            raise argparse.ArgumentTypeError(f"{text} is out of range")
        return kind(text)

    parse.__name__ = kind.__name__  # argparse names it where kind(text) fails
    return parse


def shown(path):
    """A path as people read it: relative to the working directory where it is below that."""
    path = Path(path).resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def entry(**limits):
    """A field of a recipe with limits for override(): least= or above=, below=, choices=; and its default=, if any."""
    default = {"default": limits.pop("default")} if "default" in limits else {}
    return dataclasses.field(metadata=limits, **default)


def override(recipe, settings):
    """Returns a copy of the recipe, a dataclass, with settings, a list of "key=value", in the types of its fields.

    Integers are 1 or more and other numbers 0 or more, and below 2³¹, where entry() does not say otherwise. Raises
    UserError for an unknown key (it lists them), for a key that comes twice, and for a value that is not of the field's
    type or not within its limits.
    """
    types = {field.name: type(getattr(recipe, field.name)) for field in dataclasses.fields(recipe)}
    limits = {field.name: field.metadata for field in dataclasses.fields(recipe)}
    changes = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise UserError(f"--set takes KEY=VALUE, not {setting!r}")
        if key not in types:
            raise UserError(f"--set {setting}: no entry {key!r} in the recipe; there are {', '.join(types)}")
        if key in changes:
            raise UserError(f"--set {setting}: {key} is set twice; give one value")
        try:
            changes[key] = types[key](text)
        except ValueError:
            kind = "whole number" if types[key] is int else "number"
            raise UserError(f"--set {setting}: {key} takes a {kind}, not {text!r}") from None
        if types[key] is str:
            if changes[key] not in limits[key]["choices"]:
                raise UserError(f"--set {setting}: {key} must be one of {', '.join(limits[key]['choices'])}")
            continue
        least, above = limits[key].get("least", 1 if types[key] is int else 0), limits[key].get("above")
        below = limits[key].get("below", 2**31)
        if not least <= changes[key] < below or changes[key] == above:
            lower = f"at least {least}" if above is None else f"above {above}"
            raise UserError(f"--set {setting}: {key} must be {lower}, and below {below}")
    return dataclasses.replace(recipe, **changes)
