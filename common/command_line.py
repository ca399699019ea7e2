"""The command line: errors of one line, and the flags that all scripts share."""

import argparse
import contextlib
import os
import re
import sys
import tempfile
from pathlib import Path

from common.errors import UserError, printable

ROOT = Path(__file__).resolve().parents[1]
CHECKPOINT_DIR = ROOT / "checkpoints"

for _number, _name in enumerate(("stdin", "stdout", "stderr")):
    if getattr(sys, _name) is None:  # closed, as by `>&-`: else a checkpoint would get its number, and what is printed
        os.dup2(os.open(os.devnull, os.O_RDWR), _number)
        setattr(sys, _name, open(_number, "w" if _number else "r"))  # noqa: SIM115, PTH123 (open to the end)


def run(main):
    """Runs main() as a program: exits with the status it returns (None is 0), and after a UserError with its own."""
    sys.stdout.reconfigure(errors="backslashreplace")  # for names of files that the terminal cannot show
    try:
        status = main()
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = error.status
    except BrokenPipeError:  # the reader went away, as in `... | head`
        print_nowhere(sys.stdout)
        status = 141  # 128 + SIGPIPE
    except OSError as error:
        if error.filename is None and _prints():  # not about a file that the user can do something about
            raise
        print(f"error: {printable(error.filename or 'standard output')}: {error.strerror}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        status = 130  # 128 + SIGINT, as shells report it
    except Exception as error:
        inner = re.search(r"\bUserError: (.+)", str(error))  # of a function that a graph called
        told = inner and inner[1]
        if type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's, which is not imported here
            first_line = str(error).partition("\n")[0]
            told = f"the memory is not enough, {first_line}; set a smaller batch_size, or --size"
        if not told:
            raise
        print(f"error: {told}", file=sys.stderr)
        status = 1
    sys.exit(status)


def print_nowhere(stream):
    """From now on, what is written to standard output or error vanishes: what read it has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _prints():
    """Whether standard output takes what was printed; if not, as on a full disk, nothing more is printed there."""
    try:
        print(flush=True)
    except OSError:
        print_nowhere(sys.stdout)
        return False
    return True


@contextlib.contextmanager
def quiet_stderr():
    """Holds back what C++ code writes to stderr, and shows it after all if the block fails."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, without the usage."""

    def error(self, message):
        self.exit(2, f"error: {printable(message)}; --help lists the flags\n")

    def parse_known_args(self, *args):
        """The logs follow the checkpoints."""
        result, unknown = super().parse_known_args(*args)
        if getattr(result, "log_dir", "") is None:
            result.log_dir = (ROOT if result.checkpoint_dir == CHECKPOINT_DIR else result.checkpoint_dir) / "logs"
        return result, unknown


def parser(description, networks, datasets, logs=True):
    """A Parser with the flags that trainer, tester, app and export share.

    networks: their names; an app knows them only once it needs TensorFlow, and passes None. Where no data set is named,
    and no network by others than trainers, the script's description says what is taken. logs: whether it writes such.
    """
    result = Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ", ".join(networks) if networks else "one of those in networks/ (the best, or the newest export)"
    result.add_argument("--network", metavar="NAME", choices=networks, help=known)
    result.add_argument(
        "--dataset", metavar="NAME", help=f"{', '.join(datasets)}, or your own pictures: a folder, a table or TFRecords"
    )
    result.add_argument(
        "--checkpoint-dir", metavar="DIR", type=Path, default=CHECKPOINT_DIR,
        help="where checkpoints are kept (default: checkpoints/ of the repository)",
    )
    if not logs:
        return result
    result.add_argument(
        "--device", metavar="NAME", default="auto",
        help="cpu, gpu or gpu:1; auto, the default: the first GPU, or the CPU; of a trainer also gpu:0,gpu:1 and gpus",
    )
    result.add_argument(
        "--log-dir", metavar="DIR", type=Path,
        help="where TensorBoard's files are kept (default: logs/ of the repository, or of DIR after --checkpoint-dir)",
    )
    return result


def add_data_dir(parser):
    parser.add_argument(
        "--data-dir", metavar="DIR", type=Path, default=Path(os.environ.get("DATA_DIR", ROOT / "data")),
        help="where data sets are kept (default: the environment variable DATA_DIR, or data/ of the repository)",
    )


def positive(kind, most=2**31 - 1):
    """The type of a flag that takes a number of a kind, int or float, above 0."""

    def parse(text):
        if not 0 < kind(text) <= most:
            raise argparse.ArgumentTypeError(f"{text} is out of range: above 0, up to {most}")
        return kind(text)

    parse.__name__ = kind.__name__  # argparse names it where kind(text) fails
    return parse


def shown(path):
    """A path as people read it: relative to the working directory where it is below that."""
    path = Path(path).resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
