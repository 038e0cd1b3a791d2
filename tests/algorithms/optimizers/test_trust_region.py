"""Trust-region search: exact energies lead to the minimum, noise to the shots that are missing; saddles are left."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.base import MAX_REPEATS
from hybridloop.algorithms.optimizers.names import DEFAULT_TOLERANCE
from hybridloop.algorithms.optimizers.trust_region import GROWTH, TrustRegion
from hybridloop.algorithms.rounds import FailedPoint
from hybridloop.errors import InputError, JobFailed
from tests.value_helpers import known

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
    return energy(known(optimizer.best).point)


def test_a_quadratic_energy_of_unknown_frequencies_leads_to_its_minimum() -> None:
    scales = np.array([1.0, 0.1, 0.02])
    curvatures = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, -0.3], [0.0, -0.3, 0.8]])

    def energy(point: Array) -> float:
        phase = (point - np.array([0.3, -0.05, 0.02])) / scales
        return float(0.5 * phase @ curvatures @ phase)

    optimizer = TrustRegion(np.zeros(3), ((),) * 3, scales=scales)
    assert run(optimizer, energy) < 15
    assert known(optimizer.stop).converged
    assert found(optimizer, energy) < DEFAULT_TOLERANCE / 5


@pytest.mark.parametrize("start", [(0.0, 0.0, 0.0), (0.9, -0.4, 0.8), (0.5, 0.5, -0.3)])
def test_a_trigonometric_energy_of_several_frequencies_leads_to_its_minimum(start: Sequence[float]) -> None:
    def energy(point: Array) -> float:
        x, y, z = point - np.array([0.3, -0.2, 0.4])
        waves = -np.cos(x) - 0.3 * np.cos(2 * x) - np.cos(2 * y) - np.cos(z) - 0.1 * np.cos(3 * z)
        return float(waves + 0.4 * np.sin(x) * np.sin(2 * y) - 0.3 * np.sin(2 * y) * np.sin(z))

    optimizer = TrustRegion(np.array(start), ((1, 2), (2,), (1, 2, 3)))
    assert run(optimizer, energy) < 15
    assert known(optimizer.stop).converged
    assert found(optimizer, energy) - energy(np.array([0.3, -0.2, 0.4])) < DEFAULT_TOLERANCE / 2


def saddle(point: Array) -> float:
    """Waves with a saddle at (0, 0), where both slopes are 0, and a minimum of −1.3 at (0, π)."""
    return float(-np.cos(point[0]) + 0.3 * np.cos(point[1]))


def mixed_saddle(point: Array) -> float:
    """Energy of −Z0 − Z1 + 1.5 Y0 Y1 with an RX on each qubit: at (0, 0) a saddle whose angles have curvature 1 each.

    The minimum is −13/6, where both cosines are 2/3.
    """
    x, y = point
    return float(-np.cos(x) - np.cos(y) + 1.5 * np.sin(x) * np.sin(y))


def test_a_saddle_is_left_where_an_exact_distribution_shows_a_fall() -> None:
    optimizer = TrustRegion(np.zeros(2), ((1,), (1,)), tolerance=0.01)
    while optimizer.stop is None:  # an exact distribution, rounded to its shots
        pairs = zip(optimizer.ask(), optimizer.point_shots, strict=True)
        rounded = [Estimate(saddle(p), 0.0, int(n), is_exact=True, rounding_bound=5.2 / n) for p, n in pairs]
        optimizer.tell(optimizer.ask(), rounded)
    assert optimizer.stop.converged
    assert found(optimizer, saddle) == pytest.approx(-1.3, abs=0.01)


def test_a_search_ends_without_a_claim_where_a_further_round_would_be_rounded_alike() -> None:
    optimizer, rounds = TrustRegion(np.array([0.5, -0.8]), ((1,), (1,)), tolerance=0.01), 0
    while optimizer.stop is None:  # a target that takes no more shots, as its distribution is exact
        rounded = [Estimate(bowl(p), 0.0, 10_000, is_exact=True, rounding_bound=0.6) for p in optimizer.ask()]
        optimizer.tell(optimizer.ask(), rounded)
        rounds += 1
    assert rounds <= 5
    assert not optimizer.stop.converged
    assert "another round would be rounded alike" in optimizer.stop.reason
    assert found(optimizer, bowl) == pytest.approx(-2.0, abs=0.01)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("energy", "lowest", "within"), [(saddle, -1.3, 0.01), (mixed_saddle, -13.0 / 6.0, 0.03)])
def test_noise_or_a_kick_leaves_a_saddle(energy: Energy, lowest: float, within: float, seed: int) -> None:
    optimizer = TrustRegion(np.zeros(2), ((1,), (1,)), tolerance=0.01, seed=seed)
    run(optimizer, energy, np.random.default_rng(seed))
    assert known(optimizer.stop).converged
    # strong couplings between angles are learned slowly: the mixed saddle's end may be some tolerances high
    assert found(optimizer, energy) == pytest.approx(lowest, abs=within)


def test_an_exactly_symmetric_saddle_without_noise_is_left() -> None:
    optimizer = TrustRegion(np.zeros(2), ((1,), (1,)), tolerance=0.01)
    run(optimizer, mixed_saddle)
    assert found(optimizer, mixed_saddle) == pytest.approx(-13.0 / 6.0, abs=0.03)


def test_a_kick_from_a_symmetric_minimum_comes_back_to_it() -> None:
    def energy(point: Array) -> float:
        return float(-np.cos(point).sum())

    optimizer = TrustRegion(np.zeros(3), ((1,),) * 3, tolerance=0.01)
    rounds = run(optimizer, energy, np.random.default_rng(5))
    assert 3 <= rounds < 12
    assert found(optimizer, energy) == pytest.approx(-3.0, abs=0.01)


def test_a_flat_direction_does_not_keep_a_search_from_its_end() -> None:
    """No energy depends on the second angle, whose curvature stays unresolved until the test."""

    def flat(point: Array) -> float:
        return float(-np.cos(point[0]))

    optimizer = TrustRegion(np.array([1.0, 0.3]), ((1,), (1,)), tolerance=0.01)
    run(optimizer, flat, np.random.default_rng(2))
    assert optimizer.stop is not None
    assert found(optimizer, flat) == pytest.approx(-1.0, abs=0.01)


def shared(point: Array) -> float:
    """Waves of an angle with a second harmonic that is odd about the minimum of −1.1, at (0.02, 0)."""
    x, y = 2.0 * (point[0] - 0.02), point[1]
    return float(-1.1 * np.cos(x) * np.cos(y) + 0.1 * (2.0 * np.sin(x) - np.sin(2.0 * x)))


def test_a_second_harmonic_does_not_lead_away_from_a_minimum() -> None:
    """The plain shift rule has a slope of 0.12 per phase there, by which a search would end 6 mHa above the minimum."""
    ends = []
    for seed in range(10):
        optimizer = TrustRegion(np.array([0.0, 0.1]), ((2, 4), (1,)), tolerance=2e-3)
        run(optimizer, shared, np.random.default_rng(seed))
        assert optimizer.stop is not None
        ends.append(found(optimizer, shared) + 1.1)
    assert np.mean(ends) < 1e-3
    assert max(ends) < 3e-3


def test_a_refined_search_ends_nearer_to_the_minimum() -> None:
    optimizer, rng = TrustRegion(np.array([1.2, 0.2]), ((1,), (1,)), tolerance=2e-3), np.random.default_rng(4)
    run(optimizer, bowl, rng)
    optimizer.refine()
    run(optimizer, bowl, rng)
    assert known(optimizer.stop).converged
    assert known(optimizer.residue) <= 0.4 * 2e-3  # half of what gain and noise may be together at the end


def test_a_resolved_saddle_is_left_however_few_shots_a_test_has() -> None:
    def energy(point: Array) -> float:
        return float(-np.cos(point[0]) + 0.3 * np.cos(point[1] - 0.1))

    for seed in range(20):
        optimizer = TrustRegion(np.array([0.05, 0.1]), ((1,), (1,)), tolerance=0.01)
        run(optimizer, energy, np.random.default_rng(seed))
        assert found(optimizer, energy) < -1.28 or not known(optimizer.stop).converged


def test_one_low_centre_does_not_hold_the_search() -> None:
    optimizer, rng = TrustRegion(np.array([0.7, -0.7]), ((1,), (1,)), tolerance=0.05), np.random.default_rng(3)
    first = measured(optimizer, bowl, rng, 3.0)
    first[0] = Estimate(first[0].value - 4.0 * first[0].standard_error, first[0].variance, first[0].shots)
    optimizer.tell(optimizer.ask(), first)
    rounds = 0
    while optimizer.stop is None and rounds < 40:
        optimizer.tell(optimizer.ask(), measured(optimizer, bowl, rng, 3.0))
        rounds += 1
    assert rounds < 20
    assert found(optimizer, bowl) < -1.95


def test_a_test_that_lost_its_points_shows_nothing() -> None:
    optimizer, rng = TrustRegion(np.array([1.0, 0.3]), ((1,), (1,)), tolerance=0.01), np.random.default_rng(2)
    while optimizer.stop is None:
        estimates: list[Estimate | FailedPoint] = [*measured(optimizer, lambda p: float(-np.cos(p[0])), rng)]
        if len(estimates) == 3:
            estimates[1:] = [FailedPoint("gone")] * 2
        optimizer.tell(optimizer.ask(), estimates)
    assert not optimizer.stop.converged
    assert "unresolved curvature may hide" in optimizer.stop.reason


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
    first, shots = optimizer.ask(), optimizer.point_shots
    estimates: list[Estimate | FailedPoint] = [*measured(optimizer, bowl, rng)]
    optimizer.tell(first, [*estimates[:-1], FailedPoint("gone")])
    assert optimizer.best is None
    assert np.array_equal(optimizer.ask(), first)  # no other round determines the last curvature
    assert np.array_equal(optimizer.point_shots, shots)
    optimizer.tell(first, estimates)
    second, estimates = optimizer.ask(), [*measured(optimizer, bowl, rng)]
    optimizer.tell(second, [*estimates[:-1], FailedPoint("gone")])
    assert not np.array_equal(optimizer.ask(), second)


def test_a_round_without_any_result_is_repeated_a_few_times() -> None:
    optimizer = TrustRegion(np.array([1.2, 0.2]), ((1,), (1,)))
    points = optimizer.ask()
    answers = [FailedPoint("a bad day")] * len(points)
    for _ in range(MAX_REPEATS):
        optimizer.tell(points, answers)
        assert np.array_equal(optimizer.ask(), points)
    with pytest.raises(JobFailed, match="a bad day"):
        optimizer.tell(points, answers)


def test_repeated_rounds_are_fitted_together_with_what_the_first_one_had() -> None:
    optimizer, rng = TrustRegion(np.array([1.2, 0.2]), ((1,), (1,))), np.random.default_rng(1)
    points = optimizer.ask()
    lost: FailedPoint | Estimate = FailedPoint("gone")
    first, second = measured(optimizer, bowl, rng), measured(optimizer, bowl, rng)
    optimizer.tell(points, [lost, lost, *first[2:]])
    assert np.array_equal(optimizer.ask(), points)
    optimizer.tell(points, [*second[:2], lost, lost, lost])
    assert optimizer.best is not None


def test_shots_stay_the_first_ones_until_more_are_missing() -> None:
    optimizer = TrustRegion(np.array([2.0, 0.8]), ((1,), (1,)), first_shots=200, least_shots=200)
    rng = np.random.default_rng(2)
    total, taken = 0, []
    while optimizer.stop is None:
        shots = optimizer.point_shots
        assert set(shots.tolist()) == {int(shots[0])}
        assert shots[0] <= max(200, GROWTH * total / len(shots) + 1)
        taken.append(int(shots[0]))
        total += int(shots.sum())
        optimizer.tell(optimizer.ask(), measured(optimizer, bowl, rng))
    assert taken[:2] == [200, 200]  # the first steps gain 0.1 and more
    assert max(taken) > 200
    assert optimizer.stop.converged


@pytest.mark.parametrize("seed", range(4))
def test_noisy_energies_lead_to_the_minimum_within_the_tolerance(seed: int) -> None:
    optimizer = TrustRegion(np.array([1.2, 0.2]), ((1,), (1,)), tolerance=0.01)
    run(optimizer, bowl, np.random.default_rng(seed))
    assert known(optimizer.stop).converged
    # noise costs half the tolerance on average over seeds, as a χ² of two angles: three times that once in 20 seeds
    assert found(optimizer, bowl) + 2.0 < 0.015
    assert 0.0 < known(optimizer.residue) <= 0.01


@pytest.mark.parametrize("setting", [{"tolerance": 0.0}, {"tolerance": float("nan")}, {"first_shots": 0}])
def test_invalid_settings_are_refused_by_name(setting: dict[str, float]) -> None:
    with pytest.raises(InputError) as refused:
        TrustRegion(np.zeros(1), ((1,),), **setting)  # type: ignore[arg-type]  # of the dictionary
    assert refused.value.field == {"first_shots": "shots"}.get(*setting, *setting)


def test_frequencies_must_be_given_for_each_angle() -> None:
    with pytest.raises(InputError, match="frequencies for 2 of 3 angle"):
        TrustRegion(np.zeros(3), ((1,), (1,)))
