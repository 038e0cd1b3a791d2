"""One run of SciPy's `minimize` that can be left waiting: it asks for a value, and goes on when it is given."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from hybridloop.algorithms.optimizer import Stop

Answer = float | tuple[float, NDArray[np.float64]]  # the value, with the gradient (n,) where the method wants it


@dataclass(frozen=True, slots=True)
class Minimization:
    """What SciPy is to be called with, but for the objective."""

    method: str
    start: NDArray[np.float64]
    options: Mapping[str, Any]
    wants_gradient: bool


class _Dropped(Exception):
    """Nobody waits for the search any more."""


class Search:
    """One run of SciPy, which asks for a value, waits for it, and asks for the next.

    SciPy calls what it minimizes and can't be left halfway but by a thread of its own. That thread knows the two queues
    and nothing else of its asker, and ends with the search, or once this object is gone.
    """

    def __init__(self, wanted: Minimization) -> None:
        self.pid = os.getpid()
        self.answered = 0  # evaluations
        self._wants: SimpleQueue[NDArray[np.float64] | Stop | BaseException] = SimpleQueue()
        self._answers: SimpleQueue[Answer | None] = SimpleQueue()
        # not at exit: a thread that is woken while the interpreter is taken down has nothing to stand on
        weakref.finalize(self, self._answers.put, None).atexit = False
        given = (wanted, self._wants, self._answers)
        threading.Thread(target=_minimize, args=given, name=wanted.method.lower(), daemon=True).start()
        self.wanted = self._next()  # the point whose value is missing, or why there is none

    def answer(self, answer: Answer) -> None:
        """Give the value at the wanted point, and wait for the next one."""
        self._answers.put(answer)
        self.answered += 1
        self.wanted = self._next()

    def _next(self) -> NDArray[np.float64] | Stop:
        wanted = self._wants.get()
        if isinstance(wanted, BaseException):
            raise wanted
        return wanted

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        """A copy of an optimizer has no search: it starts its own when it is asked."""
        return type(None), ()


def _minimize(
    wanted: Minimization,
    wants: SimpleQueue[NDArray[np.float64] | Stop | BaseException],
    answers: SimpleQueue[Answer | None],
) -> None:
    """Run SciPy: a thread's work, which hands over points and, last, why the search ended or the error it raised."""

    def measured(point: NDArray[np.float64], /) -> Any:
        wants.put(np.array(point, float))
        answer = answers.get()
        if answer is None:
            raise _Dropped
        return answer

    given: dict[str, Any] = {"method": wanted.method, "jac": wanted.wants_gradient or None, "options": wanted.options}
    try:
        outcome = minimize(measured, wanted.start, **given)
    except _Dropped:
        return
    except BaseException as fault:  # raised again where the point is waited for
        wants.put(fault)
        return
    reason = f"{wanted.method} ended: {str(outcome.message).strip().rstrip('.')}"
    wants.put(Stop(converged=bool(outcome.success), reason=reason))
