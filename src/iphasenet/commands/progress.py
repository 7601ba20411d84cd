"""A progress bar for functions that report how much is done."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress_bar(name: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar after half a second; yields a function of how many are done and how many there are."""
    with tqdm(desc=name, unit=f" {unit}", delay=0.5) as bar:

        def progress(done: int, every: int) -> None:
            bar.total = every
            bar.update(done - bar.n)

        yield progress
