"""The command line: errors of one line, typed overrides of a recipe, the flags that all scripts share."""

import argparse
import dataclasses
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class UserError(Exception):
    """A mistake that the user can mend. Its text, one line, says what, where and what to do."""


def run(main):
    """Runs main() as a program: exits with the status it returns (None is 0), and after a UserError with 1."""
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
    """A Parser with the flags that trainer, tester and app share. The first network and data set are the defaults."""
    result = Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument(
        "--network", metavar="NAME", choices=networks, default=networks[0],
        help=f"{', '.join(networks)} (default: %(default)s)",
    )
    result.add_argument(
        "--dataset", metavar="NAME", choices=["auto", *datasets], default="auto",
        help=f"{', '.join(datasets)}; auto, the default, is {datasets[0]}, and generated where that cannot be had",
    )
    result.add_argument(
        "--device", metavar="NAME", default="auto",
        help="cpu, gpu or a name such as /device:GPU:1; auto, the default, is the first GPU, or the CPU",
    )
    for kind, content in (("checkpoint", "checkpoints"), ("log", "TensorBoard's files")):
        result.add_argument(
            f"--{kind}-dir", metavar="DIR", type=Path, default=ROOT / f"{kind}s",
            help=f"where {content} are kept (default: {kind}s/ of the repository)",
        )
    return result


def add_data_dir(parser):
    parser.add_argument(
        "--data-dir", metavar="DIR", type=Path, default=Path(os.environ.get("DATA_DIR", ROOT / "data")),
        help="where data sets are kept (default: the environment variable DATA_DIR, or data/ of the repository)",
    )


def positive(text):
    """The type of a flag that takes a whole number from 1 on."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return int(text)


def shown(path):
    """A path as people read it: relative to the working directory where it is below that."""
    path = Path(path).resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def override(recipe, settings):
    """Returns a copy of the recipe, a dataclass, with settings, a list of "key=value", in the types of its fields.

    Raises UserError for an unknown key (it lists them) and for a value that is not of the field's type.
    """
    types = {field.name: type(getattr(recipe, field.name)) for field in dataclasses.fields(recipe)}
    changes = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise UserError(f"--set takes KEY=VALUE, not {setting!r}")
        if key not in types:
            raise UserError(f"--set {setting}: no entry {key!r} in the recipe; there are {', '.join(types)}")
        try:
            changes[key] = types[key](text)
        except ValueError:
            raise UserError(f"--set {setting}: {key} is of type {types[key].__name__}, {text!r} is not") from None
        if changes[key] < (1 if types[key] is int else 0):
            raise UserError(f"--set {setting}: {key} must be at least {1 if types[key] is int else 0}")
    return dataclasses.replace(recipe, **changes)
