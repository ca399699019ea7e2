"""The one error that is the user's to mend."""


class UserError(Exception):
    """A mistake that the user can mend. Its text, one line, says what, where and what to do."""
