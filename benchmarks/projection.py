"""Error of the projection of inclined columns, given the true columns, in samples like those of the data set."""

import numpy as np
import pandas
import torch
from common import ZONE_AXES, cell_of

from iphasenet.evaluation.metrics import score
from iphasenet.multislice.numerics import sampled_potential
from iphasenet.network.column_projection import column_shift, project_columns
from iphasenet.simulation.grid import Grid, samples
from iphasenet.simulation.image import Image
from iphasenet.simulation.rendering import Field, render
from iphasenet.simulation.tilts import lab_angles

GRID = Grid((20, 40, 60, 80, 100, 120, 150), 12, 0.3, 1, 0.15, 0.15)
IMAGE = Image(128, 0.2)


def main() -> None:
    """Print Pearson and mean absolute error by thickness, without leans of more than the field."""
    torch.set_num_threads(1)
    rows = []
    for material in ZONE_AXES:
        potential = sampled_potential(cell_of(material), 0.1, 0.1)
        slicing = potential.slicing(0.3)
        lengths = potential.lengths[:2]
        for sample in samples(5, material, GRID):
            total = slicing.nearest(10 * sample.thickness_nm)
            field = Field(IMAGE, sample.gamma, (sample.offset[0] * lengths[0], sample.offset[1] * lengths[1]))
            leans = (sample.orientation.lean, (0.0, 0.0))
            truth, columns = (render(potential.projected(slicing, total, lean), lengths, field) for lean in leans)
            metadata = torch.tensor([[sample.thickness_nm, *lab_angles(sample), sample.gamma]])
            shift = column_shift(metadata)
            projected = project_columns(torch.from_numpy(columns)[None], shift, IMAGE.sampling_angstrom)
            found = {name: float(value[0]) for name, value in score(projected.numpy(), truth[None]).items()}
            if float(shift.abs().max()) < IMAGE.pixels * IMAGE.sampling_angstrom:
                rows.append({"thickness_nm": sample.thickness_nm, "material": material} | found)
    table = pandas.DataFrame(rows)
    print(f"{len(table)} samples; with a Pearson correlation below 0.99: {np.sum(table['pearson'] < 0.99)}")
    columns = ["pearson", "mae_share_of_max"]
    print(table.groupby("thickness_nm")[columns].agg(["mean", "min", "max"]).round(4))


if __name__ == "__main__":
    main()
