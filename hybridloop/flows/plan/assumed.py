"""What is taken for granted where a run was not simulated to its end, and how that is said."""

from __future__ import annotations

import math
from dataclasses import replace

from hybridloop.algorithms.electronic import ElectronicProblem
from hybridloop.algorithms.measurement import Observable, observable
from hybridloop.algorithms.sharing import expected_deviations, unknown_deviations
from hybridloop.flows.plan.limits import Limits
from hybridloop.flows.plan.rehearsal import FINAL, OTHER, SEARCH, Round, Trial
from hybridloop.flows.problems import Prepared, PreparedVqe
from hybridloop.flows.scanning import PreparedScan
from hybridloop.flows.settings import EnergySettings, RunSettings, VqdSettings
from hybridloop.flows.subjects import OfSubject

ASSUMED_ROUNDS = 30


def completed(
    trial: Trial, limits: Limits, prepared: Prepared, settings: RunSettings, *, samples: bool
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


def _answer_shots(prepared: Prepared, settings: EnergySettings) -> int:
    """(Σ_g σ_g / precision)² over all groups, for each point of a scan, for each level."""
    parts = prepared.points if isinstance(prepared, PreparedScan) else (prepared,)
    levels = settings.levels if isinstance(settings, VqdSettings) else 1
    return levels * sum(math.ceil((_deviations(each) / settings.precision) ** 2) for each in parts)


def _deviations(prepared: Prepared) -> float:
    assert isinstance(prepared, OfSubject)
    subject = prepared.problem
    measured: Observable = (
        prepared.energy.observable if isinstance(prepared, PreparedVqe) else observable(subject.hamiltonian)
    )
    if isinstance(subject, ElectronicProblem):
        return expected_deviations(measured, subject.reference_state)
    return unknown_deviations(measured)
