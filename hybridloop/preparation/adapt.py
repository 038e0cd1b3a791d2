"""Prepare an ADAPT-VQE: its operator pool, and the optimizer of each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from hybridloop.algorithms.adapt.growth import Growth, adapt
from hybridloop.algorithms.adapt.operator_pool import OperatorPool
from hybridloop.algorithms.adapt.selection import expected_operators
from hybridloop.algorithms.estimation.final import MAX_ROUNDS
from hybridloop.algorithms.estimation.grouping import GroupingChoice
from hybridloop.algorithms.estimation.sampling import Sampling
from hybridloop.algorithms.outcome import Outcome
from hybridloop.algorithms.rounds import RunRound
from hybridloop.descriptions.adapt import AdaptSettings
from hybridloop.errors import InputError
from hybridloop.preparation.choices.measurement_groups import measurement_groups
from hybridloop.preparation.choices.observables import expectations_of
from hybridloop.preparation.choices.operator_pool import choose_pool, grouping_of_derivatives
from hybridloop.preparation.choices.optimizer import search_near
from hybridloop.preparation.choices.orbitals import electrons_in_orbitals
from hybridloop.preparation.prepared import (
    OnRound,
    PlanFacts,
    PreparedEnergy,
    ProblemFacts,
    chosen,
    origin_of_angles,
    sampling_of,
)
from hybridloop.preparation.problem import accuracy_of
from hybridloop.preparation.reference import PreparedReference, hartree_fock_if_exact
from hybridloop.settings import NOTHING, ProblemText, Recorded, SearchName
from hybridloop.targets import Target, check_circuit_fits


@dataclass(frozen=True, slots=True)
class PreparedAdapt(PreparedEnergy):
    """An ADAPT-VQE that lacks only a session."""

    facts: ProblemFacts
    pool: OperatorPool
    settings: AdaptSettings
    sampling: Sampling
    energy: GroupingChoice
    growth: Growth
    choices: Mapping[str, str] = field()

    def plan_facts(self, *, samples: bool) -> PlanFacts:
        """Return the limits of the searches, of the final measurement, and of the choice of operators."""
        most, final = self.growth.max_operators, MAX_ROUNDS if samples else 1
        return self._plan_facts(most * self.settings.max_rounds, final, most + 1, samples=samples)

    def measure(self, run_round: RunRound, on_progress: OnRound, /) -> Outcome:
        """Grow the ansatz operator by operator, then measure its energy."""
        return adapt(
            self.pool,
            partial(search_near, self.settings, self.energy.least_shots * len(self.energy.observable.groups)),
            run_round,
            growth=self.growth,
            sampling=self.sampling,
            energy=self.energy,
            exact=self.facts.exact,
            on_progress=on_progress,
        )


def prepare_adapt(
    problem: ProblemText,
    settings: AdaptSettings,
    _seed: int,
    target: Target,
    recorded: Recorded = NOTHING,
) -> PreparedAdapt | PreparedReference:
    """Build an ADAPT-VQE from its problem text; it needs no seed. Raises InputError.

    Where Hartree-Fock is exact, there is nothing to measure.
    `recorded` has the grouping that was chosen when the run was started. It is chosen for the
    circuit of those operators that are expected to lower the energy by gradients at Hartree-Fock.
    """
    needed_for = "adapt starts from a molecule's Hartree-Fock state"
    facts, orbitals = electrons_in_orbitals(problem, settings, target, needed_for, recorded.groupings, is_shorter=True)
    if (known := hartree_fock_if_exact(orbitals.problem, facts)) is not None:
        asked = expectations_of(settings, orbitals.problem, known)
        return PreparedReference(facts, orbitals.problem, known, asked)
    pool = choose_pool(orbitals.problem, settings)
    electronic = pool.problem
    check_circuit_fits(target, electronic.encoding.num_qubits)
    operators = expected_operators(pool, settings.tolerance, settings.max_operators)
    if settings.search is SearchName.SIMULATED and pool.simulation(operators) is None:
        what = "circuits of this pool are too large for a classical simulation"
        raise InputError("search", what, "Leave search out, or give search=measured.")
    expected = pool.ansatz(operators)
    accuracy, _ = accuracy_of(electronic, settings, settings.tolerance)
    energy, groups = measurement_groups(electronic, expected, settings, accuracy, target, recorded.groupings)
    energy = replace(energy, circuit=orbitals.record)
    derivatives = grouping_of_derivatives(settings)
    origin = origin_of_angles(settings.target, is_simulated=pool.simulation([]) is not None)
    return PreparedAdapt(
        replace(facts, num_qubits=electronic.encoding.num_qubits),
        pool,
        settings,
        sampling_of(settings, target, energy, accuracy.precision),
        energy,
        Growth(
            settings.tolerance, settings.max_operators, derivatives, expectations_of(settings, electronic, expected)
        ),
        chosen(search=origin, orbitals=orbitals.source, groups=groups),
    )
