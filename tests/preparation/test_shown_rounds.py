"""Every value that a search shows was measured at its point; its end is no worse than the start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Statevector

from hybridloop.algorithms.outcome import Outcome
from hybridloop.algorithms.qaoa.circuit import QaoaCircuit
from hybridloop.algorithms.rounds import FailedPoint, MeasuredPub
from hybridloop.descriptions.qaoa import QaoaSettings
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import RoundTooLarge
from hybridloop.preparation.choices.constraints import circuit_of
from hybridloop.preparation.vqe import PreparedVqe
from hybridloop.settings import ProblemText
from tests.algorithms.batched_state_helpers import shot_rounds
from tests.preparation_helpers import prepare_qaoa, prepare_vqe

SIGMAS = 4.5
EDGES = "0 1\n0 3\n0 4\n1 2\n1 5\n2 3\n2 4\n3 5\n4 5\n"
CUT = ProblemText(name="cut", text=EDGES)
LOST = 0.1  # share of the results
LAYERS = 3


class Rounds:
    """Rounds with shot noise, of which a cap ends one, or jobs of which are lost."""

    def __init__(self, seed: int, how: str) -> None:
        self._run, self._how, self._calls = shot_rounds(seed), how, 0
        self._lost = np.random.default_rng(seed)

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        self._calls += 1
        if self._how == "capped" and self._calls == 2:
            raise RoundTooLarge("max_jobs", "3 jobs of 3 jobs are spent", "Raise it.", "--max-jobs 99")
        results = self._run(pubs)
        if self._how != "lost jobs":
            return results
        return [
            MeasuredPub(each.points, tuple(FailedPoint("gone") if self._lost.random() < LOST else c for c in each))
            for each in results
        ]


def settings_of(how: str) -> dict[str, Any]:
    skips = {"failure": {"on_lost_job": "skip"}} if how == "lost jobs" else {}
    return {"search": "measured", **({"max_rounds": 2} if how == "limited" else {}), **skips}


def exact_energy(prepared: PreparedVqe, point: Sequence[float]) -> float:
    state = Statevector(prepared.ansatz.circuit.assign_parameters(np.array(point)))
    return float(state.expectation_value(prepared.energy.observable.operator).real)


def exact_cut(ansatz: QaoaCircuit, point: Sequence[float], fraction: float) -> float:
    """Return the mean cut of the best fraction of the outcomes."""
    circuit = ansatz.circuit.assign_parameters(np.array(point)).remove_final_measurements(inplace=False)
    probabilities = Statevector(circuit).probabilities()
    pairs = [tuple(map(int, line.split())) for line in EDGES.splitlines()]
    cuts = np.array([sum((i >> a & 1) != (i >> b & 1) for a, b in pairs) for i in range(len(probabilities))], float)
    order = np.argsort(-cuts, kind="stable")
    taken = np.diff(np.minimum(np.cumsum(probabilities[order]), fraction), prepend=0.0)
    return float(taken @ cuts[order]) / fraction


VQES: list[tuple[str, dict[str, Any]]] = [
    ("h4", {"ansatz": "puccd"}),
    ("lih-3.0-cas22", {"ansatz": "uccsd", "optimizer": "trust-region"}),
    ("h2", {"ansatz": "hardware-efficient", "layers": 1}),
    ("h2", {"ansatz": "hardware-efficient", "optimizer": "scipy:cobyla"}),
]
WAYS = ["whole", "limited", "capped", "lost jobs"]
# SciPy's methods need each point
CASES = [(*each, how) for each in VQES for how in WAYS if how != "lost jobs" or "scipy" not in str(each)]


@pytest.mark.parametrize(("name", "values", "how"), CASES)
def test_each_value_of_a_vqe_is_that_of_its_point(name: str, values: dict[str, Any], how: str) -> None:
    settings = VqeSettings.model_validate({**settings_of(how), **values})
    prepared = prepare_vqe(ProblemText(name=name), settings, 3)
    outcome = prepared.measure(Rounds(3, how), lambda _: None)
    exact = [exact_energy(prepared, each.point) for each in outcome.history]
    assert_measured(outcome, exact)
    assert exact[-1] <= exact_energy(prepared, prepared.ansatz.initial_point.tolist()) + 2.0 * outcome.standard_error


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("cvar", [1.0, 0.25])
def test_each_value_of_qaoa_is_that_of_its_point(cvar: float, how: str) -> None:
    settings = QaoaSettings.model_validate({"layers": LAYERS, "cvar": cvar, **settings_of(how)})
    prepared = prepare_qaoa(CUT, settings, 3)
    ansatz = circuit_of(prepared.problem, settings, 3)[0]
    outcome = prepared.measure(Rounds(3, how), lambda _: None)
    fractions = [cvar if each.phase == "search" else 1.0 for each in outcome.history]
    exact = [exact_cut(ansatz, each.point, cut) for each, cut in zip(outcome.history, fractions, strict=True)]
    assert_measured(outcome, exact)


def assert_measured(outcome: Outcome, exact: Sequence[float]) -> None:
    for each, energy in zip(outcome.history, exact, strict=True):
        assert abs(each.value - energy) <= SIGMAS * each.standard_error


@pytest.mark.parametrize("max_rounds", [1, 2, 3])
def test_a_search_that_a_limit_ends_is_no_worse_than_its_start(max_rounds: int) -> None:
    where = set()
    for seed in range(1, 6):
        settings = QaoaSettings(layers=LAYERS, search="measured", max_rounds=max_rounds)
        prepared = prepare_qaoa(CUT, settings, seed)
        ansatz = circuit_of(prepared.problem, settings, seed)[0]
        outcome = prepared.measure(shot_rounds(seed), lambda _: None)
        start, end = (exact_cut(ansatz, point, 1.0) for point in (outcome.history[0].point, outcome.parameters))
        assert end >= start - 2.0 * outcome.standard_error
        where.add(outcome.reason.partition("; measured at the ")[2].split()[0])
    assert where <= {"start", "point", "last"}
    assert ("start" in where) == (max_rounds < 4)
