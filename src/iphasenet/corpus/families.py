"""Families: crystals that are related, and must be trained on or tested together."""

from collections.abc import Hashable, Sequence


def families(kinds: Sequence[Sequence[Hashable]]) -> list[int]:
    """
    Put crystals that have something in common into one family, and the relatives of their relatives with them.

    Parameters
    ----------
    kinds : sequence of sequence of hashable
        What each crystal shares with its relatives: its structure type, the parent type, its composition.

    Returns
    -------
    list of int
        Number of each crystal's family, in the order in which families first appear.
    """
    parents = list(range(len(kinds)))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    first: dict[Hashable, int] = {}
    for index, held in enumerate(kinds):
        for kind in held:
            a, b = root(first.setdefault(kind, index)), root(index)
            parents[max(a, b)] = min(a, b)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(index), len(numbers)) for index in range(len(kinds))]
