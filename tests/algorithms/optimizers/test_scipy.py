"""SciPy's run behind an optimizer: a new run continues identically, and each ends with its search."""

from __future__ import annotations

import multiprocessing
import os
import threading
import weakref
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.scipy import ScipyOptimizer
from hybridloop.algorithms.rounds import SAME_RAD
from hybridloop.errors import ReplayDiverged
from tests.long_form import long_form, short_or_long

PATIENCE_S = 30.0  # timeout for what takes milliseconds


def valley(point: NDArray[np.float64]) -> float:
    """Rosenbrock's function, in which COBYLA takes thousands of steps."""
    return float(np.sum(100.0 * (point[1:] - point[:-1] ** 2) ** 2 + (1.0 - point[:-1]) ** 2))


def tell(optimizer: ScipyOptimizer, points: NDArray[np.float64], energy: float) -> None:
    optimizer.tell(points, [Estimate(energy, 0.0, 1)])


def threads_of(started: set[threading.Thread]) -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "cobyla" and each not in started]


@long_form
@settings(max_examples=short_or_long(4, 50))
@given(
    start=st.lists(st.floats(-3.0, 3.0), min_size=1, max_size=3),
    seed=st.integers(0, 2**32),
    shift=st.sampled_from([0.0, 0.5 * SAME_RAD]),
)
def test_a_search_that_starts_a_new_run_of_scipy_asks_for_the_same_points_bit_for_bit(
    start: list[float], seed: int, shift: float
) -> None:
    rng = np.random.default_rng(seed)
    live, twin = (ScipyOptimizer(np.array(start), max_evaluations=12) for _ in range(2))
    energies: dict[tuple[float, ...], float] = {}
    while len(points := live.ask()):
        twin._thread = None  # as after an interrupted `ask`
        assert np.array_equal(twin.ask(), points)
        energy = float(-np.cos(points).sum() + 0.05 * rng.normal())
        for each in (live, twin):
            tell(each, points + shift, energy)
        energies[tuple(points[0] + shift)] = energy
        assert live.best is not None
        assert live.best.value == min(energies.values()) == energies[tuple(live.best.point)]
    assert not len(twin.ask())
    assert twin.stop == live.stop


def test_a_new_run_over_hundreds_of_recorded_evaluations_calls_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = calls = 0
    minimize = scipy.optimize.minimize

    def counted(objective: Callable[[NDArray[np.float64]], float], *given: Any, **options: Any) -> Any:
        nonlocal runs
        runs += 1

        def call(point: NDArray[np.float64]) -> float:
            nonlocal calls
            calls += 1
            return objective(point)

        return minimize(call, *given, **options)

    monkeypatch.setattr(scipy.optimize, "minimize", counted)
    live = ScipyOptimizer(np.full(2, -1.0), tolerance_rad=1e-9, max_evaluations=400)
    for _ in range(300):
        points = live.ask()
        tell(live, points, valley(points[0]))
    live.ask()
    assert (runs, calls) == (1, 301)
    live._thread = live._request = None
    live.ask()
    assert (runs, calls) == (2, 602)


def test_deleting_a_search_ends_its_thread() -> None:
    started = set(threading.enumerate())
    optimizer = ScipyOptimizer(np.zeros(2))
    assert not threads_of(started)
    tell(optimizer, optimizer.ask(), 0.0)
    optimizer.ask()
    (thread,) = threads_of(started)
    gone = weakref.ref(optimizer._thread)
    del optimizer
    assert gone() is None
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_a_finished_search_leaves_no_thread() -> None:
    started = set(threading.enumerate())
    optimizer = ScipyOptimizer(np.zeros(1))
    tell(optimizer, optimizer.ask(), 0.0)
    optimizer.ask()
    (thread,) = threads_of(started)
    while len(points := optimizer.ask()):
        tell(optimizer, points, float(points[0, 0] ** 2))
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_concurrent_searches_do_not_wait_for_one_another() -> None:
    def advance(search: ScipyOptimizer) -> None:
        points = search.ask()
        tell(search, points, float(-np.cos(points).sum()))

    searches, alone = ([ScipyOptimizer(np.array([start, 1.0])) for start in (0.0, 0.5)] for _ in range(2))
    for _ in range(8):
        for search in searches:
            advance(search)
    for search, other in zip(searches, alone, strict=True):
        for _ in range(8):
            advance(other)
        assert np.array_equal(search.ask(), other.ask())


def test_a_record_of_another_search_is_refused_on_every_ask() -> None:
    optimizer = ScipyOptimizer(np.array([1.0, 1.0]))
    tell(optimizer, optimizer.ask(), 0.0)
    tell(optimizer, optimizer.ask() + 10 * SAME_RAD, 0.0)
    for _ in range(2):
        with pytest.raises(ReplayDiverged, match=r"evaluation 1 is 1\.0e-05 rad away"):
            optimizer.ask()


def test_an_error_in_scipy_is_raised_by_ask_and_the_next_ask_continues(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, hurt = ScipyOptimizer(np.array([1.0, 1.0])), ScipyOptimizer(np.array([1.0, 1.0]))
    for each in (whole, hurt):
        tell(each, each.ask(), 0.5)

    def failing(objective: Callable[[NDArray[np.float64]], float], x0: NDArray[np.float64], **_: Any) -> None:
        objective(x0)
        raise FloatingPointError("a bad day")

    with monkeypatch.context() as patched:
        patched.setattr(scipy.optimize, "minimize", failing)
        hurt._thread = None  # the next `ask` starts a new run
        with pytest.raises(FloatingPointError, match="a bad day"):
            hurt.ask()
    assert np.array_equal(hurt.ask(), whole.ask())


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")
def test_a_search_continues_in_a_forked_child_and_in_its_parent() -> None:
    optimizer, alone = ScipyOptimizer(np.array([1.0, 1.0])), ScipyOptimizer(np.array([1.0, 1.0]))
    for each in (optimizer, alone):
        tell(each, each.ask(), 0.5)
        tell(each, each.ask(), 0.4)
    optimizer.ask()

    def child(sending: Connection) -> None:
        tell(optimizer, optimizer.ask(), 0.3)
        sending.send(optimizer.ask())
        os._exit(0)  # skips exit handlers of other libraries

    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(sending,), daemon=True)
    process.start()
    try:
        assert receiving.poll(PATIENCE_S)
        in_child = receiving.recv()
        process.join(PATIENCE_S)
        assert process.exitcode == 0
    finally:
        process.kill()
        process.join()
    for each in (optimizer, alone):
        tell(each, each.ask(), 0.3)
    assert np.array_equal(in_child, alone.ask())
    assert np.array_equal(optimizer.ask(), alone.ask())
