"""Which potential is the truth of images of a crystal whose atoms move."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from iphasenet.crystal.potential import CrystalPotential

Truth = Literal["thermal", "rest"]


def configured_truth(config: Mapping[str, Any]) -> Truth:
    """Truth that the configuration of a run asks for."""
    found: Truth = config["simulation"].get("truth", "thermal")
    return found


def truth_potential(potential: "CrystalPotential", truth: Truth = "thermal") -> "CrystalPotential":
    """
    Potential whose projection belongs to the images of a crystal.

    Parameters
    ----------
    potential : CrystalPotential
        Potential of the cell, with its thermal motion.
    truth : {'thermal', 'rest'}
        Averaged over thermal motion, as the electrons see it, or of the atoms at rest.

    Returns
    -------
    CrystalPotential
        Potential without motion; that of a crystal at rest is unchanged.
    """
    return potential.at_rest() if truth == "rest" else potential.averaged()
