"""What is taken for granted where a run was not simulated to its end, and how that is said.

How many rounds a run may take at most, by its settings; jobs that are lost and asked again come on top.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from hybridloop.algorithms.estimation.final import MAX_ROUNDS
from hybridloop.algorithms.estimation.grouping import expected_deviations, random_state_deviations
from hybridloop.algorithms.estimation.observable import Observable, observable
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.estimate.dry_run import FINAL, OTHER, SEARCH, Round, Trial
from hybridloop.preparation.adapt import PreparedAdapt
from hybridloop.preparation.prepared import PreparedAlgorithm
from hybridloop.preparation.scan import PreparedScan
from hybridloop.preparation.vqd import PreparedVqd
from hybridloop.preparation.vqe import PreparedVqe
from hybridloop.settings import AdaptSettings, EnergySettings, QaoaSettings, RqaoaSettings, RunSettings, VqdSettings


@dataclass(frozen=True, slots=True)
class Limits:
    """The most rounds of each phase; None: as many as were seen, because their number is fixed."""

    search: int
    final: int
    other: int | None = None

    def of(self, phase: str) -> int | None:
        """The phase's limit."""
        return {SEARCH: self.search, FINAL: self.final, OTHER: self.other}[phase]


def limits_of(prepared: PreparedAlgorithm, settings: RunSettings, *, samples: bool) -> Limits:
    """The limits of a run. A target that does not sample is asked once for the answer."""
    final = MAX_ROUNDS if samples else 1
    match settings:
        case AdaptSettings():
            return Limits(settings.max_operators * settings.max_rounds, final, settings.max_operators + 1)
        case VqdSettings():
            return Limits(settings.levels * settings.max_rounds, settings.levels * final)
        case EnergySettings():  # of a VQE, or of each point of a scan
            points = len(prepared.points) if isinstance(prepared, PreparedScan) else 1
            return Limits(points * settings.max_rounds, points * final)
        case QaoaSettings():
            return Limits(_qaoa_searches(settings), 1)
        case RqaoaSettings():
            return Limits(max(0, prepared.facts.num_qubits - settings.brute_force_below), 0)
    raise TypeError(f"settings of no algorithm: {type(settings).__name__}")


def _qaoa_searches(settings: QaoaSettings) -> int:
    """Two rounds a step, one for each number of layers that is tried; without steps one round tries all of them."""
    steps = 2 * settings.refine
    if settings.extend_to is None:
        return steps
    return (settings.extend_to - settings.layers) * (1 + steps) + steps if steps else 1


ASSUMED_ROUNDS = 30


def completed(
    trial: Trial, limits: Limits, prepared: PreparedAlgorithm, settings: RunSettings, *, samples: bool
) -> tuple[Trial, str | None]:
    """The trial with rounds in place of those that were not rehearsed, and a sentence that says which; None: none.

    Of a search: as many as `ASSUMED_ROUNDS` in all, or its limit, each as large as the largest that was seen. Of the
    answer: the shots that its precision takes by the operator's terms.
    """
    if trial.cut is None or (trial.ended and not limits.search):
        return trial, None
    searching = max(trial.rounds, key=lambda each: (each.phase == SEARCH, each.shots))
    seen = sum(each.phase == SEARCH for each in trial.rounds)
    wanted = min(limits.search, max(ASSUMED_ROUNDS, seen))
    others = [each for each in trial.rounds if each.phase == OTHER and each is not searching]
    rounds = [*others, *[replace(searching, phase=SEARCH)] * wanted]
    said = [f"the search is taken to have {wanted} rounds, each as the largest that was seen"]
    if limits.final:
        shots = _answer_shots(prepared, settings) if samples and isinstance(settings, EnergySettings) else 0
        rounds.append(_answer(trial, searching, shots))
        if shots:
            said.append(f"the final measurement {shots:.1e} shots, as its precision takes by the operator's terms")
    why = f"not rehearsed to its end ({trial.cut}): {', '.join(said)}"
    return Trial(tuple(rounds), None, ended=True), why


def _answer(trial: Trial, searching: Round, shots: int) -> Round:
    """A final round over the circuits of one that was seen, else those of the search, one point each."""
    known = next((each for each in trial.rounds if each.phase == FINAL), searching)
    each = math.ceil(shots / len(known.asked))
    asked = tuple(replace(one, points=1, shots=max(one.shots, each)) for one in known.asked)
    return Round(FINAL, asked)


def _answer_shots(prepared: PreparedAlgorithm, settings: EnergySettings) -> int:
    """(Σ_g σ_g / precision)² over all groups, for each point of a scan, for each level."""
    parts = prepared.points if isinstance(prepared, PreparedScan) else (prepared,)
    levels = settings.levels if isinstance(settings, VqdSettings) else 1
    return levels * sum(math.ceil((_deviations(each) / settings.precision) ** 2) for each in parts)


def _deviations(prepared: PreparedAlgorithm) -> float:
    assert isinstance(prepared, PreparedVqe | PreparedAdapt | PreparedVqd)
    subject = prepared.problem
    measured: Observable = (
        prepared.energy.observable if isinstance(prepared, PreparedVqe) else observable(subject.hamiltonian)
    )
    if isinstance(subject, ElectronicProblem):
        return expected_deviations(measured, subject.reference_state)
    return random_state_deviations(measured)
