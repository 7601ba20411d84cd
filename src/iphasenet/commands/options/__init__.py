"""Options of the subcommands, one module each. They load no slow library, so that help is printed at once."""

import argparse


def pair(text: str) -> tuple[str, float]:
    """Name and number of an argument such as Ga=0.06."""
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"found {text!r}; allowed: NAME=NUMBER, such as Ga=0.06 or Cs=1e4") from None


class DefaultsHelp(argparse.ArgumentDefaultsHelpFormatter):
    """Adds its default to the help of every option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        without = action.default in (None, []) or action.default is False
        return action.help if without else super()._get_help_string(action)
