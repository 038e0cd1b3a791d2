"""Trust-region search: exact energies lead to the minimum, noise to more shots, and a saddle to no claim."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.base import MAX_REPEATS
from hybridloop.algorithms.optimizers.trust_region import DEFAULT_TOLERANCE, FIRST_SHOTS, LARGEST_ROUND, TrustRegion
from hybridloop.algorithms.rounds import FailedPoint
from hybridloop.errors import InputError, JobFailed

Array = NDArray[np.float64]
Energy = Callable[[Array], float]


def bowl(point: Array) -> float:
    """Waves of frequency 1, coupled; the minimum is −2, at (0.4, −0.9)."""
    x, y = point - np.array([0.4, -0.9])
    return float(-np.cos(x) - np.cos(y) + 0.4 * np.sin(x) * np.sin(y))


def measured(
    optimizer: TrustRegion, energy: Energy, rng: np.random.Generator | None = None, deviation: float = 1.0
) -> list[Estimate]:
    """Return estimates of a round; with `rng` each has the noise of its shots, of this standard deviation a shot."""
    estimates = []
    for point, shots in zip(optimizer.ask(), optimizer.point_shots, strict=True):
        variance = 0.0 if rng is None else deviation**2 / shots
        noise = 0.0 if rng is None else variance**0.5 * rng.normal()
        estimates.append(Estimate(energy(point) + noise, variance, int(shots)))
    return estimates


def run(optimizer: TrustRegion, energy: Energy, rng: np.random.Generator | None = None, rounds: int = 200) -> int:
    """Run rounds until the optimizer stops; return their number."""
    for count in range(rounds):
        if optimizer.stop is not None:
            return count
        optimizer.tell(optimizer.ask(), measured(optimizer, energy, rng))
    return rounds


def found(optimizer: TrustRegion, energy: Energy) -> float:
    assert optimizer.best is not None
    return energy(optimizer.best.point)


def test_a_quadratic_energy_of_unknown_frequencies_leads_to_its_minimum() -> None:
    scales = np.array([1.0, 0.1, 0.02])
    curvatures = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, -0.3], [0.0, -0.3, 0.8]])

    def energy(point: Array) -> float:
        phase = (point - np.array([0.3, -0.05, 0.02])) / scales
        return float(0.5 * phase @ curvatures @ phase)

    optimizer = TrustRegion(np.zeros(3), ((),) * 3, scales=scales)
    assert run(optimizer, energy) < 15
    assert optimizer.stop is not None
    assert optimizer.stop.converged
    assert found(optimizer, energy) < DEFAULT_TOLERANCE / 5


@pytest.mark.parametrize("start", [(0.0, 0.0, 0.0), (0.9, -0.4, 0.8), (0.5, 0.5, -0.3)])
def test_a_trigonometric_energy_of_several_frequencies_leads_to_its_minimum(start: Sequence[float]) -> None:
    def energy(point: Array) -> float:
        x, y, z = point - np.array([0.3, -0.2, 0.4])
        waves = -np.cos(x) - 0.3 * np.cos(2 * x) - np.cos(2 * y) - np.cos(z) - 0.1 * np.cos(3 * z)
        return float(waves + 0.4 * np.sin(x) * np.sin(2 * y) - 0.3 * np.sin(2 * y) * np.sin(z))

    optimizer = TrustRegion(np.array(start), ((1, 2), (2,), (1, 2, 3)))
    assert run(optimizer, energy) < 15
    assert optimizer.stop is not None
    assert optimizer.stop.converged
    assert found(optimizer, energy) - energy(np.array([0.3, -0.2, 0.4])) < DEFAULT_TOLERANCE / 2


def saddle(point: Array) -> float:
    """Waves with a saddle at (0, 0), where both slopes are 0, and a minimum of −1.3 at (0, π)."""
    return float(-np.cos(point[0]) + 0.3 * np.cos(point[1]))


def test_a_saddle_is_not_claimed_where_no_slope_leaves_it() -> None:
    optimizer = TrustRegion(np.zeros(2), ((1,), (1,)), tolerance=0.01)
    while optimizer.stop is None:  # an exact distribution, rounded to its shots
        pairs = zip(optimizer.ask(), optimizer.point_shots, strict=True)
        rounded = [Estimate(saddle(p), 0.0, int(n), is_exact=True, rounding_bound=5.2 / n) for p, n in pairs]
        optimizer.tell(optimizer.ask(), rounded)
    assert (optimizer.stop.converged, optimizer.stop.is_requested) == (False, False)
    assert optimizer.stop.reason.startswith("plateau: ")
    assert "unresolved curvature may hide 0.0" in optimizer.stop.reason  # 0.3 · 0.5² / 2 and more


def test_noise_leaves_a_saddle() -> None:
    optimizer = TrustRegion(np.zeros(2), ((1,), (1,)), tolerance=0.01)
    run(optimizer, saddle, np.random.default_rng(3))
    assert optimizer.stop is not None
    assert optimizer.stop.converged
    assert found(optimizer, saddle) == pytest.approx(-1.3, abs=0.01)


def test_the_end_of_a_search_from_a_random_start_is_no_convergence() -> None:
    optimizer = TrustRegion(np.array([0.5, 0.5]), ((1,), (1,)), is_random=True)
    run(optimizer, bowl)
    assert optimizer.stop is not None
    assert (optimizer.stop.converged, optimizer.stop.is_requested) == (False, False)
    assert optimizer.stop.reason.startswith("best of 1 start: ")
    assert found(optimizer, bowl) == pytest.approx(-2.0, abs=DEFAULT_TOLERANCE)


def test_a_failed_shift_is_left_out_where_earlier_rounds_determine_the_model() -> None:
    optimizer = TrustRegion(np.array([1.2, 0.2]), ((1,), (1,)))
    rng = np.random.default_rng(1)
    first = optimizer.ask()
    estimates: list[Estimate | FailedPoint] = [*measured(optimizer, bowl, rng)]
    optimizer.tell(first, [*estimates[:-1], FailedPoint("gone")])
    assert optimizer.best is None
    assert np.array_equal(optimizer.ask(), first)  # no other round determines the last curvature
    optimizer.tell(first, estimates)
    second, estimates = optimizer.ask(), [*measured(optimizer, bowl, rng)]
    optimizer.tell(second, [*estimates[:-1], FailedPoint("gone")])
    assert not np.array_equal(optimizer.ask(), second)


def test_a_round_without_its_centre_is_repeated_a_few_times() -> None:
    optimizer = TrustRegion(np.array([1.2, 0.2]), ((1,), (1,)))
    points = optimizer.ask()
    answers: list[Estimate | FailedPoint] = [FailedPoint("a bad day"), *measured(optimizer, bowl)[1:]]
    for _ in range(MAX_REPEATS):
        optimizer.tell(points, answers)
        assert np.array_equal(optimizer.ask(), points)
    with pytest.raises(JobFailed, match="a bad day"):
        optimizer.tell(points, answers)


def test_shots_grow_only_where_noise_costs_more_than_a_step_gains() -> None:
    optimizer, rng = TrustRegion(np.array([2.0, 0.8]), ((1,), (1,))), np.random.default_rng(2)
    total, previous, grown = 0, FIRST_SHOTS, []
    while optimizer.stop is None:
        shots = optimizer.point_shots
        assert shots[0] > shots[1]  # every curvature needs the centre's energy
        assert shots[1:].tolist() == [shots[1]] * 4
        assert shots[1] <= max(FIRST_SHOTS, LARGEST_ROUND[0] * total / 5 + 1)
        grown.append(shots[1] > previous)
        previous = shots[1]
        total += int(shots.sum())
        optimizer.tell(optimizer.ask(), measured(optimizer, bowl, rng))
    assert not any(grown[:3])  # the first steps gain 0.1 and more
    assert any(grown)
    assert optimizer.stop.converged


@pytest.mark.parametrize("seed", range(4))
def test_noisy_energies_lead_to_the_minimum_within_the_tolerance(seed: int) -> None:
    optimizer = TrustRegion(np.array([1.2, 0.2]), ((1,), (1,)), tolerance=0.01)
    run(optimizer, bowl, np.random.default_rng(seed))
    assert optimizer.stop is not None
    assert optimizer.stop.converged
    # noise costs half the tolerance on average over seeds, as a χ² of two angles: three times that once in 20 seeds
    assert found(optimizer, bowl) + 2.0 < 0.015
    assert optimizer.residue is not None
    assert 0.0 < optimizer.residue <= 0.01


@pytest.mark.parametrize("setting", [{"tolerance": 0.0}, {"tolerance": float("nan")}, {"first_shots": 0}])
def test_invalid_settings_are_refused_by_name(setting: dict[str, float]) -> None:
    with pytest.raises(InputError) as refused:
        TrustRegion(np.zeros(1), ((1,),), **setting)  # type: ignore[arg-type]  # of the dictionary
    assert refused.value.field == {"first_shots": "shots"}.get(*setting, *setting)


def test_points_that_failed_before_a_plateau_do_not_end_the_search() -> None:
    """No energy depends on the second angle, so that its curvature stays unresolved."""

    def flat(point: Array) -> float:
        return float(-np.cos(point[0]))

    optimizer, rng = TrustRegion(np.array([1.0, 0.3]), ((1,), (1,))), np.random.default_rng(1)
    for number in range(200):
        if optimizer.stop is not None:
            break
        estimates: list[Estimate | FailedPoint] = [*measured(optimizer, flat, rng)]
        if number in (1, 2, 3):
            estimates[3] = FailedPoint("it was lost")
        optimizer.tell(optimizer.ask(), estimates)
    assert optimizer.stop is not None
    assert found(optimizer, flat) + 1.0 < DEFAULT_TOLERANCE


def test_a_round_that_determines_no_model_leaves_the_state_as_it_was() -> None:
    optimizer = TrustRegion(np.array([0.5, 0.5]), ((1,), (1,)))
    asked, shots = optimizer.ask(), optimizer.point_shots
    estimates = measured(optimizer, bowl)
    optimizer.tell(asked, [estimates[0], *[FailedPoint("it was lost")] * 4])
    assert np.array_equal(optimizer.ask(), asked)
    assert np.array_equal(optimizer.point_shots, shots)
    assert optimizer.best is None


def test_frequencies_must_be_given_for_each_angle() -> None:
    with pytest.raises(InputError, match="frequencies for 2 of 3 angle"):
        TrustRegion(np.zeros(3), ((1,), (1,)))
