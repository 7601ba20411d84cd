"""Subcommands of `iphasenet`, a module each: `run` does what its options say (`iphasenet.commands.options`)."""
