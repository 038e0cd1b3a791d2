"""What is to be said of an energy that can't be right, or of a state that a circuit may not reach."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.molecule import Molecule

SIGMAS = 3.0  # up to so many standard errors a deviation may be chance
LEAST_REFERENCE_WEIGHT = 0.9  # W. Jiang, N. J. DeYonker and A. K. Wilson, J. Chem. Theory Comput. 8 (2012) 460


def below_exact(value: float, standard_error: float, rounding_bound: float, exact: float | None) -> str | None:
    """What to say of an energy (hartree) further below the exact one than chance has it; None where that is not so."""
    if exact is None or value >= exact - max(SIGMAS * standard_error, rounding_bound):
        return None
    by = f"{1e3 * (exact - value):.2f} mHa"
    beyond = f", {(exact - value) / standard_error:.1f} standard errors," if standard_error else ""
    return (
        f"below the exact energy: the value is {by}{beyond} below the lowest that any state of the molecule has, so it "
        "is wrong by that much at least: errors of the machine, a mitigation that overshoots, or other electrons than "
        "the molecule's."
    )


def strongly_correlated(molecule: Molecule, point: NDArray[np.float64]) -> str | None:
    """What to say of a state by UCCSD that has little of its determinant left; None where all is well.

    Each excitation by an angle θ leaves cos²θ of the determinant's weight; what the next ones bring back is little.
    Single and double excitations of two electrons, or two holes, are all that there are, and reach any state.
    """
    electrons = sum(molecule.electrons)
    weight = math.prod(np.cos(point).tolist()) ** 2
    if min(electrons, 2 * molecule.norb - electrons) <= 2 or weight >= LEAST_REFERENCE_WEIGHT:
        return None
    return (
        f"strongly correlated: the state has {weight:.0%} of Hartree-Fock's determinant, below "
        f"{LEAST_REFERENCE_WEIGHT:.0%}, where single and double excitations may end millihartrees above the ground "
        "state; the error bar is that of the measurement. Try adapt, whose circuit grows as far as it must."
    )
