"""What every stage uses: errors, files, numbers a user may give, devices, logs.

It knows nothing of crystals, images or networks. Bad input is an `errors.InputError`; `error_lines.one_line`
prints it as one line where a program ends. `files` writes outputs whole or not at all, `outputs` says what a command
may overwrite. `reading`, `tables` and `seals` open what an earlier stage wrote, and `quantities` holds the range of
every number that a user may give. `devices` chooses where torch computes, and `drawing` gives all figures one look.
"""
