"""Facts that a search has shown: its own rule was met, and how far the state is above the exact lowest energy."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from hybridloop.algorithms.doubt import Doubt
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.base import Stop
from hybridloop.algorithms.outcome import Fact, Kind
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.energy_units import CHEMICAL_ACCURACY, amount_text
from hybridloop.errors import InputError
from hybridloop.runtime.leaves import leaf

if TYPE_CHECKING:
    from hybridloop.algorithms.circuits import model_space as model_spaces
    from hybridloop.algorithms.circuits import simulation as simulations
else:
    model_spaces = leaf("hybridloop.algorithms.circuits.model_space")
    simulations = leaf("hybridloop.algorithms.circuits.simulation")

LOCALLY_OPTIMAL, GROUND_STATE = "locally_optimal", "ground_state"
SYMMETRY_CONSERVED = "symmetry_conserved"
GROUND_TOLERANCE = 0.8e-3  # hartree: half of chemical accuracy; the measurement has the other half
SHARE_OF_PRECISION = 0.7  # so that three standard errors still hold
TOO_LARGE = "the lowest energy, or the circuit's state, takes too much work to be computed"
KNOWN = "distance of the circuit's simulated state to the exact energy"
SHOWN_SHARE = 1e-3  # of the tolerance: less is rounding
GIVE_LAYERS = (
    "The circuit can't express the ground state, or the search ended elsewhere. Give more layers (layers), or another "
    "ansatz."
)

GIVE_ANOTHER_CIRCUIT = "The circuit can't express the ground state, or the search ended elsewhere. Give another one."
GIVE_UCCSD = "Electrons do not stay paired there, or the search ended elsewhere. Give the ansatz uccsd."
MORE_SHOTS = (
    "The circuit reaches it from these angles: give them as the initial point, with a lower tolerance, which takes "
    "more shots."
)


def examine(
    stop: Stop, excess: float | None, tolerance: float, *, unit: str, remedy: Callable[[], str]
) -> tuple[tuple[Fact, Fact], list[Doubt]]:
    """Examine a state by how far its simulated energy is above the exact lowest one, both computed in full.

    Nothing less is a bound from above: a minimum, a state without variance and one that no operator improves may be
    another eigenstate. `excess` and `tolerance` are in the operator's `unit`; None: one of the energies is unknown. A
    state of other electrons may be below. `remedy` returns a sentence on what reaches further. A search that converged
    at a state that is not shown to be the ground state leaves a doubt.
    """
    shown, kind, doubt = None, Kind.NOT_EXAMINED, Doubt("not examined", TOO_LARGE)
    bound = str(doubt)
    if excess is not None:
        shown, kind = abs(excess) <= tolerance, Kind.BOUNDED
        amount = amount_text(abs(excess) if abs(excess) > SHOWN_SHARE * tolerance else 0.0, unit)
        side = "below the exact energy of these electrons" if excess < -tolerance else "above the exact lowest energy"
        bound = f"the circuit's simulated state at these angles is {amount} {side}"
        if not shown:
            headline, more = ("other electrons", "") if excess < 0 else ("above the ground state", f". {remedy()}")
            doubt = Doubt(headline, f"{bound}{more}")
            bound = str(doubt)
    local = Fact(LOCALLY_OPTIMAL, stop.converged, stop.reason, Kind.ESTIMATED)
    doubts = [doubt] if stop.converged and not shown else []
    return (local, Fact(GROUND_STATE, shown, bound, kind)), doubts


def symmetry_conserved(estimate: Estimate, what: str) -> Fact:
    """Return the fact of how many outcomes had another number, such as of electron pairs, than the circuit keeps.

    Each of them is an error of the machine. Errors that keep the number are not seen.
    """
    share = estimate.discarded / estimate.shots if estimate.shots else 0.0
    counted = f"{estimate.discarded:,} of {estimate.shots:,} outcomes ({share:.2%})" if share else "no outcome"
    reason = f"{counted} had another {what}" + ", and were discarded" * bool(share)
    return Fact(SYMMETRY_CONSERVED, not estimate.discarded, reason, Kind.ESTIMATED)


def ground_tolerance(precision: float, least: float = GROUND_TOLERANCE) -> float:
    """Return how far above the ground state a molecule's state may be for a claim, by the precision, in hartree."""
    return min(max(least, SHARE_OF_PRECISION * precision), CHEMICAL_ACCURACY)


def known_residue(excess: float | None) -> tuple[float, str] | None:
    """Return what is left below a measured value and what that means, where a state was examined; else None."""
    return None if excess is None else (max(0.0, excess), KNOWN)


def another_symmetry(simulation: simulations.SimulatedCircuit, energy: float) -> str | None:
    """Return a sentence if a state that a circuit of excitations never reaches lies below an energy (hartree).

    By less than chemical accuracy, the circuit may only be less exact than the other symmetry is computed.
    """
    lower = simulation.lowest_unreached
    if lower is None or energy - lower <= CHEMICAL_ACCURACY:
        return None
    return (
        f"A state of another symmetry, which the circuit can't reach, lies {1e3 * (energy - lower):.1f} mHa below: "
        "choose another active space, or the hardware-efficient ansatz of a VQE."
    )


def what_reaches_further(problem: ElectronicProblem) -> str:
    """Return what is known to have a lower energy than a UCCSD circuit that ends above the ground state.

    The matrix between all determinants has the exact eigenvalues at any angles. ADAPT-VQE ends lower or higher: with
    noise its gradients vanish early.
    """
    with suppress(InputError):  # too many determinants
        space = model_spaces.model_space(problem)
        if space.is_complete:
            return (
                f"Run levels: it measures all {space.size} determinants of these electrons, so that its lowest energy "
                "has no such error; `plan levels` shows the price. Adapt may end lower or higher."
            )
    return "Adapt, which adds operators as needed, may end lower or higher: compare both."


def lowest_of(exact: float | None, simulation: simulations.SimulatedCircuit) -> float | None:
    """Return the exact energy in hartree if it is known, else the lowest of all determinants; None: too many."""
    if exact is not None:
        return exact
    unreached = simulation.lowest_unreached
    return None if unreached is None else min(simulation.lowest_reached, unreached)
