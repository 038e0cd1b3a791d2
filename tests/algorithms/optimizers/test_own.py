"""A user's own optimizer as an object: its rounds, its end, its replay, and what is refused before a session opens."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit_algorithms.optimizers import COBYLA, SPSA
from qiskit_algorithms.utils import algorithm_globals
from scipy.optimize import differential_evolution, minimize

from hybridloop.algorithms.circuits.ansatz import hardware_efficient
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.base import Optimizer
from hybridloop.algorithms.optimizers.own import own_optimizer
from hybridloop.algorithms.optimizers.registry import SearchSettings
from hybridloop.errors import CallbackFailed, InputError, ReplayDiverged
from tests.value_helpers import known

START = [0.9, -0.4, 0.5, 0.2]
MINIMUM = 0.3  # of each angle; the energy there is -4
BOUNDS: Any = [(-1.0, 1.0)] * 4
Rounds = list[tuple[NDArray[np.float64], list[float]]]


class RandomSearch:
    """Evolution strategy with the interface of the package cma: a population around a mean that follows the best."""

    def __init__(self, sigma: float = 0.5) -> None:
        self.mean, self.sigma, self.left = np.array(START), sigma, 30

    def ask(self) -> list[NDArray[np.float64]]:
        return [self.mean + self.sigma * np.random.randn(4) for _ in range(6)]  # as such packages do

    def tell(self, points: list[NDArray[np.float64]], values: list[float]) -> None:
        self.mean = points[int(np.argmin(values))]
        self.sigma *= 0.85
        self.left -= 1

    def stop(self) -> dict[str, int]:
        return {} if self.left else {"maxiter": 30}

    @property
    def best(self) -> NDArray[np.float64]:
        return self.mean


class OneByOne:
    """An object that asks for one point at a time, and ends with an empty one."""

    def __init__(self) -> None:
        self.points = iter([START, [MINIMUM] * 4])
        self.told: list[float] = []

    def ask(self) -> Any:
        return next(self.points, [])

    def tell(self, point: Any, value: float) -> None:
        self.told.append(value)


def two_steps(fun: Callable[..., Any], x0: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compare many points in one call, then one, as a user's own function may."""
    values = fun(np.array([x0, np.full(4, MINIMUM)]))
    assert isinstance(fun(x0), float)
    return np.full(4, MINIMUM) if values[1] < values[0] else x0


def made(optimizer: Any, seed: int = 3) -> Optimizer:
    ansatz = hardware_efficient(2, START)
    settings = SearchSettings(ansatz, is_near=False, seed=seed, max_rounds=300)
    return own_optimizer("mine", optimizer).create("mine", settings)


def search(optimizer: Optimizer, recorded: Rounds = [], limit: int = 400) -> Rounds:  # noqa: B006  # only read
    """Drive an optimizer on a sum of cosines with noise; the recorded rounds are told as they were."""
    rng = np.random.default_rng(5)
    rounds: Rounds = []
    for number in itertools.count():
        points = optimizer.ask()
        if not len(points) or number == limit:
            return rounds
        if number < len(recorded):
            points, values = recorded[number]
        else:
            values = [float(-np.cos(point - MINIMUM).sum() + 1e-4 * rng.normal()) for point in points]
        optimizer.tell(points, [Estimate(value, 1e-8, 100) for value in values])
        rounds.append((points, values))
    raise AssertionError


OWN: dict[str, Callable[[], Any]] = {
    "scipy": lambda: partial(minimize, method="Nelder-Mead", options={"maxfev": 150}),
    "scipy with its own draws": lambda: (
        lambda fun, x0: differential_evolution(fun, BOUNDS, maxiter=6, popsize=4, polish=False)
    ),
    "function": lambda: two_steps,
    "qiskit COBYLA": lambda: COBYLA(maxiter=60),
    "qiskit SPSA": lambda: SPSA(maxiter=40),
    "ask and tell": RandomSearch,
    "one by one": OneByOne,
}


@pytest.mark.parametrize("kind", OWN)
def test_an_own_optimizer_finds_the_minimum_and_ends(kind: str) -> None:
    optimizer = made(OWN[kind]())
    rounds = search(optimizer)
    assert -np.cos(known(optimizer.best).point - MINIMUM).sum() < -3.9  # of -4
    assert "mine ended" in known(optimizer.stop).reason
    points = sum(len(asked) for asked, _ in rounds)
    assert points > len(rounds) or kind in {"scipy", "scipy with its own draws", "qiskit COBYLA", "one by one"}


@pytest.mark.parametrize("kind", OWN)
def test_a_search_that_is_begun_again_asks_for_the_recorded_points_bit_for_bit(kind: str) -> None:
    random.seed(1)
    np.random.seed(1)
    unbroken = search(made(OWN[kind]()))
    for broken_off in (0, 1, len(unbroken) // 2):
        np.random.randn(7)  # another program's draws change nothing
        algorithm_globals.random.normal(size=3)
        again = search(made(OWN[kind]()), unbroken[:broken_off])
        assert [points.tolist() for points, _ in again[:broken_off]] == [
            points.tolist() for points, _ in unbroken[:broken_off]
        ]
        assert len(again) >= min(broken_off, 1)
    # with the same values the whole search is the same
    twin = search(made(OWN[kind]()), unbroken)
    assert [points.tolist() for points, _ in twin] == [points.tolist() for points, _ in unbroken]


def test_searches_of_two_threads_draw_as_each_does_alone() -> None:
    def wandering(fun: Callable[..., Any], x0: NDArray[np.float64]) -> NDArray[np.float64]:
        for _ in range(5):
            steps = []
            for _ in range(3):
                steps.append(np.random.randn(4))
                time.sleep(0.005)  # the other thread takes its turn, if it may
            fun(x0 + sum(steps))
        return x0

    together = threading.Barrier(2)

    def searched(_: int) -> Rounds:
        together.wait()
        return search(made(wandering))

    alone = search(made(wandering))
    with ThreadPoolExecutor(2) as pool:
        for rounds in pool.map(searched, range(2)):
            assert [points.tolist() for points, _ in rounds] == [points.tolist() for points, _ in alone]


def _numpy_state() -> str:
    return str(np.random.get_state(legacy=False))


def test_a_search_leaves_the_global_generators_as_they_were() -> None:
    algorithm_globals.random_seed = None
    for kind in ("qiskit SPSA", "ask and tell", "scipy with its own draws"):
        before = random.getstate(), _numpy_state()
        optimizer = made(OWN[kind]())
        search(optimizer, limit=3)
        assert (random.getstate(), _numpy_state()) == before
        del optimizer  # its thread ends
        assert (random.getstate(), _numpy_state()) == before
    assert algorithm_globals.random_seed is None


def test_an_instance_is_copied_for_each_search() -> None:
    mine = RandomSearch()
    first, second = search(made(mine)), search(made(mine))
    assert [points.tolist() for points, _ in first] == [points.tolist() for points, _ in second]
    assert mine.left == 30


def test_other_points_than_the_recorded_ones_are_refused() -> None:
    generator = np.random.default_rng()  # unseeded, and held by the function

    def unseeded(fun: Callable[..., Any], x0: NDArray[np.float64]) -> NDArray[np.float64]:
        fun(x0 + generator.normal(size=4))
        return x0

    recorded = search(made(unseeded))
    again = made(unseeded)
    with pytest.raises(ReplayDiverged, match="is it seeded"):
        search(again, recorded)


def fails_later(fun: Callable[..., Any], x0: NDArray[np.float64]) -> NDArray[np.float64]:
    fun(x0)
    raise ValueError("no idea")


def test_an_error_of_the_optimizer_says_what_is_kept_and_what_to_do() -> None:
    with pytest.raises(CallbackFailed, match=r"optimizer mine raised ValueError: no idea after round 1.*same run_key"):
        search(made(fails_later))


def test_a_result_that_is_no_point_leaves_the_lowest_one_measured() -> None:
    def forgets(fun: Callable[..., Any], x0: NDArray[np.float64]) -> None:
        fun([x0, np.full(4, MINIMUM)])

    optimizer = made(forgets)
    search(optimizer)
    assert known(optimizer.best).point.tolist() == [MINIMUM] * 4
    assert "without a point" in known(optimizer.stop).reason


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (COBYLA, r"mine is a class.*optimizer=mine\(\)"),
        (7.5, "mine is no optimizer.*minimize"),
        (object(), "mine is no optimizer"),
        (lambda fun: None, "mine raised TypeError"),
        (lambda fun, x0: fun(x0[:2]), r"mine asks for a point of shape \(2,\).*4 finite angles"),
        (lambda fun, x0: fun(x0 * np.nan), "mine asks for .* no array of finite real numbers"),
    ],
)
def test_what_cannot_run_is_refused_before_a_session_opens(optimizer: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        made(optimizer)
    assert caught.value.field == "optimizer"


@pytest.mark.parametrize("asked", [[0.1, 0.2], "angles", [[0.1] * 3], [0.1j] * 4])
def test_points_of_another_size_are_refused_before_a_session_opens(asked: Any) -> None:
    mine = RandomSearch()
    mine.ask = lambda: asked  # type: ignore[method-assign]
    with pytest.raises(InputError, match=r"mine.ask\(\) returned .*4 finite angles"):
        made(mine)
