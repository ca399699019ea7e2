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
    except KeyboardInterrupt:
        status = 130  # 128 + SIGINT, as shells report it
    except BrokenPipeError:  # the reader went away, as in `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141  # 128 + SIGPIPE
    sys.exit(status)


def parser(description, networks, datasets):
    """An ArgumentParser with the flags that trainer, tester and app share."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    result.add_argument("--network", default=networks[0], help=f"one of {', '.join(networks)}")
    result.add_argument(
        "--dataset", default="auto", help=f"one of {', '.join(datasets)}, or auto: {datasets[0]}, else generated"
    )
    result.add_argument("--device", default="auto", help="auto, cpu, gpu, or a name such as /device:GPU:1")
    result.add_argument("--checkpoint-dir", type=Path, default=ROOT / "checkpoints", help="where checkpoints are kept")
    result.add_argument("--log-dir", type=Path, default=ROOT / "logs", help="where TensorBoard's files are kept")
    return result


def add_data_dir(parser):
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path(os.environ.get("DATA_DIR", ROOT / "data")),
        help="where data sets are kept; the environment variable DATA_DIR sets the default",
    )


def shown(path):
    """A path as people read it: relative to the working directory where it is below that."""
    path = Path(path).resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def choose(kind, name, choices):
    """Returns name if it is one of the choices. Raises UserError that lists them if not."""
    if name not in choices:
        raise UserError(f"unknown {kind} {name!r}; choose from {', '.join(choices)}")
    return name


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
        choose("recipe entry", key, list(types))
        try:
            changes[key] = types[key](text)
        except ValueError:
            raise UserError(f"--set {setting}: {key} is a {types[key].__name__}, {text!r} is not") from None
    return dataclasses.replace(recipe, **changes)
