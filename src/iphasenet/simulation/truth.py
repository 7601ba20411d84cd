"""Which potential is the truth of images of a crystal whose atoms move."""

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from iphasenet.crystal.potential import CrystalPotential

Truth = Literal["thermal", "rest"]


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
