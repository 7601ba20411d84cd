"""A progress bar for functions that report their progress."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress_bar(name: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar after half a second; yields a function that takes the numbers of steps done and in all."""
    with tqdm(desc=name, unit=f" {unit}", delay=0.5) as bar:

        def progress(done: int, every: int) -> None:
            bar.total = every
            bar.update(done - bar.n)

        yield progress
