"""What means that the user's input is wrong, or doubtful."""


class InputError(ValueError):
    """Bad input, told in one line: what is wrong, what was found, what is allowed."""


class InputWarning(UserWarning):
    """One line about input that is used, but not as it stands."""
