"""Variants of the network for any crystal differ in what they name alone."""

from pathlib import Path

import pytest
from benchmarks.column_ablation import VARIANTS, Variant, varied

from iphasenet.training.column_data import ColumnPlan

SPLITS = {f"crystal{number}_{axis}": "train" for number in range(120) for axis in ("001", "110")}

PLAN = ColumnPlan(
    configuration={
        "seed": 1,
        "column_network": {
            "model": {"width": 32, "resolution_angstrom": 0.6},
            "training": {
                "seed": 1, "epochs": 25, "crops_per_epoch": 8000, "validation_crops": 600, "crop_pixels": 64,
                "batch_size": 16, "learning_rate": 2e-3, "weight_decay": 1e-4, "start": "earlier.safetensors",
            },
        },
    },
    splits={**SPLITS, "other_001": "validation"},  # type: ignore[arg-type]
    batches={},
    data=Path("data"),
)  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_each_variant_is_a_plan_of_the_same_budget(name: str) -> None:
    made = varied(PLAN, VARIANTS[name], 20000)
    training = made.settings.training
    pixels = training.epochs * training.crops_per_epoch * training.crop_pixels**2
    assert pixels == pytest.approx(20000 * 64**2, rel=1e-3) and training.start is None
    assert made.splits["other_001"] == "validation"
    assert name == "as shipped" or made != varied(PLAN, Variant(), 20000)


def test_fewer_crystals_are_among_more_with_all_their_axes() -> None:
    few, more = (
        {name for name, split in varied(PLAN, Variant(crystals=count), 100).splits.items() if split == "train"}
        for count in (10, 30)
    )
    assert len(few) == 20 and len(more) == 60 and few < more
