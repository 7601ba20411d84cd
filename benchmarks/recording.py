"""How much each imperfection of a recording costs: the images of a field test, recorded with one of them at a time.

python -m benchmarks.recording config/field.yaml --output results/recording.csv

Needs the simulated specimens of that run (`snakemake --until simulate_specimen`). Perfect crystals and wedges are
recorded at 1e5 e/Å² on a perfect detector, then with one imperfection, or with one setting told wrong. The network for
any crystal is told nothing of the specimen; the network of a few crystals is told everything of those that it knows.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas
import yaml
from snakemake.utils import update_config

from iphasenet.base.devices import use_threads
from iphasenet.field_test.plan import field_specimens
from iphasenet.field_test.recording import Recorder
from iphasenet.field_test.scores import score_rows
from iphasenet.field_test.simulation import load_truths, told
from iphasenet.field_test.ways import Ways
from iphasenet.microscope.acquisition import Acquisition
from iphasenet.microscope_files.segmented_image import SegmentedImage
from iphasenet.planning.field_settings import FieldTest

DOSE = 1e5

Change = Callable[[Recorder], Recorder]
Mistake = Callable[[SegmentedImage], SegmentedImage]


def imperfect(**changes: float) -> Change:
    """Give a recorder other scan noise or another detector."""
    own = {name: value for name, value in changes.items() if name in ("dark_offset", "saturation")}
    scan = {name: value for name, value in changes.items() if name not in own}
    return lambda recorder: replace(recorder, acquisition=replace(recorder.acquisition, **scan), **own)


IMPERFECTIONS: dict[str, Change] = {
    "none": imperfect(),
    "read-out noise of 0.3 electrons": imperfect(readout_electrons=0.3),
    "gains 1 % off": imperfect(gain_mismatch=0.01),
    "gains 5 % off": imperfect(gain_mismatch=0.05),
    "jitter of 0.03 Å": imperfect(jitter_angstrom=0.03),
    "jitter of 0.1 Å": imperfect(jitter_angstrom=0.1),
    "drift of 0.2 Å": imperfect(drift_angstrom=0.2),
    "drift of 1 Å": imperfect(drift_angstrom=1.0),
    "zeros 0.001 of the beam off": imperfect(dark_offset=1e-3),
    "zeros 0.005 of the beam off": imperfect(dark_offset=5e-3),
    "saturation of up to 3 %": imperfect(saturation=0.03),
    "saturation of up to 20 %": imperfect(saturation=0.2),
}

DOSES = (1e3, 1e4, 1e6, 1e7)


def wrong(**factors: float) -> Mistake:
    """Image with numbers that are told wrong by factors."""
    return lambda image: replace(image, **{name: getattr(image, name) * by for name, by in factors.items()})


MISTAKES: dict[str, Mistake] = {
    "beam intensity told 5 % too large": wrong(beam_intensity=1.05),
    "beam intensity told 20 % too large": wrong(beam_intensity=1.2),
    "semiangle told 5 % too large": wrong(semiangle_mrad=1.05),
    "collection angles told 10 % too large": wrong(detector_inner_mrad=1.1, detector_outer_mrad=1.1),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Record, reconstruct, score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="configuration of the field test")
    parser.add_argument("--output", type=Path, required=True, help="table to be made (.csv)")
    parser.add_argument("--images", type=int, default=1000, help="images of each specimen at most")
    parser.add_argument("--pixels", type=int, default=200, help="largest side of an image")
    options = parser.parse_args(arguments)
    config = yaml.safe_load(Path("config/config.yaml").read_text(encoding="utf-8"))
    update_config(config, yaml.safe_load(options.config.read_text(encoding="utf-8")))
    perfect = Recorder(config["image"]["sampling_angstrom"], Acquisition(), 0.0, 0.0, config["seed"])
    ways = Ways.load(FieldTest(**config["field_test"]))
    cases: list[tuple[str, float, Recorder, Mistake]] = [
        *((name, DOSE, change(perfect), lambda image: image) for name, change in IMPERFECTIONS.items()),
        *((f"dose {dose:.0e} e/Å²", dose, perfect, lambda image: image) for dose in DOSES),
        *((name, DOSE, perfect, mistake) for name, mistake in MISTAKES.items()),
    ]
    rows = []
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with use_threads(1):
        for specimen in field_specimens(config):
            path = Path("results") / config["run"] / "field" / "images" / f"{specimen.name}.npz"
            if specimen.kind not in ("crystal", "wedge") or specimen.energy_kev != 200 or not path.exists():
                continue
            pairs = zip(specimen.images, load_truths(path), strict=True)
            small = [(image, truth) for image, truth in pairs if image.pixels <= options.pixels][: options.images]
            for image, truth in small:
                for name, dose, recorder, mistake in cases:
                    recorded = mistake(recorder.image(replace(image, dose=dose), truth.segments))
                    known = {"told exactly": told(specimen, image, truth, False), "nothing told": {}}
                    results = list(ways.networks(recorded, specimen.group == "known", known))
                    for row in score_rows(specimen, image, truth, perfect.sampling, results):
                        rows.append({**row, "case": name})
            # What is there is kept if the benchmark is stopped.
            pandas.DataFrame(rows).to_csv(options.output, index=False)
            print(specimen.name, flush=True)
    print(summarised(pandas.DataFrame(rows)).to_string(float_format="{:.3f}".format))


def summarised(table: pandas.DataFrame) -> pandas.DataFrame:
    """Medians over images: correlations, error of the mean potential [%], and the correlation that is expected."""
    level = 100 * table["level_error"].abs()
    names = ["columns_pearson", "potential_pearson", "level", "expected_pearson"]
    medians = table.assign(level=level).groupby(["case", "way"], sort=False)[names].median()
    return medians.unstack()


if __name__ == "__main__":
    main()
