"""Small tables of an evaluation, as figures read them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from iphasenet.base.drawing import METHODS
from iphasenet.base.files import write_table

PEARSON = {
    "model": 0.98,
    "idpc": 0.1,
    "wiener": 0.4,
    "phase": 0.2,
    "idpc_told": 0.15,
    "wiener_told": 0.7,
    "phase_told": 0.25,
    "nearest": 0.3,
}
TYPES = {
    "GaN": {"Ga+N": False},
    "LiCoO2": {"Co": False, "Li": True, "O": True},
    **{name: {"A+O": False, "B": False, "O": True} for name in ("KNbO3", "MoS2", "PVSK", "SrTiO3", "BaTiO3")},
}
NOISE = ("none", "shot", "shot+readout", "shot+gains", "shot+scan", "all")


@dataclass(frozen=True)
class Tables:
    """Tables of an evaluation, written to a folder."""

    folder: Path
    materials: Sequence[str] = ("GaN", "LiCoO2")
    thicknesses: Sequence[float] = (20.0, 60.0, 120.0)
    doses: Sequence[float] = (1e4, 1e5, 1e6)
    methods: Sequence[str] = tuple(METHODS)

    def write(self, name: str, rows: list[dict[str, Any]]) -> Path:
        path = self.folder / f"{name}.parquet"
        write_table(pd.DataFrame(rows), path)
        return path

    def samples(self, **changed: Any) -> Path:
        """Predicted means are 1 % too low at 1e5 e/Å² and right elsewhere."""
        rows = [
            {"sample_id": f"{material}-{thickness:g}", "material": material, "thickness_nm": thickness, "dose": dose,
             "method": method, "pearson": PEARSON[method], "mae_share_of_max": (1 - PEARSON[method]) / 5,
             "mean_true": 200 * thickness, "mean_predicted": 200 * thickness * (0.99 if dose == 1e5 else 1.0),
             "maximum_true": 600 * thickness, "maximum_predicted": 630 * thickness, **changed}
            for material in self.materials for thickness in self.thicknesses for dose in self.doses
            for method in self.methods
        ]  # fmt: skip
        return self.write("samples", rows)

    def summary(self, half_width: float | None = 0.01) -> Path:
        def scores(shift: float) -> dict[str, Any]:
            means = {
                method: {"pearson": PEARSON[method] - shift, "mae_share_of_max": (1 - PEARSON[method] + shift) / 5}
                for method in self.methods
            }
            ends = {"low": half_width and -half_width, "high": half_width}
            return {
                method: {
                    name: {"mean": mean, **{k: e if e is None else mean + e for k, e in ends.items()}}
                    for name, mean in numbers.items()
                }
                for method, numbers in means.items()
            }

        by = {name: {f"{level:g}": scores(i / 100) for i, level in enumerate(levels)}
              for name, levels in (("thickness_nm", self.thicknesses), ("dose", self.doses))}  # fmt: skip
        columns = {method: {f"{m}: {c}": self.column(method, light) for m in self.materials
                            for c, light in TYPES[m].items()} for method in self.methods}  # fmt: skip
        path = self.folder / "summary.json"
        path.write_text(json.dumps({"by": by, "columns": columns}))
        return path

    @staticmethod
    def column(method: str, light: bool) -> dict[str, float | None]:
        """The phase inversion finds no light column."""
        none = method.startswith("phase") and light
        rate = 0.0 if none else PEARSON[method] / (2 if light else 1)
        return {
            "detection_rate": rate,
            "position_error_pm": None if none else 5 / rate,
            "integrated_absolute_error": 0.02 / PEARSON[method],
        }

    def columns(self) -> Path:
        types = [(m, c, light) for m in self.materials for c, light in [*TYPES[m].items(), ("spurious", False)]]
        rows = [{"material": m, "column": c, "light": light, "method": method}
                for m, c, light in types for method in self.methods]  # fmt: skip
        return self.write("columns", rows)

    def altered(self, kinds: Sequence[str] = ("metadata", "noise"), **changed: Any) -> Path:
        names = {"metadata": ("nothing", "thickness", "tilt", "gamma", "all"), "noise": NOISE}
        rows = [
            {"sample_id": f"{m}-{t:g}", "material": m, "thickness_nm": t, "kind": kind, "altered": name,
             "pearson": 0.9 - 0.1 * i - 0.02 * j, "mae_share_of_max": 0.02 + 0.01 * i + 0.002 * j, **changed}
            for kind in kinds for i, name in enumerate(names.get(kind, ("other",)))
            for j, m in enumerate(self.materials) for t in self.thicknesses
        ]  # fmt: skip
        return self.write("altered", rows)

    def coverage(self) -> Path:
        levels = (0.5, 0.8, 0.9, 0.95, 0.99)
        rows = [{"material": m, "dose": d, "level": level, "covered": level - 0.1 * i,
                 "spread_over_error": 0.9 + i / 10}
                for m in self.materials for i, d in enumerate(self.doses) for level in levels]  # fmt: skip
        return self.write("coverage", rows)

    def spectra(self) -> Path:
        powers = {"truth": 1.0, **{method: 0.5 * PEARSON[method] for method in self.methods}}
        rows = [{"material": m, "dose": d, "method": method, "frequency": f, "power": power * 10 ** (-2 * f) * d / 1e5}
                for m in self.materials for d in self.doses for method, power in powers.items()
                for f in (1.5, 0.1, 0.5)]  # fmt: skip
        return self.write("spectra", rows)

    def windows(self) -> list[Path]:
        """One file a material, the largest window first."""
        return [
            self.write(f"windows_{m}", [{"material": m, "thickness_nm": t, "window_angstrom": w,
                                         "difference": t / 1000 * np.exp(-w / 10)}
                                        for t in self.thicknesses for w in (50.0, 40.0, 25.0)])
            for m in self.materials
        ]  # fmt: skip

    def history(self) -> Path:
        return metrics_csv(self.folder / "history.csv", [(0, 2.0, 3.0, 0.1), (1, 0.1, 2.0, 0.2)])


def metrics_csv(path: Path, epochs: list[tuple[int, float, float, float]]) -> Path:
    """Training's log: a row for validation, a row for training, one for the learning rate."""
    rows: list[dict[str, float]] = []
    for epoch, train, validation, pearson in epochs:
        rows.append({"epoch": epoch, "validation_loss": validation, "validation_pearson": pearson})
        rows.append({"epoch": epoch, "train_loss": train})
        rows.append({"epoch": epoch, "learning_rate": 1e-4})
    pd.DataFrame(rows).to_csv(path, index=False)
    return path
