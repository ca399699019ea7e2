"""What goes wrong for a reason that the user can mend."""

import contextlib
import re


def printable(text):
    """A text in one line, without power over a terminal: names of files may hold line breaks and ESC sequences."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


class UserError(Exception):
    """A mistake that the user can mend. Its text, one line, says what, where and what to do."""

    def __str__(self):
        return printable(super().__str__())


@contextlib.contextmanager
def writing(path, errors=OSError):
    """Turns errors in the block, on a full disk or without permission, into a UserError that names the path.

    errors: what a writer raises; TensorFlow's raise tf.errors.OpError.
    """
    try:
        yield
    except errors as error:
        text = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        reason = re.search(r"(?:.*(?:; |\[Errno \d+\] ))?([^:]*)", text)[1]  # TensorFlow's, shutil's
        raise UserError(f"cannot write {path}: {reason}") from None
