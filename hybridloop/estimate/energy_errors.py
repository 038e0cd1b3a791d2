"""Errors of an energy that a plan can tell: those of the dry run's state, of a subspace, and the shifts by noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from hybridloop.algorithms.outcome import RoundLog
from hybridloop.algorithms.problems.determinants import count_determinants
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.energy_units import energy_name
from hybridloop.algorithms.problems.full_space import solve_in_turn
from hybridloop.algorithms.sqd.diagonalization import diagonalize_samples
from hybridloop.algorithms.steps import compute_each
from hybridloop.azure.targets import DEFAULT_TARGET, find_target
from hybridloop.estimate.dry_run import FINAL, sampled_ideally
from hybridloop.estimate.ideal_sampler import SimulationTooLarge, Step, gate_steps, shared_steps
from hybridloop.estimate.noise_bias import NoiseShifts, noise_shifts
from hybridloop.estimate.simulation import Simulation
from hybridloop.preparation.sqd import PreparedSqd

MAX_DETERMINANTS = 1000  # of a molecule whose subspaces a plan diagonalizes: about a second


@dataclass(frozen=True, slots=True)
class SearchedState:
    """The state that a VQE's dry run found: its energy's shifts by noise, and its `error` above the exact energy.

    The error is in hartree, without noise; None: unknown, and `note` says why.
    """

    shifts: NoiseShifts
    error: float | None
    note: str

    @classmethod
    def of(cls, simulation: Simulation, profile: str) -> SearchedState | None:
        """Examine a dry run's state; None for a problem without electrons."""
        problem = getattr(simulation.prepared, "problem", None)
        if not isinstance(problem, ElectronicProblem):
            return None
        shifts = _simulated_shifts(simulation, problem)
        if shifts is None or shifts.energy is None:
            reason = "the dry run was not simulated to its end, so the error that its search leaves is unknown"
            return cls(_shifts_by_gates(simulation, problem, profile), None, reason)
        exact = simulation.facts.exact()
        if exact is None:
            return cls(shifts, None, "the exact energy is unknown, and so the error that the search leaves")
        error = shifts.energy - exact
        name = energy_name("exact", is_active_space=simulation.facts.is_active_space)
        return cls(shifts, error, f"without noise, the dry run's state is {1e3 * error:.2f} mHa above the {name}")


def _simulated_shifts(simulation: Simulation, problem: ElectronicProblem) -> NoiseShifts | None:
    """Return the shifts by faults in the final circuits, whose bases of measurement may have two-qubit gates too."""
    final = simulation.median.final
    if not final:
        return None
    try:
        steps = shared_steps(final)
        by_circuit = [_two_qubit_gates(gate_steps(pub)) for pub in final]
    except SimulationTooLarge:
        return None
    shifts, own = noise_shifts(steps, problem.hamiltonian), _two_qubit_gates(steps)
    return shifts if shifts is None or not own else shifts.with_gates(fmean(by_circuit) / own)


def _two_qubit_gates(steps: Sequence[Step]) -> int:
    return sum(len(step.qubits) == 2 for step in steps)


def _shifts_by_gates(simulation: Simulation, problem: ElectronicProblem, profile: str) -> NoiseShifts:
    """Return the shifts by the mean numbers of gates of the last final round's circuits."""
    final = [round_ for round_ in simulation.expected if round_.phase == FINAL][-1:] or simulation.expected[-1:]
    names = {pub.circuit for round_ in final for pub in round_.pubs}
    sizes = [simulation.sizes.size(name, profile) or simulation.sizes.largest(profile) for name in sorted(names)]
    one_qubit, two_qubit = (
        fmean(size.counts.one_qubit for size in sizes),
        fmean(size.counts.two_qubit for size in sizes),
    )
    operator = problem.hamiltonian
    is_identity = ~(operator.paulis.x.any(axis=1) | operator.paulis.z.any(axis=1))
    mixed = float(operator.coeffs.real[is_identity].sum()) - simulation.facts.reference
    return NoiseShifts.by_gates(one_qubit, two_qubit, mixed)


def subspace_error(simulation: Simulation) -> tuple[float | None, str]:
    """Return the error in hartree of SQD from ideal samples, None if unknown, and a note on it."""
    prepared = simulation.prepared
    assert isinstance(prepared, PreparedSqd)
    molecule = prepared.problem.molecule
    total = count_determinants(molecule)
    unknown = "an upper bound that noise raises, and its error is unknown"
    if total > MAX_DETERMINANTS:
        return None, f"{unknown}: a plan does not diagonalize among {total:,} determinants"
    try:
        samples = sampled_ideally(prepared, find_target(DEFAULT_TARGET), seed=0)
    except SimulationTooLarge as reason:
        return None, f"{unknown}: a plan does not simulate it ({reason})"
    point, log = prepared.ansatz.initial_point, RoundLog(lambda _: None)
    solve = solve_in_turn(molecule, prepared.full)
    found = diagonalize_samples(samples, molecule, solve, prepared.bounds, compute_each, log, point)
    exact = prepared.facts.exact()
    if exact is None:
        return None, f"{unknown}, as the exact energy is"
    error = found.best.energy - exact
    size = f"{found.best.determinants:,} of {total:,} determinants"
    name = energy_name("exact", is_active_space=prepared.facts.is_active_space)
    how_far = f"{1e3 * error:.2f} mHa above the {name}"
    return error, f"an upper bound that noise raises; by ideal samples {how_far} ({size})"
