"""Newton optimizer on a simulated circuit: finds the minimum of what is measured, and is not moved by noise alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.ansatz import EnergyModel
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.corrected_model import CorrectedModel
from hybridloop.algorithms.rounds import FailedPoint
from hybridloop.errors import InputError, JobFailed

Energy = Callable[[NDArray[np.float64]], float]
ANGLES = 3


@dataclass(frozen=True)
class Model(EnergyModel):
    """Coupled waves with their minimum at `lowest`."""

    lowest: NDArray[np.float64]

    def energy(self, point: NDArray[np.float64]) -> float:
        return self.objective_and_gradient(point)[0]

    def objective_and_gradient(self, point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        d = point - self.lowest
        value = -np.cos(d).sum() + 0.4 * np.sin(d[0]) * np.sin(d[1])
        gradient = np.sin(d)
        gradient[0] += 0.4 * np.cos(d[0]) * np.sin(d[1])
        gradient[1] += 0.4 * np.sin(d[0]) * np.cos(d[1])
        return float(value), gradient


MODEL = Model(np.zeros(ANGLES))
ELSEWHERE = np.array([0.1, -0.05, 0.08])  # the minimum of what is measured


def search(energy: Energy, noise: float = 0.0, seed: int = 0, rounds: int = 20) -> CorrectedModel:
    rng = np.random.default_rng(seed)
    optimizer = CorrectedModel(np.zeros(ANGLES), ((1,),) * ANGLES, model=MODEL)
    for _ in range(rounds):
        points = optimizer.ask()
        if not len(points):
            break
        optimizer.tell(points, [Estimate(energy(p) + noise * rng.normal(), noise**2, 1000) for p in points])
    return optimizer


def test_the_minimum_of_what_is_measured_is_found_where_the_model_has_another() -> None:
    found = search(Model(ELSEWHERE).energy)
    assert found.best is not None
    assert Model(ELSEWHERE).energy(found.best.point) == pytest.approx(Model(ELSEWHERE).energy(ELSEWHERE), abs=2e-4)
    assert Model(ELSEWHERE).energy(np.zeros(ANGLES)) > Model(ELSEWHERE).energy(ELSEWHERE) + 5e-3
    assert found.stop is not None
    assert found.stop.converged


def test_a_model_that_is_right_is_not_left_for_noise() -> None:
    moved = [np.abs(found.best.point).max() for seed in range(30) if (found := search(MODEL.energy, 0.01, seed)).best]
    assert np.median(moved) < 2e-3  # plain Newton steps would be of 0.01
    assert max(moved) < 0.04


def test_damped_energies_of_a_noisy_machine_do_not_move_the_minimum() -> None:
    found = search(lambda point: 0.8 * MODEL.energy(point) + 0.3)
    assert found.best is not None
    np.testing.assert_allclose(found.best.point, 0.0, atol=1e-6)
    assert found.best.value == pytest.approx(0.8 * MODEL.energy(np.zeros(ANGLES)) + 0.3)


def test_the_softest_curvature_is_measured_and_a_saddle_is_no_minimum() -> None:
    found = search(MODEL.energy, noise=0.005)
    assert found.softest is not None
    assert found.softest.is_minimum
    expected = np.linalg.eigvalsh(MODEL.hessian(np.zeros(ANGLES)))[0]
    assert abs(found.softest.curvature - expected) < 5.0 * found.softest.standard_error
    saddle = search(lambda point: MODEL.energy(point) - 2.0 * float(1.0 - np.cos(point[2])), 0.005, rounds=1)
    assert saddle.softest is not None
    assert not saddle.softest.is_minimum
    assert saddle.stop is None


def test_noise_that_may_hide_a_gain_asks_for_more_rounds() -> None:
    noisy = search(MODEL.energy, noise=0.05, rounds=1)
    assert noisy.stop is None
    ended = search(MODEL.energy, noise=0.05, rounds=40)
    assert ended.stop is not None
    assert ended.stop.converged


def test_failed_points_are_measured_again_and_not_for_ever() -> None:
    optimizer = CorrectedModel(np.zeros(ANGLES), ((1,),) * ANGLES, model=MODEL)
    points = optimizer.ask()
    estimates = [Estimate(MODEL.energy(point), 1e-6, 1000) for point in points]
    optimizer.tell(points, [*estimates[:-1], FailedPoint("lost")])
    assert optimizer.ask().tolist() == points[-1:].tolist()
    optimizer.tell(points[-1:], estimates[-1:])
    assert optimizer.stop is not None
    assert optimizer.stop.converged
    failing = CorrectedModel(np.zeros(ANGLES), ((1,),) * ANGLES, model=MODEL)
    for _ in range(3):
        failing.tell(points, [FailedPoint("lost")] * len(points))
    with pytest.raises(JobFailed):
        failing.tell(points, [FailedPoint("lost")] * len(points))


def test_a_circuit_that_is_not_simulated_is_refused() -> None:
    with pytest.raises(InputError, match="is not simulated"):
        CorrectedModel(np.zeros(2), ((1,), (1,)))
