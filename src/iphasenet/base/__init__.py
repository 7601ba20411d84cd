"""What every stage uses: errors, files, numbers a user may give, devices, logs.

Nothing of crystals, images or networks is known here. Bad input is an `errors.InputError`, and `error_lines.one_line`
makes one line of it where a program ends. `files` writes outputs whole or not at all, and `outputs` says what a command
may write over. `reading`, `tables` and `seals` open what an earlier stage wrote, and `quantities` holds the range of
every number. `devices` chooses where torch computes, and `drawing` gives all figures one look.
"""
