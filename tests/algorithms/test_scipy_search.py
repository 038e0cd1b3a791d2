"""One run of SciPy behind a search: it goes the same way however it was taken up, and ends with the search."""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import pickle
import threading
import weakref
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize

from hybridloop.algorithms import minimization
from hybridloop.algorithms.estimation import Estimate
from hybridloop.algorithms.scipy_search import SAME_POINT_RAD, ScipySearch
from hybridloop.errors import ReplayDiverged

PATIENCE_S = 30.0  # for what takes milliseconds


def valley(point: NDArray[np.float64]) -> float:
    """Rosenbrock's function, in which COBYLA takes thousands of steps."""
    return float(np.sum(100.0 * (point[1:] - point[:-1] ** 2) ** 2 + (1.0 - point[:-1]) ** 2))


def tell(optimizer: ScipySearch, points: NDArray[np.float64], energy: float) -> None:
    optimizer.tell(points, [Estimate(energy, 0.0, 1)])


def threads_of(started: set[threading.Thread]) -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "cobyla" and each not in started]


def through_json(optimizer: ScipySearch) -> ScipySearch:
    return ScipySearch.restored(json.loads(json.dumps(optimizer.state())))


def through_pickle(optimizer: ScipySearch) -> ScipySearch:
    loaded: ScipySearch = pickle.loads(pickle.dumps(optimizer))
    return loaded


@settings(max_examples=10, deadline=None)
@given(
    start=st.lists(st.floats(-3.0, 3.0), min_size=1, max_size=3),
    seed=st.integers(0, 2**32),
    shift=st.sampled_from([0.0, 0.5 * SAME_POINT_RAD]),
    taken_up=st.sampled_from([through_json, through_pickle, copy.copy, copy.deepcopy]),
)
def test_a_search_taken_up_at_any_evaluation_asks_the_same_points_bit_for_bit(
    start: list[float], seed: int, shift: float, taken_up: Callable[[ScipySearch], ScipySearch]
) -> None:
    rng = np.random.default_rng(seed)
    live = ScipySearch(np.array(start), max_evaluations=15)
    while len(points := live.ask()):
        told = points + shift
        twin = taken_up(live)
        assert np.array_equal(twin.ask(), points)
        energy = float(-np.cos(points).sum() + 0.05 * rng.normal())
        tell(live, told, energy)
        assert live.current is not None
        assert np.array_equal(live.current.point, told[0])
        tell(twin, told, energy)
        assert np.array_equal(twin.ask(), through_json(live).ask())
    twin = taken_up(live)
    assert not len(twin.ask())
    assert twin.stop == live.stop


def test_hundreds_of_recorded_evaluations_are_taken_up_with_one_call_each(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = calls = 0

    def counted(objective: Callable[[NDArray[np.float64]], float], *given: Any, **options: Any) -> Any:
        nonlocal runs
        runs += 1

        def call(point: NDArray[np.float64]) -> float:
            nonlocal calls
            calls += 1
            return objective(point)

        return minimize(call, *given, **options)

    monkeypatch.setattr(minimization, "minimize", counted)
    live = ScipySearch(np.full(2, -1.0), tolerance_rad=1e-9, max_evaluations=400)
    for _ in range(300):
        points = live.ask()
        tell(live, points, valley(points[0]))
    following = live.ask()
    assert (runs, calls) == (1, 301)
    assert np.array_equal(through_json(live).ask(), following)
    assert (runs, calls) == (2, 602)


def test_a_search_that_is_dropped_ends_its_thread() -> None:
    started = set(threading.enumerate())
    optimizer = ScipySearch(np.zeros(2))
    assert not threads_of(started)
    tell(optimizer, optimizer.ask(), 0.0)
    optimizer.ask()
    (thread,) = threads_of(started)
    gone = weakref.ref(optimizer._search)
    del optimizer
    assert gone() is None
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_a_search_that_is_over_leaves_no_thread() -> None:
    started = set(threading.enumerate())
    optimizer = ScipySearch(np.zeros(1))
    tell(optimizer, optimizer.ask(), 0.0)
    optimizer.ask()
    (thread,) = threads_of(started)
    while len(points := optimizer.ask()):
        tell(optimizer, points, float(points[0, 0] ** 2))
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_searches_side_by_side_do_not_wait_for_each_other() -> None:
    searches = [ScipySearch(np.array([start, 1.0])) for start in (0.0, 0.5)]
    for _ in range(8):
        for each in searches:
            points = each.ask()
            tell(each, points, float(-np.cos(points).sum()))
    assert all(np.array_equal(each.ask(), through_json(each).ask()) for each in searches)


def test_a_record_that_is_not_its_own_is_refused_however_often_it_is_asked() -> None:
    optimizer = ScipySearch(np.array([1.0, 1.0]))
    tell(optimizer, optimizer.ask(), 0.0)
    tell(optimizer, optimizer.ask() + 10 * SAME_POINT_RAD, 0.0)
    for asked in (optimizer, optimizer, through_json(optimizer)):
        with pytest.raises(ReplayDiverged, match=r"evaluation 1 is 1\.0e-08 rad away"):
            asked.ask()


def test_an_error_in_scipy_reaches_the_asker_and_the_search_goes_on_when_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, hurt = ScipySearch(np.array([1.0, 1.0])), ScipySearch(np.array([1.0, 1.0]))
    for each in (whole, hurt):
        tell(each, each.ask(), 0.5)

    def failing(objective: Callable[[NDArray[np.float64]], float], start: NDArray[np.float64], **_: Any) -> None:
        objective(start)
        raise FloatingPointError("a bad day")

    with monkeypatch.context() as patched:
        patched.setattr(minimization, "minimize", failing)
        hurt = through_json(hurt)
        with pytest.raises(FloatingPointError, match="a bad day"):
            hurt.ask()
    assert np.array_equal(hurt.ask(), whole.ask())


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")
def test_a_forked_child_goes_on_with_the_search_and_so_does_its_parent() -> None:
    optimizer, alone = ScipySearch(np.array([1.0, 1.0])), ScipySearch(np.array([1.0, 1.0]))
    for each in (optimizer, alone):
        tell(each, each.ask(), 0.5)
        tell(each, each.ask(), 0.4)
    optimizer.ask()

    def child(sending: Connection) -> None:
        tell(optimizer, optimizer.ask(), 0.3)
        sending.send(optimizer.ask())
        os._exit(0)  # what other libraries would do at the end of a fork is not asked here

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
