"""The one error that is the user's to mend."""

import contextlib


class UserError(Exception):
    """A mistake that the user can mend. Its text, one line, says what, where and what to do."""


@contextlib.contextmanager
def writing(path):
    """Turns what fails in the block, on a full disk or without permission, into a UserError that names the path."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
