from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures that were saved, one an output; their files are empty, for rendering takes most of the time."""
    saved: list[Figure] = []

    def keep(figure: Figure, path: Path, **_: Any) -> None:
        saved.append(figure)
        path.touch()

    monkeypatch.setattr(Figure, "savefig", keep)
    return saved
