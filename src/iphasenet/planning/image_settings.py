"""Settings of the user's images, which are keys of the configuration and options of `iphasenet reconstruct`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from iphasenet.base import quantities
from iphasenet.base.quantities import Quantity
from iphasenet.base.settings import Setting, Settings

_UNITS = ("_nm", "_deg", "_angstrom", "_kev", "_mrad", "_percent")

NumberOrName = Annotated[int | str, Setting(quantity=Quantity("", 1, 4, whole=True), most=100)]


@dataclass(frozen=True)
class ImageSettings(Settings, section="reconstruction.settings"):
    """Calibrations that the user's image files lack or have wrong, and choices of the reconstruction."""

    thickness_nm: Annotated[float | None, Setting("Thickness of the specimen.", quantities.THICKNESS)] = None
    tilt_deg: Annotated[
        tuple[float, float] | None,
        Setting(
            "Tilt of the crystal in the file's image, after the rotation: by alpha about x, then by beta about y.",
            quantities.ANGLE,
        ),
    ] = None
    rotation_deg: Annotated[
        float | None,
        Setting("Rotation of the crystal about the beam in the file's image, from x to y (down).", quantities.ANGLE),
    ] = None
    tilt_error_deg: Annotated[
        float | None,
        Setting(
            "Standard deviation of errors of the tilt about each axis [degrees], "
            f"{quantities.USUAL_TILT_ERROR:g} if not given; it increases the uncertainty.",
            quantities.TILT_ERROR,
        ),
    ] = None
    thickness_error_percent: Annotated[
        float | None,
        Setting(
            "Standard deviation of errors of the thickness [%], "
            f"{quantities.USUAL_THICKNESS_ERROR:g} if not given; it increases the uncertainty.",
            quantities.THICKNESS_ERROR,
        ),
    ] = None
    structure: Annotated[
        str | None,
        Setting(
            "File of the crystal structure (CIF), which is fitted to the images first, at 293 K: what it finds of "
            "thickness, tilt and rotation is told to the network. A told thickness or tilt is where the fit looks.",
            path=True,
        ),
    ] = None
    zone_axis: Annotated[
        tuple[int, int, int] | None,
        Setting("Zone axis [UVW] of that structure along the beam, 0 0 1 if not given.", quantities.LATTICE_INDEX),
    ] = None
    start: Annotated[
        str | None,
        Setting(
            "Network of `iphasenet train-start` for that structure and this microscope: the fit begins where it "
            "guesses the tilt.",
            path=True,
        ),
    ] = None
    columns: Annotated[
        bool | None,
        Setting("Also write the potential of the untilted columns, at their places at the entrance surface."),
    ] = None
    sampling_angstrom: Annotated[float | None, Setting("Pixel size of the images.", quantities.IMAGE_SAMPLING)] = None
    energy_kev: Annotated[float | None, Setting("Beam energy.", quantities.ENERGY)] = None
    semiangle_mrad: Annotated[float | None, Setting("Convergence semiangle of the probe.", quantities.SEMIANGLE)] = None
    detector_mrad: Annotated[
        tuple[float, float] | None,
        Setting("Inner and outer collection angle of the segments.", quantities.COLLECTION_ANGLE),
    ] = None
    beam_intensity: Annotated[
        float | Literal["auto"] | None,
        Setting(
            "Value of a pixel if the whole beam fell on one segment, in the file's unit; auto: the value that makes "
            "the segments' sum equal to that of the training images.",
            quantities.INTENSITY,
        ),
    ] = None
    dark_intensity: Annotated[
        float | None, Setting("Value of a pixel without electrons, in the file's unit.", quantities.INTENSITY)
    ] = None
    dose: Annotated[
        float | None,
        Setting(
            "Dose of the images [e/Å²], which is compared with that of the training; for a sample of a data set, it "
            "selects the noisy image.",
            quantities.DOSE,
        ),
    ] = None
    segment_order: Annotated[
        tuple[NumberOrName, NumberOrName, NumberOrName, NumberOrName] | None,
        Setting(
            "Number (1 to 4) or name of the file's image whose segment lies top-left, top-right, bottom-left and "
            "bottom-right."
        ),
    ] = None
    flip: Annotated[
        bool | None, Setting("Exchange left and right in the order, for a detector that is seen from behind.")
    ] = None
    scan_rotation_deg: Annotated[
        float | None, Setting("Rotation of the detector in the image, from x to y (down).", quantities.ANGLE)
    ] = None
    sample: Annotated[str | None, Setting("`sample_id` of a sample of a data set.", most=200)] = None
    frame: Annotated[
        int | None, Setting("Number of a scan in a series of scans, counted from 0.", quantities.INDEX)
    ] = None
    detector_name: Annotated[
        str | None, Setting("Name of the segmented detector, such as DF4, if a file holds several.", most=100)
    ] = None
    scan_shape: Annotated[
        tuple[int, int] | None,
        Setting(
            "Rows and columns of the scan in a .mib file, flyback included; needed if its .hdr is missing.",
            quantities.COUNT,
        ),
    ] = None
    resample: Annotated[
        bool | None, Setting("Interpolate images whose pixels are not square; they are refused otherwise.")
    ] = None
    camera_pixel_mrad: Annotated[
        float | None, Setting("Angle of one camera pixel in 4D-STEM patterns.", quantities.CAMERA_PIXEL)
    ] = None
    camera_centre: Annotated[
        tuple[float, float] | None,
        Setting("Column and row of the undiffracted beam in 4D-STEM patterns.", quantities.CAMERA_POSITION),
    ] = None
    camera_rotation_deg: Annotated[
        float | None, Setting("Rotation of the camera in the image, from x to y (down).", quantities.ANGLE)
    ] = None
    turns: Annotated[
        Literal[1, 4] | None,
        Setting(
            "Number of quarter turns of the images over which predictions are averaged, 4 if not given; 1 is four "
            "times as fast."
        ),
    ] = None


def option_of(key: str) -> str:
    """Name the option of `iphasenet reconstruct` for a key of the configuration: it has no unit at its end."""
    for unit in _UNITS:
        key = key.removesuffix(unit)
    return f"--{key.replace('_', '-')}"
