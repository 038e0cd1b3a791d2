"""A user's own optimizer as an object: `minimize(fun, x0)` in SciPy's signature, or `ask` and `tell`.

It is durable by replay: started again from a copy and told the recorded values, by index, it must ask for the recorded
points. Global random generators are seeded for it, so only those that it makes itself need a seed of the user's.
"""

from __future__ import annotations

import copy
import math
import os
import random
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.base import (
    Optimizer,
    PointEstimate,
    Stop,
    missing_points_error,
    stop_without_angles,
)
from hybridloop.algorithms.optimizers.registry import MEMBERS, OptimizerSpec, SearchSettings
from hybridloop.algorithms.optimizers.scipy import SAME_POINT_RAD, End, SuspendedMinimizer
from hybridloop.algorithms.rounds import FailedPoint
from hybridloop.errors import CallbackFailed, HybridloopError, InputError, ReplayDiverged

_KINDS = "a name (`hybridloop optimizers`), a function minimize(fun, x0), or an object with ask and tell or minimize"
LEAST_STEP_RAD = 1e-4  # over which an energy changes by less than any shot noise
_GROUPED = 1000  # points that an optimizer of qiskit-algorithms may ask for at once


def own_optimizer(name: str, optimizer: object) -> OptimizerSpec:
    """Return the spec of a user's optimizer; each search gets a copy of it. Raises InputError for other objects."""
    if isinstance(optimizer, OptimizerSpec):
        return optimizer
    if isinstance(optimizer, type):
        raise InputError("optimizer", f"{name} is a class", f"Give an instance, such as optimizer={name}().")
    if all(hasattr(optimizer, member) for member in MEMBERS):  # hybridloop's own interface
        return OptimizerSpec(lambda _: _copy(name, optimizer))
    minimize = getattr(optimizer, "minimize", None)
    if callable(minimize) or (callable(optimizer) and not hasattr(optimizer, "ask")):
        return OptimizerSpec(partial(_minimizer, name, optimizer))
    if callable(getattr(optimizer, "ask", None)) and callable(getattr(optimizer, "tell", None)):
        return OptimizerSpec(partial(_ask_and_tell, name, optimizer))
    raise InputError("optimizer", f"{name} is no optimizer", f"Give {_KINDS}.")


def difference_of_first_points(name: str, optimizer: Any) -> float:
    """Return how far apart (rad) the first two points are that a copy of a minimizer asks for; inf if it has none."""
    probe = OwnMinimizer(name, optimizer, np.full(2, 0.1), 0)
    with suppress(Exception):  # what it raises is reported where the run starts it
        first = probe.ask()
        probe.tell(first, [Estimate(0.3, 1e-6, 1000)] * len(first))
        return float(np.abs(probe.ask()[:, None] - first[None]).max(axis=-1).min(initial=math.inf))
    return math.inf


def _minimizer(name: str, optimizer: Any, settings: SearchSettings) -> Optimizer:
    return _started(OwnMinimizer(name, optimizer, settings.ansatz.initial_point, settings.seed))


def _ask_and_tell(name: str, optimizer: Any, settings: SearchSettings) -> Optimizer:
    start = settings.ansatz.initial_point
    return _started(OwnAskAndTell(name, _copy(name, optimizer), len(start), SeededGenerators(settings.seed)))


def _started(optimizer: OwnMinimizer | OwnAskAndTell) -> Optimizer:
    """Return the optimizer after a first request, so that one that can't run is refused before a session is opened."""
    try:
        optimizer.ask()
    except CallbackFailed as error:
        remedy = "Call it as minimize(fun, x0) on a function of your own to find out why."
        raise InputError("optimizer", f"{optimizer.name} raised {error.error}", remedy) from error
    return optimizer


def _copy(name: str, optimizer: Any) -> Any:
    try:
        return copy.deepcopy(optimizer)
    except Exception as error:  # a user's own object may raise anything
        problem = f"{name} can't be copied ({type(error).__name__}: {error}), and a resumed run starts from a copy"
        remedy = "Give a function that makes it: lambda fun, x0: Mine().minimize(fun, x0)."
        raise InputError("optimizer", problem, remedy) from error


_generators_in_use = threading.Lock()  # by one search at a time; it is free while that waits for energies


def _release_after_fork() -> None:
    global _generators_in_use
    _generators_in_use = threading.Lock()  # the thread that held it is not in the new process


os.register_at_fork(after_in_child=_release_after_fork)


class SeededGenerators:
    """The global random generators of Python, NumPy and qiskit-algorithms, with states of one search in the block.

    Outside of the block their states are restored, so the search does not depend on other draws. Searches of other
    threads wait.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._own: dict[str, Any] | None = None
        self._others: dict[str, Any] | None = None  # None outside of the block

    def __enter__(self) -> None:
        _generators_in_use.acquire()
        self._others = _states()
        if self._own is not None:
            _restore(self._own)
            return
        random.seed(self._seed)
        np.random.seed(self._seed % 2**32)
        if (qiskit := _qiskit_globals()) is not None:
            qiskit.random_seed = self._seed if qiskit.random_seed is None else qiskit.random_seed  # begins again

    def __exit__(self, *_raised: object) -> None:
        if self._others is not None:
            self._own, others, self._others = _states(), self._others, None
            _restore(others)
            _generators_in_use.release()


def _qiskit_globals() -> Any:
    """Return qiskit-algorithms' holder of its random generator; None if it was not imported."""
    module = sys.modules.get("qiskit_algorithms.utils")
    return None if module is None else module.algorithm_globals


def _states() -> dict[str, Any]:
    qiskit = _qiskit_globals()
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "qiskit": None if qiskit is None else dict(vars(qiskit)),
    }


def _restore(states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    if states["qiskit"] is not None:
        vars(_qiskit_globals()).update(states["qiskit"])


@dataclass(slots=True)
class Record:
    """Measured points with their energies (hartree) and standard errors, in order."""

    points: list[NDArray[np.float64]] = field(default_factory=list)
    values: list[tuple[float, float]] = field(default_factory=list)

    def add(self, points: NDArray[np.float64], estimates: Sequence[Estimate | FailedPoint], name: str) -> list[float]:
        """Add a round and return its energies. Raises JobFailed for a failed point."""
        known = [estimate for estimate in estimates if isinstance(estimate, Estimate)]
        if len(known) < len(estimates):
            raise missing_points_error(name, estimates)
        self.points += list(np.array(points, float))
        self.values += [(estimate.value, estimate.standard_error) for estimate in known]
        return [estimate.value for estimate in known]

    def estimate(self, row: int) -> PointEstimate:
        return PointEstimate(self.points[row], *self.values[row])

    @property
    def lowest(self) -> PointEstimate | None:
        rows = range(len(self.points))
        return self.estimate(min(rows, key=lambda row: self.values[row][0])) if self.points else None


class OwnMinimizer:
    """Optimizer by a user's `minimize(fun, x0)`, on a thread that waits for each value; each call of `fun` is a round.

    `fun` takes one point (n,) and returns a float, or many (k, n), and returns an array (k,): they are one round. The
    point returned is the result's `x`, or the result itself if that is a point; else the lowest one measured.
    """

    can_skip: ClassVar[bool] = False

    def __init__(self, name: str, optimizer: Any, start: NDArray[np.float64], seed: int) -> None:
        self.name = name
        self.stop = stop_without_angles(start)
        self._optimizer = optimizer
        self._start = start
        self._seed = seed
        self._record = Record()
        self._rounds: list[tuple[NDArray[np.float64], list[float]]] = []
        self._asked: NDArray[np.float64] | None = None
        self._found: NDArray[np.float64] | None = None
        self._thread: SuspendedMinimizer | None = None

    @property
    def best(self) -> PointEstimate | None:
        lowest = self._record.lowest
        return lowest if lowest is None or self._found is None else PointEstimate(self._found, *self._value(lowest))

    def ask(self) -> NDArray[np.float64]:
        """Return the points of the call of `fun` that waits; a forked process begins again by replay."""
        if self.stop is None and self._asked is None:
            self._asked = self._next_points()
        return np.empty((0, len(self._start))) if self._asked is None else self._asked

    def tell(self, points: NDArray[np.float64], estimates: Sequence[Estimate | FailedPoint]) -> None:
        """Record the points and energies. Raises ReplayDiverged for other points than those asked for."""
        assert self._asked is not None
        _check_same(self.name, len(self._rounds), self._asked, points)
        self._rounds.append((self._asked, self._record.add(points, estimates, self.name)))
        self._asked = None

    def _next_points(self) -> NDArray[np.float64] | None:
        if self._thread is None or self._thread.pid != os.getpid():
            search = partial(_search, self.name, _copy(self.name, self._optimizer), self._start, self._seed)
            self._thread = self._guarded(lambda: SuspendedMinimizer(search, self.name))
        thread = self._thread
        while not isinstance(request := thread.request, Stop):
            index = thread.evaluations
            if index == len(self._rounds):
                return np.array(request, float)
            points, values = self._rounds[index]
            _check_same(self.name, index, points, request)
            self._guarded(partial(thread.answer, np.array(values)))
        self.stop, self._found, self._thread = request, thread.found, None
        return None

    def _guarded(self, step: Callable[[], Any]) -> Any:
        """Take a step of the user's code; its error ends the run, which can be resumed."""
        try:
            return step()
        except HybridloopError:
            raise
        except Exception as error:
            self._thread = None
            text = f"{type(error).__name__}: {error}"
            raise CallbackFailed(len(self._rounds), text, f"optimizer {self.name}") from error

    def _value(self, lowest: PointEstimate) -> tuple[float, float]:
        found = self._found
        same = [
            row for row, point in enumerate(self._record.points) if found is not None and np.array_equal(point, found)
        ]
        return self._record.values[same[-1]] if same else (lowest.value, lowest.standard_error)


def _search(name: str, optimizer: Any, start: NDArray[np.float64], seed: int, evaluate: Callable[..., Any]) -> End:
    """Run a user's minimizer to its end (on its thread); `evaluate` waits for the energies of points (k, n)."""
    generators, size = SeededGenerators(seed), len(start)

    def fun(point: Any, *_others: Any) -> Any:
        given = np.array(point, float)
        points = given.reshape(-1, size) if given.size and given.size % size == 0 else given
        if points.ndim != 2 or not np.isfinite(points).all():
            remedy = f"Ask for {size} finite angles, (n,), or for several such points at once, (k, n)."
            raise InputError("optimizer", f"{name} asks for a point of shape {given.shape}", remedy)
        generators.__exit__()
        values = evaluate(points)  # an abandoned search ends here, and touches no generator any more
        generators.__enter__()
        return values if given.ndim > 1 or len(points) > 1 else float(values[0])

    bases = [base.__name__ for base in type(optimizer).__mro__]
    if type(optimizer).__module__.startswith("qiskit_algorithms.") and "SciPyOptimizer" not in bases:
        optimizer.set_max_evals_grouped(_GROUPED)  # SPSA's two points, and its calibration, are one round each
    minimize = optimizer.minimize if hasattr(optimizer, "minimize") else optimizer
    with generators:
        result = minimize(fun, start.copy())
    point = _as_point(getattr(result, "x", result), size)
    message = str(getattr(result, "message", "")).strip().rstrip(".")
    ended = f"{name} ended" + f": {message}" * bool(message)
    if point is None:
        return End(Stop(converged=False, reason=f"{ended} without a point, so the lowest one measured is returned"))
    return End(Stop(converged=bool(getattr(result, "success", False)), reason=ended), point)


def _as_point(value: Any, size: int) -> NDArray[np.float64] | None:
    try:
        point = np.array(value, float).reshape(-1)
    except (TypeError, ValueError):
        return None
    return point if len(point) == size and np.isfinite(point).all() else None


class OwnAskAndTell:
    """Optimizer by a user's object: `ask()` returns a point (n,) or points (k, n), `tell(asked, energies)` takes them.

    It ends when `ask` returns no point, or when its attribute or method `stop`, if it has one, is true. The point
    returned is its `best`, if that is a point, else the lowest one measured.
    """

    can_skip: ClassVar[bool] = False

    def __init__(self, name: str, optimizer: Any, size: int, generators: SeededGenerators) -> None:
        self.name = name
        self.stop: Stop | None = None
        self._optimizer = optimizer
        self._size = size
        self._generators = generators
        self._record = Record()
        self._rounds = 0
        self._asked: Any = None
        self._points: NDArray[np.float64] | None = None

    @property
    def best(self) -> PointEstimate | None:
        lowest, own = self._record.lowest, getattr(self._optimizer, "best", None)
        point = None if callable(own) else _as_point(own, self._size)
        return lowest if lowest is None or point is None else PointEstimate(point, lowest.value, lowest.standard_error)

    def ask(self) -> NDArray[np.float64]:
        """Return the points that the object asks for; asking again returns them again."""
        if self.stop is None and self._points is None:
            self._guarded(self._next)
        return np.empty((0, self._size)) if self._points is None else self._points

    def tell(self, points: NDArray[np.float64], estimates: Sequence[Estimate | FailedPoint]) -> None:
        """Tell the object the energies. Raises ReplayDiverged for other points than those asked for."""
        assert self._points is not None
        _check_same(self.name, self._rounds, self._points, points)
        values = self._record.add(points, estimates, self.name)
        is_one = np.ndim(self._asked) == 1
        self._guarded(lambda: self._optimizer.tell(self._asked, values[0] if is_one else values))
        self._rounds += 1
        self._asked = self._points = None

    def _next(self) -> None:
        stop = getattr(self._optimizer, "stop", None)
        if reason := (stop() if callable(stop) else stop):
            self.stop = Stop(converged=False, reason=f"{self.name} ended: {reason}")
            return
        asked = self._optimizer.ask()
        try:
            given = np.array(asked, float)
        except (TypeError, ValueError):
            given = np.array(math.nan)
        if given.size == 0 and given.ndim:
            self.stop = Stop(converged=False, reason=f"{self.name} ended")
            return
        points = given.reshape(1, -1) if given.ndim == 1 else given
        if points.ndim != 2 or points.shape[1] != self._size or not np.isfinite(points).all():
            problem = f"{self.name}.ask() returned {str(asked)[:60]}"
            remedy = f"Return a point of {self._size} angles in radians, or an array (k, {self._size}) of points."
            raise InputError("optimizer", problem, remedy)
        self._asked, self._points = asked, points

    def _guarded(self, step: Callable[[], Any]) -> None:
        try:
            with self._generators:
                step()
        except HybridloopError:
            raise
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            raise CallbackFailed(self._rounds, text, f"optimizer {self.name}") from error


def _check_same(name: str, number: int, asked: NDArray[np.float64], recorded: NDArray[np.float64]) -> None:
    """Raise ReplayDiverged if a round asked for other points than the recorded ones."""
    if asked.shape != recorded.shape:
        raise ReplayDiverged(
            name, f"round {number} asks for {len(asked)} point(s), and was recorded with {len(recorded)}"
        )
    distance = float(np.abs(asked - recorded).max(initial=0.0))
    if distance > SAME_POINT_RAD:
        raise ReplayDiverged(name, f"round {number} is {distance:.1e} rad away from the recorded one; is it seeded?")
