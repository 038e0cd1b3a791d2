"""Prepare QAOA: the binary problem, its circuit, and the search over its angles."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from hybridloop.algorithms.binary.assignment_text import describe_assignment
from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.estimation.final import MAX_ROUNDS
from hybridloop.algorithms.estimation.observable import Grouping
from hybridloop.algorithms.outcome import Outcome, RoundProgress, Table
from hybridloop.algorithms.qaoa.circuit import QaoaCircuit
from hybridloop.algorithms.qaoa.comparison import beside_chance, beside_classical, beside_simulation
from hybridloop.algorithms.qaoa.search import QaoaResult, QaoaSearch, qaoa
from hybridloop.algorithms.rounds import RunRound
from hybridloop.descriptions.qaoa import QaoaSettings
from hybridloop.errors import InputError
from hybridloop.preparation.binary import facts_of_binary, read_binary, shots_of
from hybridloop.preparation.choices.angles import choose_angles, optimizer_of_angles, start_assignment
from hybridloop.preparation.choices.constraints import circuit_of
from hybridloop.preparation.choices.measurement_costs import measurement_costs
from hybridloop.preparation.choices.measurement_groups import recorded_least_shots
from hybridloop.preparation.choices.optimizer import missing_point_policy
from hybridloop.preparation.prepared import (
    ClassicalPart,
    OnRound,
    PlanFacts,
    PreparedAlgorithm,
    ProblemFacts,
    chosen,
)
from hybridloop.settings import NOTHING, ProblemText, Recorded, SearchName
from hybridloop.targets import Target, check_circuit_fits


@dataclass(frozen=True, slots=True)
class PreparedQaoa(PreparedAlgorithm):
    """A QAOA or recursive QAOA run that lacks only a session."""

    facts: ProblemFacts
    problem: BinaryProblem
    rounds: PlanFacts
    search: Callable[[RunRound, Callable[[RoundProgress], None]], QaoaResult]
    least_shots: int
    choices: Mapping[str, str] = field()

    @property
    def groupings(self) -> tuple[str, ...]:
        """The one group of a diagonal cost, with the least shots of a job."""
        return (f"{Grouping.QUBIT_WISE} {self.least_shots}",)

    def plan_facts(self, *, samples: bool) -> PlanFacts:
        """Return the limits of the search, and the final measurement."""
        return self.rounds

    def measure(self, run_round: RunRound, on_progress: OnRound, /) -> QaoaResult:
        """Search for a good assignment; an optimizer serves one run."""
        return self.search(run_round, on_progress)

    def finish(self, measured: QaoaResult, _: ClassicalPart, /) -> Outcome:
        """Return the outcome beside classical searches, with the best assignment in the problem's terms."""
        outcome = beside_classical(measured, self.problem)
        best, value = outcome.best_bitstring, outcome.best_value
        solution = describe_assignment(self.problem, best, value)
        return replace(outcome, table=_assignment(self.problem, best), solution=solution)


def prepare_qaoa(
    problem: ProblemText, settings: QaoaSettings, seed: int, target: Target, recorded: Recorded = NOTHING
) -> PreparedQaoa:
    """Build a QAOA run from its problem text. Raises InputError."""
    binary = read_binary(problem, settings.objective)
    ansatz, of_constraints = circuit_of(binary, settings, seed)
    _check_slack_fits(ansatz, target)
    check_circuit_fits(target, ansatz.cost.num_variables)
    ansatz, angles, origin = choose_angles(ansatz, settings)
    least = recorded_least_shots(recorded.groupings) or measurement_costs(target, ansatz.circuit, settings).least_shots
    shots = shots_of(settings, target, least)
    first = shots_of(recorded.before[0] if recorded.before else settings, target, least)  # an extension's search, too
    start = start_assignment(binary, settings)
    search = QaoaSearch(
        optimizer_of_angles(settings, seed, least), settings.extend_to, settings.cvar, settings.max_rounds, first
    )
    on_lost = missing_point_policy(settings.failure)
    search.check(ansatz, on_lost)

    def run(run_round: RunRound, on_progress: Callable[[RoundProgress], None]) -> QaoaResult:
        outcome = qaoa(
            ansatz,
            run_round,
            shots=shots,
            precision=math.inf if settings.precision is None else settings.precision,
            search=search,
            on_lost=on_lost,
            on_progress=on_progress,
            assignment=start,
        )
        outcome = replace(outcome, choices=(*outcome.choices, f"angles: {angles}"))
        if settings.search is not SearchName.MEASURED:
            outcome = beside_simulation(outcome, ansatz)
        return beside_chance(outcome, ansatz, shots=shots)

    sizes = list(ansatz.cost.terms.values())
    most = 1 if settings.precision is None or not target.samples else MAX_ROUNDS
    rounds = PlanFacts(_search_rounds(settings), most, deviation=float(np.linalg.norm(sizes)))
    facts = facts_of_binary(ansatz.problem, -round(binary.sign))
    choices = chosen(search=origin, constraints=of_constraints)
    return PreparedQaoa(facts, ansatz.problem, rounds, run, least, choices)


def _search_rounds(settings: QaoaSettings) -> int:
    """Return the most rounds of a search at each number of layers; without one, a single round tries all numbers."""
    is_measured = settings.search is SearchName.MEASURED
    if settings.extend_to is None:
        return settings.max_rounds if is_measured else 0
    longer = settings.extend_to - settings.layers
    return longer + (1 + longer) * settings.max_rounds if is_measured else 1


def _check_slack_fits(ansatz: QaoaCircuit, target: Target) -> None:
    """Raise InputError for a circuit that would fit the target without its slack bits."""
    variables, qubits = ansatz.problem.num_variables, ansatz.cost.num_variables
    most = target.simulated_qubits if target.qubits is None else target.qubits
    if most is not None and variables <= most < qubits:
        what = (
            f"{variables} variables fit the {most} qubits of {target.name}, and {qubits - variables} slack bits do not"
        )
        remedy = "Give unbalanced, whose penalties take no qubits and are not shown to be safe, or another target."
        raise InputError("inequalities", what, remedy)


def _assignment(problem: BinaryProblem, bitstring: str | None) -> Table:
    if bitstring is None:
        return ()
    (values,) = problem.values_of([[int(bit) for bit in reversed(bitstring)]]).tolist()
    return tuple({"variable": name, "value": value} for name, value in zip(problem.variables, values, strict=True))
