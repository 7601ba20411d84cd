"""`iphasenet render`: make one sample of a data set again from its crystal structure."""

import argparse
from typing import Any

import numpy as np
import xarray
import zarr
from numpy.dtypes import StringDType
from numpy.typing import NDArray

from iphasenet.base.devices import choose_device
from iphasenet.base.errors import InputError
from iphasenet.base.marks import SAMPLE
from iphasenet.base.outputs import Output, check_outputs
from iphasenet.base.seals import write_xarray
from iphasenet.commands.progress import progress_bar
from iphasenet.dataset.reader import find_material, open_dataset, read_rows
from iphasenet.microscope.detector import SEGMENTS
from iphasenet.planning.regeneration import Remade, remake_sample
from iphasenet.simulation.image import Image


def run(options: argparse.Namespace) -> None:
    """Make the sample, write it where asked, and say whether it equals the stored one."""
    check_outputs([options.output and Output("--output", options.output, SAMPLE, (".zarr",))], [options.dataset])
    root = open_dataset(options.dataset)
    configuration: Any = root.attrs.get("configuration")
    if configuration is None:
        raise InputError(f"{options.dataset}: found no configuration; allowed: a data set that this workflow assembled")
    device = choose_device(options.device)
    with progress_bar("multislice", "waves") as progress:
        remade = remake_sample(configuration, options.sample, options.structures, device, options.memory, progress)
    if options.output is not None:
        data = _as_xarray(remade, Image(**configuration["image"]), configuration["noise"]["evaluation_doses"])
        write_xarray(options.output, data, SAMPLE)
    differing = _differences(root, remade)
    if differing:
        raise InputError(
            f"{options.sample}: {', '.join(differing)} differ from the stored sample; equal bytes need the structures, "
            "processor and library versions of the data set"
        )
    print(f"{options.sample}: equal to the stored one, bit for bit")


def _as_xarray(remade: Remade, image: Image, doses: list[float]) -> xarray.Dataset:
    """Arrays of one sample as they stand in the data set, without the sample's dimension."""
    current = {"units": "1", "description": "fraction of the beam current"}
    potential = {"units": "V Å", "description": "projected electrostatic potential"}
    data = xarray.Dataset(
        {
            "segments": (("segment", "y", "x"), remade.rendered.segments, current),
            "potential": (("y", "x"), remade.rendered.potential, potential),
        },
        coords={
            "segment": ("segment", np.array(SEGMENTS, dtype=StringDType())),
            "y": ("y", image.positions, {"units": "Å"}),
            "x": ("x", image.positions, {"units": "Å"}),
        },
        attrs={"material": remade.material, **remade.rendered.metadata},
    )
    if remade.noisy_segments is not None:
        data["noisy_segments"] = (("dose", "segment", "y", "x"), remade.noisy_segments, current)
        data = data.assign_coords(dose=("dose", doses, {"units": "e/Å²"}))
    return data


def _differences(root: zarr.Group, remade: Remade) -> list[str]:
    """Names of the arrays that differ from the stored sample."""
    group: Any = find_material(root, remade.material)
    names = [str(name) for name in read_rows(group, "sample_id")]
    row = names.index(str(remade.rendered.metadata["sample_id"]))
    pairs: dict[str, tuple[NDArray[Any], int]] = {
        "segments": (remade.rendered.segments, row),
        "potential": (remade.rendered.potential, row),
    }
    if remade.noisy_segments is not None:
        evaluated = read_rows(group, "evaluation_sample").tolist()
        pairs["noisy_segments"] = (remade.noisy_segments, evaluated.index(row))
    differing = [
        name
        for name, (made, index) in pairs.items()
        if made.tobytes() != read_rows(group, name, np.array([index]))[0].tobytes()
    ]
    values = {name: read_rows(group, name, np.array([row]))[0] for name in remade.rendered.metadata}
    return differing + [name for name, value in remade.rendered.metadata.items() if value != values[name]]
