"""Export of the data set to other formats: the published one (one .npz per sample) and HyperSpy's (.zspy)."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iphasenet.base.errors import InputError
from iphasenet.base.files import atomic_directory
from iphasenet.base.outputs import Output, check_outputs
from iphasenet.dataset.names import file_name
from iphasenet.dataset.reader import material_groups, open_dataset, read_rows
from iphasenet.dataset.writer import COORDINATES, OPTICS_COORDINATES
from iphasenet.microscope_files.hyperspy_files import create_signal, create_zspy, gather_metadata, uniform_axis
from iphasenet.simulation.grid import SPLITS

NPZ_FOLDERS = {"train": "train", "validation": "val", "test": "test"}
"""Folder of each split. The published set has no test split, so that ours has a folder of its own."""

CHUNK_BYTES = 2**24
"""Size of the chunks of a material's .zspy [bytes], in whole samples; it limits the memory of the export."""

_QUANTITIES = {"segments": "Intensity (fraction of the beam current)", "potential": "Projected potential (V Å)"}


def export_npz(
    dataset: Path,
    folder: Path,
    materials: Sequence[str] | None = None,
    dose: float | None = None,
    compressed: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> int:
    """
    Write the data set in the published format, one .npz per sample in the folders train, val and test.

    Parameters
    ----------
    dataset : path
        Assembled store.
    folder : path
        Folder to be made, new or empty; it appears whole or not at all.
    materials : sequence of str, optional
        Names of the materials; all if not given.
    dose : float, optional
        Write the validation and test images with the fixed noise of this dose [e/Å²]; train is always noise-free.
    compressed : bool
        Whether to compress the files.
    progress : callable, optional
        Called after each file with the number of files done and their total.

    Returns
    -------
    int
        Number of files.

    Notes
    -----
    A file holds `input` (4, y, x) float16 and `sum` (y, x) float32, fractions of the beam current; `potential` (y, x)
    float32 [V Å]; `material`; `mode`; `thickness_nm`; `fov_angstrom`; `sampling` [Å]; `res`, pixels along a side;
    `detector_inner_mrad`; `detector_outer_mrad`; `rotation`, gamma, alpha and beta [degrees]. Half precision rounds a
    fraction above 6e-5 by at most 0.05 % (2**-11), a smaller one by 3e-8 of the beam current; the sum is of unrounded
    values.
    """
    folder, (attributes, found) = folder.resolve(), _open(dataset, dose)
    unknown = [name for name in materials or () if name not in found]
    if unknown:
        raise InputError(f"materials: found {', '.join(unknown)}; allowed: {', '.join(found)}")
    chosen = [material for name, material in found.items() if not materials or name in materials]
    samples = [(material, sample) for material in chosen for sample in range(len(material.values["split"]))]
    pixels = int(np.prod(chosen[0].group["potential"].shape[1:]))
    # Half precision images, their sum and the potential.
    size = 0 if compressed else 16 * len(samples) * pixels
    check_outputs([Output("--output", folder, folder=True, size=size)], [dataset])
    save = np.savez_compressed if compressed else np.savez
    with atomic_directory(folder) as temporary:
        for place in NPZ_FOLDERS.values():
            (temporary / place).mkdir(parents=True)
        for number, (material, sample) in enumerate(samples, 1):
            place = NPZ_FOLDERS[material.values["split"][sample]]
            arrays = _npz_arrays(material, sample, attributes["configuration"]["optics"])
            save(temporary / place / f"{file_name(material.values['sample_id'][sample])}.npz", **arrays)
            if progress is not None:
                progress(number, len(samples))
    return len(samples)


def export_hyperspy(dataset: Path, output: Path, name: str, dose: float | None = None) -> list[Path]:
    """
    Write a sample or a material as HyperSpy's signals: one file with the segments' images, one with the potential.

    Parameters
    ----------
    dataset : path
        Assembled store.
    output : path
        Name of the new files: a.zspy makes a-segments.zspy and a-potential.zspy.
    name : str
        A sample_id, or a material, whose samples are the first axis.
    dose : float, optional
        Write images with the fixed noise of this dose [e/Å²]; for a material, only its validation and test samples.

    Returns
    -------
    list of Path
        The files: segments ([sample,] segment, y, x) and potential ([sample,] y, x), float32, with y and x as the
        signal axes.

    Notes
    -----
    The metadata under `iphasenet` describe the samples, as lists for a material; the original metadata are the
    attributes of the data set. HyperSpy opens .zspy if RosettaSciIO is installed with its extra `zspy`.
    """
    if output.suffix.lower() != ".zspy":
        raise InputError(f"{output}: found the ending '{output.suffix}'; allowed: .zspy")
    attributes, materials = _open(dataset, dose)
    material, samples = _find(materials, name, dose)
    paths = {kind: output.with_name(f"{output.stem}-{kind}.zspy") for kind in _QUANTITIES}
    check_outputs([Output("--output", path) for path in paths.values()], [dataset])
    with ExitStack() as stack:
        for kind, path in paths.items():
            temporary = stack.enter_context(atomic_directory(path))
            _write_zspy(temporary, material, samples, kind, _describe(material, samples, name, kind, attributes))
    return list(paths.values())


class _Material:
    """A material of the store, and the dose of the noisy images that are wanted of it [e/Å²]."""

    def __init__(self, name: str, group: Any, dose: float | None) -> None:
        self.name, self.group, self.dose = name, group, dose
        drawn = [name for name in OPTICS_COORDINATES if name in group]
        names = (*COORDINATES, *drawn, "evaluation_sample", "dose", "segment", "y", "x")
        self.values: dict[str, NDArray[Any]] = {key: read_rows(group, key) for key in names}
        self.values["split"] = np.array(SPLITS)[self.values["split"]]
        self.corner, second = self.values["x"][:2].tolist()
        self.sampling = round(second - self.corner, 9)
        self.noisy_rows = {int(sample): row for row, sample in enumerate(self.values["evaluation_sample"])}
        if dose is not None and dose not in self.values["dose"]:
            allowed = ", ".join(f"{value:g}" for value in self.values["dose"])
            raise InputError(f"dose: found {dose:g} e/Å²; allowed: none, or one that {name} has: {allowed}")

    def read(self, kind: str, samples: Sequence[int]) -> NDArray[np.float32]:
        """Read potential (sample, y, x) or segments (sample, 4, y, x); with a dose, noisy ones except for train."""
        noisy = kind == "segments" and self.dose is not None and self.noisy_rows.keys() >= set(samples)
        if not noisy:
            return read_rows(self.group, kind, np.array(samples))
        rows = np.array([self.noisy_rows[sample] for sample in samples])
        dose = self.values["dose"].tolist().index(self.dose)
        return read_rows(self.group, "noisy_segments", rows)[:, dose].astype(np.float32)


def _open(dataset: Path, dose: float | None) -> tuple[dict[str, Any], dict[str, _Material]]:
    """Attributes of the data set, and its materials in the order of their names."""
    root = open_dataset(dataset)
    groups, attributes = material_groups(root), dict[str, Any](root.attrs)
    if not groups or "optics" not in attributes.get("configuration", {}):
        raise InputError(f"{dataset}: found no materials with a configuration; allowed: an assembled data set")
    return attributes, {name: _Material(name, group, dose) for name, group in groups.items()}


def _find(materials: Mapping[str, _Material], name: str, dose: float | None) -> tuple[_Material, list[int]]:
    """Find the material and the samples that a name means."""
    for material in materials.values():
        if name == material.name:
            return material, list(range(len(material.values["split"])) if dose is None else material.noisy_rows)
        samples = np.flatnonzero(material.values["sample_id"] == name).tolist()
        if samples and dose is not None and samples[0] not in material.noisy_rows:
            raise InputError(f"dose: found {dose:g} e/Å² for {name} of train; allowed: validation or test samples")
        if samples:
            return material, samples
    raise InputError(f"name: found '{name}'; allowed: a sample_id, or a material: {', '.join(materials)}")


def _npz_arrays(material: _Material, sample: int, optics: Mapping[str, float]) -> dict[str, Any]:
    """Arrays of one file of the published format."""
    segments = material.read("segments", [sample])[0]
    return {
        "input": segments.astype(np.float16),
        "sum": segments.sum(axis=0),
        "potential": material.read("potential", [sample])[0],
        "material": material.name,
        "mode": material.group.attrs.get("mode", "periodic"),
        "thickness_nm": material.values["thickness_nm"][sample],
        "fov_angstrom": segments.shape[-1] * material.sampling,
        "sampling": material.sampling,
        "res": segments.shape[-1],
        **{
            f"{name}_mrad": float(material.values[name][sample] if name in material.values else optics[f"{name}_mrad"])
            for name in ("detector_inner", "detector_outer")
        },
        "rotation": np.array([material.values[name][sample] for name in ("gamma", "alpha", "beta")], np.float32),
    }


def _describe(material: _Material, samples: list[int], name: str, kind: str, attributes: Any) -> dict[str, Any]:
    """Describe a signal in HyperSpy's terms. One sample has no axis of samples, and numbers instead of lists."""
    single, values, optics = name != material.name, material.values, attributes["configuration"]["optics"]
    drawn = [key for key in OPTICS_COORDINATES if key in values]
    microscope = {"beam_energy": optics["energy_kev"]}
    # Several samples whose optics were drawn have no common angle.
    if single and drawn:
        microscope["convergence_angle"] = float(values["semiangle"][samples[0]])
    elif not drawn:
        microscope["convergence_angle"] = optics["semiangle_mrad"]
    images = {"segments": values["segment"].tolist(), "dose": material.dose} if kind == "segments" else {}
    identity = {"material": material.name, "zone_axis": material.group.attrs.get("zone_axis"), **images}
    columns = {key: values[key][samples].tolist() for key in (*COORDINATES, *drawn)}
    axes = material.group[kind].metadata.dimension_names[single:]
    return {
        **{f"axis-{number}": _axis(material, axis, samples) for number, axis in enumerate(axes)},
        "metadata": {
            "General": {"title": f"{name} {kind}"},
            "Signal": {"signal_type": "", "quantity": _QUANTITIES[kind]},
            "Acquisition_instrument": {"TEM": {"acquisition_mode": "STEM", **microscope}},
            "iphasenet": identity | {key: column[0] if single else column for key, column in columns.items()},
        },
        "original_metadata": attributes,
    }


def _axis(material: _Material, name: str, samples: list[int]) -> dict[str, Any]:
    """Axis of HyperSpy: y and x are signal axes, the others navigation axes."""
    size = len(samples) if name == "sample" else len(material.values[name])
    if name in ("y", "x"):
        return uniform_axis(name, size, False, material.sampling, "Å", material.corner)
    return uniform_axis(name, size, navigate=True)


def _write_zspy(path: Path, material: _Material, samples: list[int], kind: str, tree: Mapping[str, Any]) -> None:
    """Write a signal block by block."""
    single, sizes = tree["axis-0"]["name"] != "sample", material.group[kind].shape[1:]
    block = min(len(samples), max(1, CHUNK_BYTES // (4 * int(np.prod(sizes)))))
    shape, chunks = (sizes, sizes) if single else ((len(samples), *sizes), (block, *sizes))
    data = create_signal(create_zspy(path), tree["metadata"]["General"]["title"], tree, shape, chunks)
    for start in range(0, len(samples), block):
        images = material.read(kind, samples[start : start + block])
        data[... if single else slice(start, start + block)] = images[0] if single else images
    gather_metadata(path)
