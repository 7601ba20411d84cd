"""Subcommands of `iphasenet`, a module each: `add_command` describes its options, `run` does it."""
