"""Options of each subcommand, a module each: they load no library that takes seconds, so that help comes at once."""
