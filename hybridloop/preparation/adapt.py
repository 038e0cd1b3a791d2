"""Prepare an ADAPT-VQE: its operator pool, and the optimizer of each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from hybridloop.algorithms.adapt.growth import AdaptResult, AdaptStep, adapt
from hybridloop.algorithms.adapt.operator_pool import OperatorPool, PoolKind
from hybridloop.algorithms.adapt.selection import MIN_CURVATURE
from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.estimation.final import MAX_ROUNDS
from hybridloop.algorithms.estimation.grouping import GroupingChoice
from hybridloop.algorithms.estimation.observable import Grouping
from hybridloop.algorithms.facts import another_symmetry, examine, ground_tolerance, known_residue, lowest_of
from hybridloop.algorithms.optimizers.base import Optimizer, Stop
from hybridloop.algorithms.optimizers.registry import OPTIMIZERS, SearchSettings, choose_optimizer
from hybridloop.algorithms.outcome import Fact, Outcome, measured_value
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.energy_units import CHEMICAL_ACCURACY
from hybridloop.algorithms.problems.pauli import PauliProblem
from hybridloop.algorithms.rounds import RunRound
from hybridloop.algorithms.search import DEFAULT_MAX_ROUNDS
from hybridloop.algorithms.simulated_energy import SimulatedEnergy
from hybridloop.azure.targets import Target
from hybridloop.descriptions.adapt import AdaptSettings
from hybridloop.errors import InputError
from hybridloop.preparation.measurement_groups import measurement_groups
from hybridloop.preparation.prepared import (
    ANGLES_SIMULATED,
    Accuracy,
    OnRound,
    PlanFacts,
    PreparedEnergy,
    ProblemFacts,
    angles_searched_on,
)
from hybridloop.preparation.problem import accuracy_of, facts_of, resolve_problem
from hybridloop.preparation.vqe import missing_point_policy
from hybridloop.settings import ProblemText, SearchName
from hybridloop.settings.energies import GroupingName
from hybridloop.tasks.failure_policy import OnLostJob

GAIN_DECIMALS = 9  # in hartree: gains that are equal up to rounding keep the pool's order
TOLERANCE = 0.8e-3  # hartree: half of chemical accuracy, as growth ends where its tolerance is left
REMEDY = "Lower the tolerance, raise max_operators, or compare with vqe."


@dataclass(frozen=True, slots=True)
class PreparedAdapt(PreparedEnergy):
    """An ADAPT-VQE that lacks only a session."""

    facts: ProblemFacts
    problem: ElectronicProblem
    pool: OperatorPool
    settings: AdaptSettings
    accuracy: Accuracy
    energy: GroupingChoice
    derivatives: Grouping

    @property
    def origin_of_angles(self) -> str:
        """The target, or the simulation of the pool's circuits."""
        return angles_searched_on(self.settings.target) if self.pool.simulation([]) is None else ANGLES_SIMULATED

    def plan_facts(self, *, samples: bool) -> PlanFacts:
        """Return the limits of the searches, of the final measurement, and of the choice of operators."""
        most, final = self.settings.max_operators, MAX_ROUNDS if samples else 1
        return self._plan_facts(most * self.settings.max_rounds, final, most + 1, samples=samples)

    def measure(self, run_round: RunRound, on_progress: OnRound, /) -> Outcome:
        """Grow the ansatz operator by operator, then measure its energy."""
        result = adapt(
            self.pool,
            partial(_optimizer, self.settings.shots, self.energy.least_shots * len(self.energy.observable.groups)),
            run_round,
            shots=self.circuit_shots,
            precision=self.accuracy.precision,
            tolerance=self.settings.tolerance,
            max_operators=self.settings.max_operators,
            max_rounds=self.settings.max_rounds,
            energy=self.energy,
            derivatives=self.derivatives,
            on_lost=missing_point_policy(self.settings.failure),
            on_progress=on_progress,
        )
        excess, facts, warnings = self.examined(result)
        reason = f"{result.reason} ({len(result.operators)} operators taken from a pool of {len(self.pool.groups)})"
        return Outcome(
            **measured_value(result.final, *(known_residue(excess) or (result.residue, None))),
            parameters=result.parameters,
            converged=result.converged and not warnings,
            is_requested=result.is_requested,
            reason="; ".join([*(warning.split(":")[0] for warning in warnings), reason]),
            rounds=result.rounds,
            history=result.history,
            table=tuple(_row(step) for step in result.operators),
            warnings=warnings,
            facts=facts,
            choices=(f"groups: {self.energy.text}",) if self.is_grouping_open else (),
            **result.state.columns,
        )

    def examined(self, result: AdaptResult) -> tuple[float | None, tuple[Fact, ...], tuple[str, ...]]:
        """Return how far the simulated state is above the exact energy, what that shows, and reasons to doubt it."""
        stop, doubts = Stop(result.converged, result.reason), list(result.state.warnings)
        circuit = self.pool.simulation([self.pool.groups.index(step.group) for step in result.operators])
        excess, symmetry = None, None
        if circuit is not None:
            energy, lowest = circuit.energy(np.array(result.parameters)), lowest_of(self.facts.exact(), circuit)
            excess, symmetry = None if lowest is None else energy - lowest, another_symmetry(circuit, energy)
            tested = SimulatedEnergy(energy, CHEMICAL_ACCURACY).test(result.final.estimate)
            if tested.passed is False:
                doubts.append(f"unlike the simulation: {tested.reason}. Run again with search=measured.")
        tolerance = ground_tolerance(self.accuracy.precision, TOLERANCE)
        facts = examine(stop, excess, tolerance, unit="hartree", remedy=lambda: symmetry or REMEDY)
        return excess, facts, (*doubts, *(fact.reason for fact in facts if not fact.shown and stop.converged))


def prepare_adapt(
    problem: ProblemText,
    settings: AdaptSettings,
    _seed: int,
    target: Target,
    groupings: Sequence[str] = (),
) -> PreparedAdapt:
    """Build an ADAPT-VQE from its problem text; it needs no seed. Raises InputError.

    `groupings` has the grouping that was chosen when the run was started, if it was recorded. It is chosen for the
    circuit of those operators that are expected to lower the energy by gradients at Hartree-Fock.
    """
    electronic = resolve_problem(problem, settings, target)
    if isinstance(electronic, PauliProblem):
        what = f"{electronic.source} is a Pauli sum, and adapt starts from a molecule's Hartree-Fock state"
        raise InputError("problem", what, "Give a molecule, or run vqe.")
    pool = OperatorPool.tied(electronic, PoolKind(settings.pool))
    pool = replace(pool, is_simulated=settings.search is not SearchName.MEASURED)
    if not pool.groups:
        what = f"{electronic.molecule.source} has no excitation that keeps its symmetries: Hartree-Fock is exact"
        raise InputError("problem", what, "Check NELEC, MS2 and NORB.")
    if settings.failure.on_lost_job is OnLostJob.SKIP:
        what = "the search of the first operator needs all of its points, so none can be skipped"
        raise InputError("on_lost_job", what, "Give penalize or fail.")
    operators = _expected_operators(pool, settings)
    if settings.search is SearchName.SIMULATED and pool.simulation(operators) is None:
        what = "circuits of this pool are too large for a classical simulation"
        raise InputError("search", what, "Leave search out, or give search=measured.")
    expected = pool.ansatz(operators)
    accuracy = accuracy_of(electronic, settings, settings.tolerance)
    energy = measurement_groups(electronic, expected, settings, accuracy, target, groupings)
    is_qubit_wise = settings.grouping is GroupingName.QUBIT_WISE
    derivatives = Grouping.QUBIT_WISE if is_qubit_wise else Grouping.FULLY_COMMUTING
    return PreparedAdapt(facts_of(electronic), electronic, pool, settings, accuracy, energy, derivatives)


def _expected_operators(pool: OperatorPool, settings: AdaptSettings) -> list[int]:
    """Return the operators of the largest gains at Hartree-Fock, until the others gain less than the tolerance."""
    gradient, hessian = pool.derivatives_at_hartree_fock()
    gains = gradient**2 / (2.0 * np.maximum(np.diag(hessian), MIN_CURVATURE))
    order = np.argsort(-np.round(gains, GAIN_DECIMALS), kind="stable")
    left = gains.sum() - np.cumsum(gains[order])
    count = 1 + int(np.count_nonzero(left[:-1] > settings.tolerance))
    return [*map(int, order[: min(count, settings.max_operators)])]


def _optimizer(shots: int | None, least: int, ansatz: Ansatz) -> Optimizer:
    """Return the optimizer that `choose_optimizer` names, for a start near the minimum."""
    name = choose_optimizer(ansatz).name
    search = SearchSettings(ansatz, is_near=True, seed=0, max_rounds=DEFAULT_MAX_ROUNDS, shots=shots, least_shots=least)
    return OPTIMIZERS[name].create(name, search)


def _row(step: AdaptStep) -> dict[str, Any]:
    emptied, filled = step.group[0]
    return {
        "emptied": list(emptied),
        "filled": list(filled),
        "spins_exchanged": len(step.group) > 1,
        "gradient": step.gradient,
        "gradient_error": step.gradient_error,
        "curvature": step.curvature,
        "selected_by_simulation": step.is_simulated,
        "expected_left": step.remaining_gain,
        "energy": step.value,
    }
