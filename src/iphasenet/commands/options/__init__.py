"""Options of the subcommands, one module each. They load no slow library, so that help is printed at once."""

import argparse


class DefaultsHelp(argparse.ArgumentDefaultsHelpFormatter):
    """Adds its default to the help of every option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        without = action.default in (None, []) or action.default is False
        return action.help if without else super()._get_help_string(action)
