"""Stages of an extended run: pooled while they agree; their intervals hold, unless the value decides to extend it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Statevector

from hybridloop.algorithms.estimation.estimates import Z95, Estimate, GroupStatistics, evaluation
from hybridloop.algorithms.estimation.final import FinalMeasurement, Stages, measure_final_estimate
from hybridloop.algorithms.rounds import Counts, FailedPoint, MeasuredPub, pub_points
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.settings import ProblemText
from tests.preparation_helpers import prepare_vqe

RUNS = 200


def drawn(shots: int, mean: float, generator: np.random.Generator) -> GroupStatistics:
    values = generator.normal(mean, 1.0, shots)
    return GroupStatistics(shots, float(values.mean()), float(((values - values.mean()) ** 2).sum()), 3.0)


def test_stages_that_agree_are_pooled_and_one_that_drifted_is_left_out() -> None:
    generator = np.random.default_rng(3)
    before: list[list[GroupStatistics | None]] = [
        [drawn(4000, mean, generator) for mean in (0.0, 1.0, 2.0)] for _ in range(2)
    ]
    stages = Stages(before, 3)
    assert stages.drifted == 0
    assert [each.shots for each in stages.pooled if each is not None] == [8000] * 3
    stages.add({1: drawn(4000, 1.0, generator)})
    assert [each.shots for each in stages.pooled if each is not None] == [8000, 12_000, 8000]
    stages.add({1: drawn(40_000, 1.3, generator)})
    assert stages.drifted == 24_000
    assert [None if each is None else each.shots for each in stages.pooled] == [None, 44_000, None]


def test_stages_without_a_group_in_common_are_pooled() -> None:
    generator = np.random.default_rng(3)
    stages = Stages([[drawn(10, 0.0, generator), None]], 2)
    stages.add({1: drawn(20, 5.0, generator)})
    assert [each.shots for each in stages.pooled if each is not None] == [10, 20]


class DrawnRounds:
    """A `RunRound` that draws from the exact distributions, and has what was measured before it `goes_on`."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator
        self._measured: list[tuple[str, Counts]] = []
        self._before: list[tuple[str, Counts]] = []
        self.shots = 0

    def goes_on(self) -> None:
        self._before, self._measured = [*self._before, *self._measured], []

    def left(self, pubs: Sequence[SamplerPub], /) -> list[list[MeasuredPub]]:
        found = [[counts for name, counts in self._before if name == place(pub)] for pub in pubs]
        if not any(found):
            return []
        summed = [sum_of(each) if each else FailedPoint("none") for each in found]
        return [[MeasuredPub(pub_points(pub), (each,)) for pub, each in zip(pubs, summed, strict=True)]]

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        results = []
        for pub in pubs:
            shots, weights = int(pub.shots or 0), probabilities(pub)
            names = list(weights)
            numbers = self._generator.multinomial(shots, [weights[name] for name in names])
            counts = Counts.from_bitstrings({n: int(k) for n, k in zip(names, numbers, strict=True) if k})
            self._measured.append((place(pub), counts))
            self.shots += shots
            results.append(MeasuredPub(pub_points(pub), (counts,)))
        return results


def sum_of(parts: Sequence[Counts]) -> Counts:
    total: dict[str, int] = {}
    for part in parts:
        for name, number in part.bitstrings().items():
            total[name] = total.get(name, 0) + number
    return Counts.from_bitstrings(total)


_kept: dict[str, dict[str, float]] = {}


def place(pub: SamplerPub) -> str:
    return f"{id(pub.circuit)}/{pub_points(pub).tolist()}"


def probabilities(pub: SamplerPub) -> dict[str, float]:
    if place(pub) not in _kept:
        bound = pub.circuit.assign_parameters(pub_points(pub)[0])
        exact = Statevector(bound.remove_final_measurements(inplace=False)).probabilities_dict()
        scale = sum(exact.values())
        _kept[place(pub)] = {name: value / scale for name, value in exact.items()}
    return _kept[place(pub)]


class Hydrogen:
    """Final measurements of H2 at one point, whose energy is known."""

    def __init__(self) -> None:
        made = prepare_vqe(ProblemText(name="h2"), VqeSettings(ansatz="uccsd"), 0)
        self.point = made.ansatz.initial_point
        self.evaluated = evaluation(made.energy.observable, made.ansatz, DrawnRounds(np.random.default_rng(0)))
        state = Statevector(made.ansatz.circuit.assign_parameters(self.point))
        self.energy = float(state.expectation_value(made.problem.hamiltonian).real)

    def measured(self, rounds: DrawnRounds, precision: float) -> FinalMeasurement:
        evaluated, pilot = replace(self.evaluated, run_round=rounds), [300] * len(self.evaluated.circuits)
        return measure_final_estimate(evaluated, self.point, pilot=pilot, precision=precision, on_round=lambda *_: None)

    def off(self, estimate: Estimate) -> float:
        """Return the error of an estimate in its standard errors."""
        return (estimate.value - self.energy) / estimate.standard_error


@pytest.fixture(scope="module")
def hydrogen() -> Hydrogen:
    return Hydrogen()


def test_intervals_hold_in_runs_that_go_on_for_a_smaller_error(hydrogen: Hydrogen) -> None:
    errors, ratios = [], []
    for seed in range(RUNS):
        rounds = DrawnRounds(np.random.default_rng(seed))
        hydrogen.measured(rounds, 0.004)
        rounds.goes_on()
        found = hydrogen.measured(rounds, 0.002)
        assert found.is_precise
        assert not found.warnings
        assert found.estimate.shots == rounds.shots
        errors.append(hydrogen.off(found.estimate))
        at_once = DrawnRounds(np.random.default_rng(seed))
        hydrogen.measured(at_once, 0.002)
        ratios.append(rounds.shots / at_once.shots)
    assert np.mean(np.abs(errors) <= Z95) >= 0.92
    assert abs(np.mean(errors)) <= 4.0 / math.sqrt(RUNS)
    assert np.median(ratios) <= 1.15


def test_a_run_that_goes_on_because_of_its_value_is_biased(hydrogen: Hydrogen) -> None:
    errors = []
    for seed in range(RUNS):
        rounds = DrawnRounds(np.random.default_rng(seed))
        found, precision = hydrogen.measured(rounds, 0.004), 0.004
        while hydrogen.off(found.estimate) > 0.0 and precision > 0.002:  # until it is low enough
            rounds.goes_on()
            precision *= 0.9
            found = hydrogen.measured(rounds, precision)
        errors.append(hydrogen.off(found.estimate))
    assert np.mean(errors) < -4.0 / math.sqrt(RUNS)
