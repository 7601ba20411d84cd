"""Names that the workflow makes are those that its readers take."""

from iphasenet.dataset.names import check_samples
from iphasenet.planning.materials import crystals
from iphasenet.simulation.grid import Grid, samples


def test_every_crystals_samples_have_names_that_are_taken() -> None:
    """Those of one of several zone axes too, such as GaN_1-10."""
    config = {
        "materials": {"GaN": {"zone_axes": [[0, 0, 1], [1, -1, 0], [-9, 0, -9]]}, "MoS2": {"zone_axis": [0, 0, 1]}}
    }
    for name in crystals(config):
        check_samples(name, [sample.sample_id for sample in samples(1, name, Grid((0.5, 20), 3, 0.3, 2, 0.3, 0.3))])
