"""Prepare a VQE: its circuit, optimizer, measurement groups, error mitigation and claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.estimation.final import MAX_EXACT_ROUNDS, MAX_ROUNDS
from hybridloop.algorithms.estimation.grouping import GroupingChoice
from hybridloop.algorithms.estimation.sampling import Sampling
from hybridloop.algorithms.mitigation.mitigation import Mitigation
from hybridloop.algorithms.outcome import Outcome
from hybridloop.algorithms.rounds import RunRound
from hybridloop.algorithms.vqe.claims import StateClaims
from hybridloop.algorithms.vqe.vqe import vqe
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.preparation.choices.claims import claim_tolerance, claims_of
from hybridloop.preparation.choices.measured_circuit import CircuitChooser, GroundStateBound
from hybridloop.preparation.choices.mitigation import counted_by, discards_by, mitigation_of, shifts
from hybridloop.preparation.choices.observables import expectations_of
from hybridloop.preparation.choices.optimizer import SearchChoice, choose_search
from hybridloop.preparation.prepared import (
    GROUPS,
    OnRound,
    PlanFacts,
    PreparedEnergy,
    ProblemFacts,
    chosen,
    origin_of_angles,
    sampling_of,
)
from hybridloop.preparation.problem import EnergyProblem, accuracy_of, facts_of, resolve_problem
from hybridloop.preparation.reference import PreparedReference, hartree_fock_if_exact
from hybridloop.settings import NOTHING, AnsatzName, ProblemText, Recorded
from hybridloop.targets import Target


@dataclass(frozen=True, slots=True)
class PreparedVqe(PreparedEnergy):
    """A VQE that lacks only a session; it `discards` outcomes that its circuit can't have, unless asked not to."""

    facts: ProblemFacts
    problem: EnergyProblem
    ansatz: Ansatz
    search: SearchChoice
    sampling: Sampling
    energy: GroupingChoice
    mitigation: Mitigation
    discards: bool
    claims: StateClaims
    choices: Mapping[str, str] = field()  # a field without a default, in place of the base's property

    def plan_facts(self, *, samples: bool) -> PlanFacts:
        """Return the limits of the search and of the final measurement."""
        final = (MAX_ROUNDS if samples else MAX_EXACT_ROUNDS) * (1 if self.ansatz.model is None else 2)  # a test too
        searched, copies = self.search.settings.max_rounds, self.mitigation.weights
        return self._plan_facts(searched, final, 0, samples=samples, copies=copies)

    def forecast(self, target: Target, settings: VqeSettings, /) -> Mapping[str, float]:
        """Return the shift that noise is expected to give the energy, by mitigation."""
        simulated = self.claims.simulated
        value = self.facts.reference if simulated is None else simulated.energy
        if not target.is_noisy or value is None or (simulated is None and not self.facts.unit):
            return {}
        return shifts(self.problem, self.ansatz, self.energy.observable, value, target, settings)

    def measure(self, run_round: RunRound, on_progress: OnRound, /) -> Outcome:
        """Search for the lowest energy and measure it, by an optimizer of this run."""
        return vqe(
            self.energy.observable if self.discards else self.energy.observable.with_all_outcomes(),
            self.ansatz,
            self.search.make(),
            run_round,
            sampling=self.sampling,
            mitigation=self.mitigation,
            claims=self.claims,
            on_progress=on_progress,
        )

    def started_at(self, ansatz: Ansatz, reason: str | None) -> PreparedVqe:
        """Return the same VQE at another initial point, for a circuit that was not simulated."""
        return replace(
            self,
            ansatz=ansatz,
            search=self.search.started_at(ansatz),
            claims=replace(self.claims, ansatz=ansatz),
            choices={**self.choices, **chosen(start=reason)},
        )


PreparedGroundState = PreparedVqe | PreparedReference


def prepare_vqe(
    problem: ProblemText,
    settings: VqeSettings,
    seed: int,
    target: Target,
    recorded: Recorded = NOTHING,
) -> PreparedGroundState:
    """Build a VQE from its problem text. Raises InputError; sends nothing.

    Where the circuit is left open and Hartree-Fock is exact, there is nothing to measure. `recorded` has the grouping
    that was chosen when the run was started, and the tolerances that it has reached.
    """
    resolved = resolve_problem(problem, settings, target)
    facts = facts_of(resolved)
    if settings.ansatz is AnsatzName.AUTO and (known := hartree_fock_if_exact(resolved, facts)) is not None:
        return PreparedReference(facts, resolved, known, expectations_of(settings, resolved, known))
    accuracy, precision = accuracy_of(resolved, settings, settings.tolerance)
    bound = GroundStateBound(facts.exact, claim_tolerance(resolved, accuracy))
    operators = partial(expectations_of, settings)
    circuit = CircuitChooser(settings, seed, accuracy, target, bound, operators).choose(resolved, recorded.groupings)
    ansatz, energy = circuit.ansatz, circuit.energy
    least = energy.least_shots * len(energy.observable.groups)
    first = tuple(accuracy_of(resolved, each, each.tolerance)[0].tolerance for each in recorded.before)
    search, optimizer = choose_search(ansatz, settings, seed, accuracy, least, first, has_noise=target.is_noisy)
    facts = replace(facts, num_qubits=ansatz.circuit.num_qubits)
    mitigation = mitigation_of(settings, circuit.problem, ansatz, energy.observable, target)
    return PreparedVqe(
        facts,
        circuit.problem,
        ansatz,
        search,
        replace(
            sampling_of(settings, target, energy, accuracy.precision),
            allocation=settings.allocation,
            deviations=energy.deviations if target.samples else None,
            widths=energy.observable.widths if target.samples else (),
        ),
        energy,
        mitigation,
        discards_by(settings),
        replace(
            claims_of(
                circuit.problem,
                facts,
                ansatz,
                energy.observable.operator,
                accuracy,
                settings,
                simulation=circuit.simulation,
                has_noise=target.is_noisy,
            ),
            expectations=expectations_of(settings, circuit.problem, ansatz),
            counted=counted_by(settings, ansatz, mitigation, has_noise=target.is_noisy),
        ),
        chosen(
            search=origin_of_angles(settings.target, is_simulated=ansatz.model is not None),
            **{name: reason for name, reason in circuit.reasons.items() if name != GROUPS},
            optimizer=optimizer,
            precision=precision,
            groups=circuit.reasons.get(GROUPS),
        ),
    )
