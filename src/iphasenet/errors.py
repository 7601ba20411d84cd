"""The one exception that means: the user's input is wrong."""


class InputError(ValueError):
    """Bad input, told in one line: what is wrong, what was found, what is allowed."""
