"""The error and the warning for input of a user that is wrong or doubtful."""


class InputError(ValueError):
    """Bad input, told in one line: what is wrong, what was found, what is allowed."""


class InputWarning(UserWarning):
    """One line about input that is used, but not exactly as it was given."""
