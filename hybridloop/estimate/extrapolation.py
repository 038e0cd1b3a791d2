"""Extrapolation of dry runs: rounds assumed for a trial that was cut, and the most rounds that settings allow.

The limits leave out retries of failed jobs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from hybridloop.algorithms.estimation.coefficient_splitting import expected_deviations
from hybridloop.algorithms.estimation.final import MAX_ROUNDS, MIN_PILOT_SHOTS
from hybridloop.algorithms.estimation.observable import observable
from hybridloop.algorithms.estimation.reference_state import ReferenceState
from hybridloop.algorithms.levels import MAX_LEVEL_ROUNDS
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.estimate.dry_run import FINAL, OTHER, SEARCH, DryRound, Trial
from hybridloop.preparation.adapt import PreparedAdapt
from hybridloop.preparation.levels import PreparedBasisLevels, PreparedLevels
from hybridloop.preparation.prepared import PreparedAlgorithm
from hybridloop.preparation.scan import PreparedScan
from hybridloop.preparation.vqe import PreparedVqe
from hybridloop.settings import (
    AdaptSettings,
    EnergySettings,
    LevelsSettings,
    MoleculeSettings,
    QaoaSettings,
    RqaoaSettings,
    RunSettings,
)

MAX_ROUNDS_OF_FACTS = 2  # after the final measurement: operators outside the circuit, or the energy variance
ASSUMED_ROUNDS = 30  # of a search that was not simulated to its end


@dataclass(frozen=True, slots=True)
class RoundLimits:
    """The most rounds of each phase; None: the number of the dry run, because it is fixed."""

    search: int
    final: int
    other: int | None = None


def round_limits(prepared: PreparedAlgorithm, settings: RunSettings, *, samples: bool) -> RoundLimits:
    """Return the limits of a run. A target that does not sample measures the answer once."""
    final = MAX_ROUNDS if samples else 1
    match settings:
        case AdaptSettings():
            return RoundLimits(settings.max_operators * settings.max_rounds, final, settings.max_operators + 1)
        case LevelsSettings():
            if isinstance(prepared, PreparedBasisLevels):
                return RoundLimits(0, MAX_LEVEL_ROUNDS)
            return RoundLimits(settings.max_rounds, final + MAX_LEVEL_ROUNDS)
        case EnergySettings():  # of a VQE, or of each point of a scan
            points = len(prepared.points) if isinstance(prepared, PreparedScan) else 1
            return RoundLimits(points * settings.max_rounds, points * final, points * MAX_ROUNDS_OF_FACTS)
        case MoleculeSettings():  # an upper bound from the samples of one round
            return RoundLimits(0, 1)
        case QaoaSettings():
            return RoundLimits(_qaoa_search_rounds(settings), 1)
        case RqaoaSettings():
            return RoundLimits(max(0, prepared.facts.num_qubits - settings.brute_force_below), 0)
    raise TypeError(f"settings of no algorithm: {type(settings).__name__}")


def _qaoa_search_rounds(settings: QaoaSettings) -> int:
    """Two rounds per step for each number of layers that is tried; without steps one round tries all numbers."""
    steps = 2 * settings.refine
    if settings.extend_to is None:
        return steps
    return (settings.extend_to - settings.layers) * (1 + steps) + steps if steps else 1


def extrapolate(
    trial: Trial, limits: RoundLimits, prepared: PreparedAlgorithm, settings: RunSettings, *, samples: bool
) -> tuple[Trial, str | None]:
    """Replace the rounds that were not simulated by assumed ones; return the trial and the assumption (None: none).

    A search has `ASSUMED_ROUNDS` rounds, or its limit, each as large as the largest simulated one. The final
    measurement has the shots that its precision takes by the operator's terms.
    """
    if trial.cut is None or (trial.ended and not limits.search):
        return trial, None
    largest = max(trial.rounds, key=lambda round_: (round_.phase == SEARCH, round_.shots))
    simulated = sum(round_.phase == SEARCH for round_ in trial.rounds)
    number = min(limits.search, max(ASSUMED_ROUNDS, simulated))
    others = [round_ for round_ in trial.rounds if round_.phase == OTHER and round_ is not largest]
    rounds = [*others, *[replace(largest, phase=SEARCH)] * number]
    assumptions = [f"the search is assumed to take {number} rounds, each as large as the largest simulated one"]
    if limits.final:
        shots = _final_shots(prepared, settings) if samples and isinstance(settings, EnergySettings) else 0
        rounds.append(_final_round(trial, largest, shots))
        if shots:
            assumptions.append(f"the final measurement {shots:.1e} shots, by its precision and the operator's terms")
    if isinstance(prepared, PreparedLevels):
        rounds += _level_rounds(prepared, rounds[-1])
        assumptions.append(f"the levels two rounds over {prepared.space.states} states")
    return Trial(tuple(rounds), None, ended=True), f"not simulated to the end ({trial.cut}): {', '.join(assumptions)}"


def _final_round(trial: Trial, largest: DryRound, shots: int) -> DryRound:
    """Return a final round over the circuits of a simulated one, else over those of the search, one point each."""
    example = next((round_ for round_ in trial.rounds if round_.phase == FINAL), largest)
    shots_per_pub = math.ceil(shots / len(example.pubs))
    pubs = tuple(replace(pub, points=1, shots=max(pub.shots, shots_per_pub)) for pub in example.pubs)
    return DryRound(FINAL, pubs)


def _level_rounds(prepared: PreparedLevels, final: DryRound) -> list[DryRound]:
    """Return a pilot and a second round over the circuits of all states, with a final measurement for each level."""
    states = prepared.space.states
    shares = [MIN_PILOT_SHOTS, math.ceil(prepared.settings.levels * max(pub.shots for pub in final.pubs) / states)]
    return [DryRound(FINAL, tuple(replace(pub, shots=shots) for pub in final.pubs) * states) for shots in shares]


def _final_shots(prepared: PreparedAlgorithm, settings: EnergySettings) -> int:
    """(Σ_g σ_g / precision)² over all groups, for each point of a scan."""
    points = prepared.points if isinstance(prepared, PreparedScan) else (prepared,)
    return sum(math.ceil((_deviations(point) / settings.precision) ** 2) for point in points)


def _deviations(prepared: PreparedAlgorithm) -> float:
    if isinstance(prepared, PreparedLevels):
        prepared = prepared.vqe
    assert isinstance(prepared, PreparedVqe | PreparedAdapt | PreparedBasisLevels)
    if not isinstance(prepared, PreparedAdapt):
        return float(prepared.energy.deviations.sum())
    problem, reference = prepared.problem, None
    if isinstance(problem, ElectronicProblem):
        reference = ReferenceState.perturbed(problem.hamiltonian, problem.reference_state)
    return float(expected_deviations(observable(problem.hamiltonian), reference).sum())
