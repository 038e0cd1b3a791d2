"""Estimate of the energy left below an SQD bound, and whether it is within chemical accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from hybridloop.algorithms.outcome import Kind
from hybridloop.algorithms.problems.energy_units import CHEMICAL_ACCURACY
from hybridloop.algorithms.sqd.comparison import ClassicalSpace
from hybridloop.algorithms.sqd.diagonalization import Batch
from hybridloop.algorithms.sqd.extrapolation import SIGMAS, Extrapolation

SAME_ENERGY = 1e-6  # hartree: two energies that differ by less are called equal
BY_EXTRAPOLATION = "distance to the extrapolation at variance 0, and twice its error"
COMPLETE = "none: the subspace has all determinants"
# an extrapolation sees the states that the Hamiltonian couples to the subspace, as do its iterations
OF_ONE_SYMMETRY = "for states with the symmetry of its determinants"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remainder:
    """Energy left below a bound: `most` of it in hartree and the `meaning` of that, None where nothing tells.

    `is_little` is True where at most chemical accuracy was shown to be left, False where more was, else None; `reason`
    says what showed it, and `kind` how.
    """

    most: float | None
    meaning: str
    is_little: bool | None
    reason: str
    kind: Kind


def remainder_below(
    best: Batch,
    extrapolated: Extrapolation | str,
    compared: Sequence[ClassicalSpace],
    exact: float | None,
    *,
    is_complete: bool,
) -> Remainder:
    """Return what is left below the lowest batch's energy, by the surest source that there is.

    That is the exact energy; else, with all determinants in the subspace, the subspace; else the extrapolation, whose
    error is no bound: the energy is then known to be near the exact one as far as the fit is right (M. Imada and T.
    Kashima, J. Phys. Soc. Jpn. 69 (2000) 2723). A classical subspace can only show that more is left, since a selected
    CI of the same few determinants may be as far off.
    """
    energy = best.energy
    if exact is not None:
        return _above_exact(energy - exact)
    lowest = min(compared, key=lambda space: space.energy, default=None)
    below = 0.0 if lowest is None else energy - lowest.energy
    most: float | None = None
    expected, meaning = 0.0, f"unknown: {extrapolated}"
    if is_complete:
        most, meaning = 0.0, COMPLETE
    elif isinstance(extrapolated, Extrapolation):
        expected = energy - extrapolated.energy
        most, meaning = max(below, expected + SIGMAS * extrapolated.error), BY_EXTRAPOLATION
    left = partial(Remainder, most=most, meaning=meaning)
    if lowest is not None and below > CHEMICAL_ACCURACY:
        return left(is_little=False, reason=_lower(lowest.name, below), kind=Kind.BOUNDED)
    if most is None:
        reason = f"how much is left below the energy is {meaning}"
        return left(is_little=None, reason=reason, kind=Kind.NOT_EXAMINED)
    if is_complete:
        reason = f"the subspace has all determinants, {OF_ONE_SYMMETRY}"
        return left(is_little=True, reason=reason, kind=Kind.BOUNDED)
    by = "the extrapolation in its variance leaves"
    if expected > CHEMICAL_ACCURACY:
        return left(is_little=False, reason=f"{by} {1e3 * expected:.2f} mHa", kind=Kind.ESTIMATED)
    reason = f"{by} at most {1e3 * most:.2f} mHa {OF_ONE_SYMMETRY}, two of its errors included"
    return left(is_little=True if most <= CHEMICAL_ACCURACY else None, reason=reason, kind=Kind.ESTIMATED)


_EXACT = "the exact energy in these orbitals"


def _above_exact(left: float) -> Remainder:
    """Return what is left below an energy that is that far (hartree) above the exact one of the molecule's spin."""
    if left < -SAME_ENERGY:
        meaning = f"unknown: the energy is {-1e3 * left:.2f} mHa below the exact one, as a state of another spin"
        reason = f"how much is left below the energy is {meaning}"
        return Remainder(most=None, meaning=meaning, is_little=None, reason=reason, kind=Kind.NOT_EXAMINED)
    meaning, reason = f"distance to {_EXACT}", _lower(_EXACT, left)
    is_little = left <= CHEMICAL_ACCURACY
    return Remainder(most=max(0.0, left), meaning=meaning, is_little=is_little, reason=reason, kind=Kind.BOUNDED)


def _lower(name: str, amount: float) -> str:
    return f"{name} is {1e3 * max(0.0, amount):.2f} mHa lower"
