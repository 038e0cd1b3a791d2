"""Facts that a search has shown: a minimum of the circuit, and no gain left for operators outside it."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.model_space import model_space
from hybridloop.algorithms.circuits.simulated_start import FLAT, MIN_REFERENCE_WEIGHT
from hybridloop.algorithms.circuits.simulation import SimulatedCircuit
from hybridloop.algorithms.diagnostics import COMPARE_WITH_ADAPT, strong_correlation_warning
from hybridloop.algorithms.optimizers.base import Stop
from hybridloop.algorithms.outcome import Fact
from hybridloop.algorithms.outside_operators import generalized_excitations, measure_outside_gain
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.energy_units import CHEMICAL_ACCURACY
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.algorithms.rounds import RunRound
from hybridloop.errors import InputError

LOCALLY_OPTIMAL, NO_OPERATOR_OUTSIDE = "locally_optimal", "no_operator_outside"
ALL_EXCITATIONS = "single and double excitations reach every state of these electrons"
# hartree: half of chemical accuracy, as operators outside the circuit are known to second order only
OUTSIDE_TOLERANCE = 0.8e-3
MAX_OUTSIDE_OPERATORS = 500  # six orbitals without symmetry: their commutators take some tens of seconds
MISSING_TOLERANCE = 0.5e-3  # hartree: less is 0.7 standard errors of the default precision, so that three still hold


def examine_circuit(
    problem: ElectronicProblem,
    ansatz: Ansatz,
    point: NDArray[np.float64],
    simulation: SimulatedCircuit,
    stop: Stop,
    run_round: RunRound,
    *,
    shots: int,
) -> tuple[tuple[Fact, ...], int]:
    """Examine a UCCSD circuit at the point (n,) in radians where a search stopped; return facts and rounds measured.

    Operators outside the circuit are measured only where that can show something, with `shots` for each circuit: not
    where a state of another symmetry lies lower, where single and double excitations reach every state of the electrons
    (F. A. Evangelista, G. K.-L. Chan and G. E. Scuseria, J. Chem. Phys. 151 (2019) 244112), where the Hartree-Fock
    determinant has most of the weight, where the simulation expects too high an energy already, or where there are
    above `MAX_OUTSIDE_OPERATORS`. Raises JobFailed where a circuit has no result.
    """
    local = _local_optimality(simulation, point, stop)
    name = NO_OPERATOR_OUTSIDE
    if (lower := another_symmetry(simulation, simulation.energy(point))) is not None:
        return (local, Fact(name, shown=False, reason=lower)), 0
    if max_excitation_rank(problem.molecule) <= 2:
        return (local, Fact(name, shown=True, reason=ALL_EXCITATIONS)), 0
    expected = simulation.missing_energy(point)
    if local.shown and expected > MISSING_TOLERANCE:
        expects = f"the simulation expects the circuit to end {1e3 * expected:.1f} mHa above the ground state"
        reason = f"strongly correlated: {expects}; not measured. {what_reaches_further(problem)}"
        return (local, Fact(name, shown=False, reason=reason)), 0
    if (weight := simulation.reference_weight(point)) >= MIN_REFERENCE_WEIGHT:
        reason = (
            f"Hartree-Fock has {weight:.0%} of the state's weight, so that triple excitations and above hardly count"
        )
        return (local, Fact(name, shown=True, reason=reason)), 0
    what = f"Hartree-Fock has {weight:.0%} of the weight"
    if not local.shown:
        return (local, Fact(name, shown=None, reason=f"{what}; not measured, as no minimum is shown")), 0
    if (count := len(generalized_excitations(problem))) > MAX_OUTSIDE_OPERATORS:
        reason = f"strongly correlated: {what}; {count} operators outside the circuit are too many to be measured"
        return (local, Fact(name, shown=None, reason=reason)), 0
    gain = measure_outside_gain(problem, ansatz, point, simulation, run_round, shots=shots, tolerance=OUTSIDE_TOLERANCE)
    reason = (
        f"{what}; {gain.operators} operators outside the circuit are expected to gain {1e3 * gain.gain:.2g} mHa, shot "
        f"noise may hide {1e3 * gain.noise:.2g} mHa ({gain.shots:.1e} shots)"
    )
    if max(gain.gain, gain.noise) <= OUTSIDE_TOLERANCE:
        return (local, Fact(name, shown=True, reason=reason)), gain.rounds
    return (local, Fact(name, shown=False, reason=f"strongly correlated: {reason}")), gain.rounds


def what_reaches_further(problem: ElectronicProblem) -> str:
    """Return what is known to have a lower energy than a UCCSD circuit that ends above the ground state.

    The matrix between all determinants has the exact eigenvalues at any angles. ADAPT-VQE ends lower or higher: with
    noise its gradients vanish early.
    """
    with suppress(InputError):  # too many determinants
        space = model_space(problem)
        if space.is_complete:
            return (
                f"Run levels: it measures all {space.size} determinants of these electrons, so that its lowest energy "
                "has no such error; `plan levels` shows the price. Adapt may end lower or higher."
            )
    return COMPARE_WITH_ADAPT


def examine_large_circuit(molecule: Molecule, point: NDArray[np.float64], stop: Stop) -> tuple[Fact, ...]:
    """Examine a UCCSD circuit too large to simulate, by its angles at the point (n,) in radians.

    They show no more than the weight of the Hartree-Fock determinant; see `strong_correlation_warning`.
    """
    if max_excitation_rank(molecule) <= 2:
        return _examined(stop, shown=True, reason=ALL_EXCITATIONS)
    correlation = strong_correlation_warning(molecule, point)
    weak = "the angles leave Hartree-Fock the weight that a weakly correlated molecule has"
    return _examined(stop, shown=correlation is None, reason=correlation or weak)


def examine_by_bound(stop: Stop, excess: float | None, tolerance: float, unit: str) -> tuple[Fact, ...]:
    """Examine another circuit by how far its simulated state is above the lowest eigenvalue, both computed in full.

    Nothing less is a bound from above: a state with a small energy variance is nearly an eigenstate, maybe of another
    symmetry sector. `excess` and `tolerance` are in the operator's `unit`; a state of other electrons may be below.
    """
    if excess is None:
        return unexamined(stop, "the lowest eigenvalue, or the circuit's state, takes too much work to be computed")
    amount = f"{1e3 * abs(excess):.2g} mHa" if unit == "hartree" else f"{abs(excess):.2g}"
    side = "below the lowest eigenvalue of these electrons" if excess < -tolerance else "above the lowest eigenvalue"
    bound = f"the circuit's simulated state at these angles is {amount} {side}"
    if abs(excess) <= tolerance:
        return _examined(stop, shown=True, reason=bound)
    if excess < 0:
        return _examined(stop, shown=False, reason=f"other electrons: {bound}")
    remedy = "The circuit can't express the ground state, or the search ended elsewhere. Give more layers (layers), "
    remedy += "or another ansatz."
    return _examined(stop, shown=False, reason=f"above the ground state: {bound}. {remedy}")


def unexamined(stop: Stop, why: str) -> tuple[Fact, ...]:
    """Return the facts of a circuit that was not examined, and why."""
    return _examined(stop, shown=None, reason=f"not examined: {why}")


def _examined(stop: Stop, *, shown: bool | None, reason: str) -> tuple[Fact, ...]:
    local = Fact(LOCALLY_OPTIMAL, shown=stop.converged, reason=stop.reason)
    return local, Fact(NO_OPERATOR_OUTSIDE, shown=shown, reason=reason)


def another_symmetry(simulation: SimulatedCircuit, energy: float) -> str | None:
    """Return a warning if a state that the circuit never reaches lies below an energy (hartree), else None.

    By less than chemical accuracy, the circuit may only be less exact than the other symmetry is computed.
    """
    if (lower := energy - simulation.lowest_unreached) <= CHEMICAL_ACCURACY:
        return None
    return (
        "another symmetry: a state that the circuit can't reach from the problem's reference lies "
        f"{1e3 * lower:.1f} mHa below. Choose another active space, or the hardware-efficient ansatz of a VQE."
    )


def max_excitation_rank(molecule: Molecule) -> int:
    """Return how many electrons can be excited at once from the Hartree-Fock determinant."""
    return sum(min(count, molecule.norb - count) for count in molecule.electrons)


def _local_optimality(simulation: SimulatedCircuit, point: NDArray[np.float64], stop: Stop) -> Fact:
    """Judge by the run's own end, and the softest curvature of the simulation."""
    lowest = float(np.linalg.eigvalsh(simulation.hessian(point)).min(initial=np.inf))
    reason = f"{stop.reason}, softest curvature {lowest:.2g} hartree/rad² (simulated)"
    if stop.converged and lowest <= -FLAT:
        reason = f"saddle: {reason}"
    return Fact(LOCALLY_OPTIMAL, stop.converged and lowest > -FLAT, reason)
