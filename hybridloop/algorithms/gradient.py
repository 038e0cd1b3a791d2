"""Newton's steps from gradients and curvatures that are measured all at once, pooled over the rounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.estimation import Estimate
from hybridloop.algorithms.optimizer import JSON, Reading, Stop, checked_frequencies, checked_start, lost_beyond_repair
from hybridloop.algorithms.quadratic import fit_quadratic
from hybridloop.algorithms.rounds import Lost
from hybridloop.algorithms.termination import Outlook, Termination, outlooks_of, reading_row, rows_of
from hybridloop.algorithms.trigfit import Frequencies

MOST_REPEATS = 3  # rounds in a row whose lost points are asked for again
DEFAULT_TERMINATION = Termination(tolerance=1.6e-3)  # hartree: chemical accuracy; the last step is taken, too


@dataclass(slots=True)
class ParallelGradient:
    """The point and a shift to either side along every angle, 2n + 1 points a round, for a model of second order.

    Differences of a shift and its opposite are slopes (K. Mitarai et al., Phys. Rev. A 98 (2018) 032309), their sums
    curvatures along each angle. What BFGS would learn of the other curvatures from the change of the slopes between two
    rounds comes from a fit to all rounds' energies at once: chained updates take noise for curvature and run away. The
    step is Newton's, within one radian's half. For starts near the minimum, such as Hartree-Fock.

    Shifts are an eighth of each angle's shortest period: 0.39 rad where the highest frequency is 2. The point itself,
    or a lost angle's two shifts, may be missing from the fit once earlier rounds have determined it; else what was lost
    is asked for again.
    """

    can_skip: ClassVar[bool] = True

    point: NDArray[np.float64]
    frequencies: tuple[Frequencies, ...]
    termination: Termination = DEFAULT_TERMINATION
    _rounds: int = field(default=0, init=False)
    _repeats: int = field(default=0, init=False)
    _again: list[int] = field(default_factory=list, init=False)  # points of this round that were lost, by number
    _data: list[tuple[NDArray[np.float64], float, float]] = field(default_factory=list, init=False)
    _outlooks: list[Outlook] = field(default_factory=list, init=False)
    _current: Reading | None = field(default=None, init=False)
    _stop: Stop | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.point = checked_start(self.point)
        self.frequencies = checked_frequencies(self.frequencies, len(self.point))
        if not len(self.point):
            self._stop = Stop(converged=True, reason="the circuit has no angle to vary")

    @property
    def current(self) -> Reading | None:
        """The minimum of the model after the last round."""
        return self._current

    @property
    def best(self) -> Reading | None:
        """The same: the model holds all rounds."""
        return self._current

    @property
    def stop(self) -> Stop | None:
        """Set once the search is over."""
        return self._stop

    def ask(self) -> NDArray[np.float64]:
        """The present point, and it with each angle shifted up and down."""
        if self._stop is not None:
            return np.empty((0, len(self.point)))
        shifts = np.diag([math.pi / (4.0 * max(own)) for own in self.frequencies])
        points = np.tile(self.point, (2 * len(self.point) + 1, 1))
        points[1::2] += shifts
        points[2::2] -= shifts
        return points[self._again] if self._again else points

    def tell(self, points: NDArray[np.float64], estimates: Sequence[Estimate | Lost]) -> None:
        """Fit the model to all that was told and take its step; where it is not determined, ask again for the lost."""
        pairs = list(zip(points, estimates, strict=True))
        self._data += [(np.array(p, float), e.value, e.variance) for p, e in pairs if isinstance(e, Estimate)]
        fitted = fit_quadratic(self.frequencies, self._data, self.point)
        if fitted is None:
            self._repeat(estimates)
            return
        self._again, self._repeats = [], 0
        step = fitted.step()
        moved = self.point + step
        moved.setflags(write=False)
        self._outlooks.append(Outlook(fitted.gain(step), fitted.noise_cost(), float(np.linalg.norm(fitted.slopes))))
        self._current = Reading(moved, fitted.value - fitted.gain(step), fitted.standard_error)
        self.point, self._rounds = moved, self._rounds + 1
        self._stop = self.termination.verdict(self._outlooks, self._rounds)

    def _repeat(self, estimates: Sequence[Estimate | Lost]) -> None:
        asked = self._again or range(len(estimates))
        lost = [(number, each) for number, each in zip(asked, estimates, strict=True) if isinstance(each, Lost)]
        if self._repeats == MOST_REPEATS:
            raise lost_beyond_repair("gradient", [each for _, each in lost])
        self._again = [number for number, _ in lost]
        self._repeats += 1

    def state(self) -> dict[str, JSON]:
        """All that the search knows."""
        return {
            "point": self.point.tolist(),
            "frequencies": [list(each) for each in self.frequencies],
            "termination": self.termination.state(),
            "rounds": self._rounds,
            "repeats": self._repeats,
            "again": list(self._again),
            "data": [[point.tolist(), value, variance] for point, value, variance in self._data],
            "outlooks": rows_of(self._outlooks),
            "current": reading_row(self._current),
            "stop": None if self._stop is None else [self._stop.converged, self._stop.reason],
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """The optimizer whose `state` this is."""
        frequencies = tuple(tuple(each) for each in state["frequencies"])
        made = cls(np.array(state["point"], float), frequencies, Termination(**state["termination"]))
        made._rounds, made._repeats, made._again = state["rounds"], state["repeats"], list(state["again"])
        made._data = [(np.array(point, float), value, variance) for point, value, variance in state["data"]]
        made._outlooks = outlooks_of(state["outlooks"])
        if state["current"] is not None:
            point, value, error = state["current"]
            made._current = Reading(np.array(point, float), value, error)
        made._stop = None if state["stop"] is None else Stop(*state["stop"])
        return made
