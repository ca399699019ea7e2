"""What goes wrong for a reason that the user can mend."""

import contextlib
import re


def printable(text):
    """A text in one line, without power over a terminal: names of files may hold line breaks and ESC sequences."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


class UserError(Exception):
    """A mistake that the user can mend. Its text, one line, says what, where and what to do."""

    status = 1  # of the program that ends with it

    def __str__(self):
        return printable(super().__str__())


@contextlib.contextmanager
def writing(path, errors=OSError):
    """Turns errors in the block, on a full disk or without permission, into a UserError that names the path.

    errors: what a writer raises; TensorFlow's raise tf.errors.OpError.
    """
    try:
        yield
    except BrokenPipeError:  # of what is printed meanwhile
        raise
    except errors as error:
        raise UserError(f"cannot write {path}: {reason(error)}") from None


def reason(error):
    """Why something could not be written, in the system's words, which TensorFlow and shutil hide in longer ones."""
    words = re.search(r"(?:; |\[Errno \d+\] )([^:\n]+)", str(error))
    told = words[1] if words else str(error).partition("\n")[0]
    return getattr(error, "strerror", None) or told or type(error).__name__
