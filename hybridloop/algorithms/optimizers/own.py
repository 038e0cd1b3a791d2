"""A user's own optimizer as an object: `minimize(fun, x0)` in SciPy's signature, or `ask` and `tell`.

It is durable by replay: started again from a copy and told the recorded values, by index, it must ask for the recorded
points. Global random generators are seeded for it, so only those that it makes itself need a seed of the user's.
"""

from __future__ import annotations

import copy
import math
import os
import random
import signal
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
from hybridloop.algorithms.optimizers.scipy import End, SuspendedMinimizer
from hybridloop.algorithms.rounds import SAME_RAD, FailedPoint
from hybridloop.errors import CallbackFailed, HybridloopError, InputError, ReplayDiverged

_KINDS = "a name (`hybridloop optimizers`), a function minimize(fun, x0), or an object with ask and tell or minimize"
LEAST_STEP_RAD = 1e-4  # over which an energy changes by less than any shot noise
_GROUPED = 1000  # points that an optimizer of qiskit-algorithms may ask for at once
MAX_POINTS = 10_000  # of one call: a round is submitted whole, and no deadline ends it in between
_BY_A_SIGNAL = 128 + signal.SIGTERM  # exit code of the SystemExit that is raised for one


def own_optimizer(name: str, optimizer: object, on_small_step: Callable[[float], None] | None = None) -> OptimizerSpec:
    """Return the spec of a user's optimizer; each search gets a copy of it. Raises InputError for other objects.

    `on_small_step` is called with the difference (rad) over which a minimizer takes the gradient, if noise hides that.
    """
    if isinstance(optimizer, OptimizerSpec):
        return optimizer
    if isinstance(optimizer, type):
        raise InputError("optimizer", f"{name} is a class", f"Give an instance, such as optimizer={name}().")
    if all(hasattr(optimizer, member) for member in MEMBERS):  # hybridloop's own interface
        return OptimizerSpec(lambda _: _copy(name, optimizer))
    minimize = getattr(optimizer, "minimize", None)
    if callable(minimize) or (callable(optimizer) and not hasattr(optimizer, "ask")):
        return OptimizerSpec(_Minimizer(name, optimizer, on_small_step))
    if callable(getattr(optimizer, "ask", None)) and callable(getattr(optimizer, "tell", None)):
        return OptimizerSpec(partial(_ask_and_tell, name, optimizer))
    raise InputError("optimizer", f"{name} is no optimizer", f"Give {_KINDS}.")


def difference_of_first_points(probe: OwnMinimizer) -> float:
    """Return how far apart (rad) the first two different points are that a minimizer asks for; inf if it has none."""
    with suppress(Exception):  # what it raises is reported where the run starts it
        first = probe.ask()
        probe.tell(first, [Estimate(0.3, 1e-6, 1000)] * len(first))
        steps = np.abs(probe.ask()[:, None] - first[None]).max(axis=-1)
        return float(steps[steps > 0.0].min(initial=math.inf))  # the same point again is no difference
    return math.inf


class _Minimizer:
    """Maker of searches by a user's minimizer; the first one is rehearsed for `on_small_step`."""

    def __init__(self, name: str, optimizer: Any, on_small_step: Callable[[float], None] | None) -> None:
        self._name, self._optimizer, self._on_small_step = name, optimizer, on_small_step

    def __call__(self, settings: SearchSettings) -> Optimizer:
        make = partial(OwnMinimizer, self._name, self._optimizer, settings.ansatz.initial_point, settings.seed)
        started = _started(make())
        tell, self._on_small_step = self._on_small_step, None
        if tell is not None and (step := difference_of_first_points(make())) < LEAST_STEP_RAD:
            tell(step)
        return started


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
        self.values += [(estimate.value, estimate.expected_error) for estimate in known]
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
        except (Exception, SystemExit) as error:
            if _is_of_a_signal(error):
                raise
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
    bases = [base.__name__ for base in type(optimizer).__mro__]
    is_grouped = type(optimizer).__module__.startswith("qiskit_algorithms.") and "SciPyOptimizer" not in bases

    def fun(point: Any, *_others: Any) -> Any:
        # grouped points of qiskit-algorithms come one after the other, (k n,)
        given = np.reshape(point, (-1, size)) if is_grouped and np.size(point) > size else point
        points = _checked_points(f"{name} asks for", given, size)
        generators.__exit__()
        values = evaluate(points)  # an abandoned search ends here, and touches no generator any more
        generators.__enter__()
        return values if np.ndim(given) > 1 else float(values[0])

    if is_grouped:
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


def _checked_points(who: str, given: Any, size: int) -> NDArray[np.float64]:
    """Return a point (n,), or a number for one angle, or points (k, n) as (k, n). Raises InputError for others."""
    remedy = f"Ask for {size} finite angles in radians, ({size},), or for several such points at once, (k, {size})."
    shape = (
        f"an array of shape {given.shape}"
        if isinstance(given, np.ndarray)
        else f"{type(given).__name__} {str(given)[:60]}"
    )
    if (points := _real(given)) is None:
        raise InputError("optimizer", f"{who} {shape}, which is no array of finite real numbers", remedy)
    points = points[None] if points.ndim == 1 else points.reshape(1, 1) if (points.ndim, size) == (0, 1) else points
    if points.ndim != 2 or points.shape[1] != size or not len(points):
        raise InputError("optimizer", f"{who} a point of shape {np.shape(given)}", remedy)
    if len(points) > MAX_POINTS:
        problem = f"{who} {len(points):,} points at once, and a round has at most {MAX_POINTS:,}: no deadline ends it"
        raise InputError("optimizer", problem, "Ask for them in several calls.")
    return points


def _real(value: Any) -> NDArray[np.float64] | None:
    """Return an array of finite real numbers; None of anything else, such as complex ones."""
    try:
        array = np.array(value)
        numbers = None if np.iscomplexobj(array) else array.astype(float)
    except (TypeError, ValueError):
        return None
    return numbers if numbers is not None and np.isfinite(numbers).all() else None


def _as_point(value: Any, size: int) -> NDArray[np.float64] | None:
    """Return a point (n,), or of one angle a number; None of anything else."""
    point = _real(value)
    if point is not None and (point.ndim, size) == (0, 1):
        point = point.reshape(1)
    return point if point is not None and point.shape == (size,) else None


class OwnAskAndTell:
    """Optimizer by a user's object: `ask()` returns a point (n,) or points (k, n), `tell(asked, energies)` takes them.

    It ends when `ask` returns None or no point, or when its attribute or method `stop`, if it has one, is true. The
    point returned is its `best`, if that is a point, else the lowest one measured.
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
        is_one = np.ndim(self._asked) < 2
        self._guarded(lambda: self._optimizer.tell(self._asked, values[0] if is_one else values))
        self._rounds += 1
        self._asked = self._points = None

    def _next(self) -> None:
        stop = getattr(self._optimizer, "stop", None)
        if reason := (stop() if callable(stop) else stop):
            self.stop = Stop(converged=False, reason=f"{self.name} ended: {reason}")
            return
        asked = self._optimizer.ask()
        points = None if asked is None else _real(asked)
        if asked is None or (points is not None and points.ndim and not points.size):
            self.stop = Stop(converged=False, reason=f"{self.name} ended")
            return
        self._asked, self._points = asked, _checked_points(f"{self.name}.ask() returned", asked, self._size)

    def _guarded(self, step: Callable[[], Any]) -> None:
        try:
            with self._generators:
                step()
        except HybridloopError:
            raise
        except (Exception, SystemExit) as error:
            if _is_of_a_signal(error):
                raise
            text = f"{type(error).__name__}: {error}"
            raise CallbackFailed(self._rounds, text, f"optimizer {self.name}") from error


def _is_of_a_signal(error: BaseException) -> bool:
    return isinstance(error, SystemExit) and error.code == _BY_A_SIGNAL


def _check_same(name: str, number: int, asked: NDArray[np.float64], recorded: NDArray[np.float64]) -> None:
    """Raise ReplayDiverged if a round asked for other points than the recorded ones."""
    if asked.shape != recorded.shape:
        raise ReplayDiverged(
            name, f"round {number} asks for {len(asked)} point(s), and was recorded with {len(recorded)}"
        )
    distance = float(np.abs(asked - recorded).max(initial=0.0))
    if distance > SAME_RAD:
        raise ReplayDiverged(name, f"round {number} is {distance:.1e} rad away from the recorded one; is it seeded?")
