"""A progress bar for functions that report their progress."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from tqdm import tqdm


@contextmanager
def progress_bar(name: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar after half a second; yields a function that takes the numbers of steps done and in all."""
    with tqdm(desc=name, unit=f" {unit}", delay=0.5) as bar:

        def progress(done: int, every: int) -> None:
            bar.total = every
            bar.update(done - bar.n)

        yield progress


@contextmanager
def steps_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show one bar a step; yields a function of the step's name and the numbers of its parts done and in all."""
    with ExitStack() as stack:
        shown: dict[str, Callable[[int, int], None]] = {}

        def progress(step: str, done: int, every: int) -> None:
            if step not in shown:
                # The bar of the step before ends here.
                stack.close()
                shown.clear()
                shown[step] = stack.enter_context(progress_bar(step, "parts"))
            shown[step](done, every)

        yield progress
