"""The corpus: many crystals that a data set can be made of, and which of them are related.

In: a folder of CIFs. `survey` reads each of them and lists what it holds, along which zone axes it can be simulated
(`beam_paths`), and what was refused and why. `structure_type` names its type, `families` which crystals have a type, a
parent type or a composition in common. Out: a table with one row for each file, from which `selection` takes crystals
and splits them, so that no relative of a test crystal is trained on.
"""
