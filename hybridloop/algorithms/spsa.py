"""Descends along slopes that are measured in random directions of all angles at once, however many angles there are."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.estimation import Estimate
from hybridloop.algorithms.optimizer import (
    JSON,
    Reading,
    Stop,
    checked_start,
    end_without_angles,
    one_more_repeat,
    stop_of,
    stop_row,
)
from hybridloop.algorithms.perturbations import Trail, gain, shift_rad, signs
from hybridloop.algorithms.rounds import Lost
from hybridloop.algorithms.termination import Outlook, Termination, outlooks_of, rows_of
from hybridloop.errors import InputError

CALIBRATION = 8  # directions of the first round, at least: its gain is as good as the slopes' mean square is known
GREATEST = 1e6  # rad² per hartree: where all energies are equal, any gain does
# hartree: soft directions have more to gain than the mean curvature says, so a third of chemical accuracy
DEFAULT_TERMINATION = Termination(tolerance=0.5e-3, patience=3)

Slopes = NDArray[np.float64]


@dataclass(slots=True)
class Spsa:
    """Simultaneous perturbation stochastic approximation.

    J. C. Spall, IEEE Trans. Autom. Control 37 (1992) 332; gains and calibration: IEEE Trans. Aerosp. Electron. Syst. 34
    (1998) 817. A round measures the energy at θ and, in each of `resamplings` random directions Δ ∈ {±1}ⁿ, at θ ± c_k
    Δ. A difference over 2 c_k is the slope along Δ; the mean of (slope Δ) estimates the gradient. The step is −a_k
    times it, no angle by more than `step_rad`. What the sums are above twice θ's energy tells the curvatures' trace.

    The first round has more directions, and calibrates a: so that the first step changes angles by `step_rad`, but by
    no more than is stable with the curvature seen, 1 / (h (1 + (n − 1) / m)) with h the mean curvature along an angle
    and m the directions of a round: a start near the minimum has slopes that say nothing of those further out. It has
    converged once the slopes of the last rounds promise no further gain (`Trail`), and hands back these rounds' mean
    point. Steps are not blocked by a rise of the noisy energies: where they are, half of the searches of H2 from random
    starts end 7 mHa or more above the minimum, instead of 0.3.

    A direction of which a point was lost is left out; where all were, or θ was, the round is asked again.
    """

    can_skip: ClassVar[bool] = True

    point: NDArray[np.float64]
    seed: int
    step_rad: float = 0.6
    resamplings: int = 4
    termination: Termination = DEFAULT_TERMINATION
    _size: float | None = field(default=None, init=False)  # a, in rad² per hartree; None before the first round
    _repeats: int = field(default=0, init=False)
    _trail: Trail = field(init=False)
    _outlooks: list[Outlook] = field(default_factory=list, init=False)
    _stop: Stop | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.point = checked_start(self.point)
        if not 0 <= self.seed < 2**63:
            raise InputError("seed", f"{self.seed} is not within 0 and 2^63 - 1", "Give such a number.")
        if not (self.step_rad > 0 and math.isfinite(self.step_rad)):
            raise InputError("step_rad", f"{self.step_rad} is not above 0", "Give a positive angle in radians.")
        if self.resamplings < 1:
            raise InputError("resamplings", f"{self.resamplings} is below 1", "Give 1 direction a round or more.")
        self._trail = Trail.of(len(self.point))
        self._stop = end_without_angles(self.point)

    @property
    def rounds(self) -> int:
        """Rounds that led to a step."""
        return len(self._trail)

    @property
    def current(self) -> Reading | None:
        """Where the last round stood."""
        if not len(self._trail):
            return None
        error = math.sqrt(float(self._trail.variances[-1]))
        return Reading(self._trail.points[-1], float(self._trail.values[-1]), error)

    @property
    def best(self) -> Reading | None:
        """The mean of the last rounds' points."""
        return self._trail.mean(self.termination.tolerance) if len(self._trail) else None

    @property
    def stop(self) -> Stop | None:
        """Set once the search is over."""
        return self._stop

    def ask(self) -> NDArray[np.float64]:
        """The present point, then it shifted up along each direction, then down."""
        if self._stop is not None:
            return np.empty((0, len(self.point)))
        shifts = shift_rad(self.rounds, len(self.point)) * self._directions()
        return np.vstack([self.point, self.point + shifts, self.point - shifts])

    def _directions(self) -> NDArray[np.float64]:
        count = self.resamplings if self._size is not None else max(self.resamplings, CALIBRATION)
        return signs(self.seed, (self.rounds, 0), (count, len(self.point)))

    def tell(self, points: NDArray[np.float64], estimates: Sequence[Estimate | Lost]) -> None:
        """Estimate the slopes and step down; where nothing of them is known, ask again."""
        self.tell_and_turn(points, estimates, lambda slopes: slopes)

    def tell_and_turn(
        self, points: NDArray[np.float64], estimates: Sequence[Estimate | Lost], turned: Callable[[Slopes], Slopes]
    ) -> None:
        """The same, but the step is along what `turned` makes of the slopes."""
        directions, centre = self._directions(), estimates[0]
        ups, downs = estimates[1 : 1 + len(directions)], estimates[1 + len(directions) :]
        sides = [
            (row, up, down)
            for row, up, down in zip(directions, ups, downs, strict=True)
            if isinstance(up, Estimate) and isinstance(down, Estimate)
        ]
        if not sides or isinstance(centre, Lost):
            self._repeats = one_more_repeat(self._repeats, "spsa", estimates)
            return
        self._repeats = 0
        shift, count, angles = shift_rad(self.rounds, len(self.point)), len(sides), len(self.point)
        along = np.array([up.value - down.value for _, up, down in sides]) / (2.0 * shift)
        sums = np.array([up.value + down.value for _, up, down in sides])
        slopes = (along[:, None] * np.array([row for row, _, _ in sides])).mean(axis=0)
        noise = math.fsum(up.variance + down.variance for _, up, down in sides) / (2.0 * shift * count) ** 2
        curvature = (float(sums.mean()) - 2.0 * centre.value) / (shift**2 * angles)
        if self._size is None:
            self._size = self._calibrated(along, curvature)
        size = gain(self._size, self.rounds)
        self._trail = self._trail.with_round(self.point, centre.value, centre.variance, slopes, noise, curvature)
        step = -size * turned(slopes)
        step *= min(1.0, self.step_rad / max(float(np.abs(step).max()), 1e-12))
        self.point = self.point + step
        self.point.setflags(write=False)
        self._judge()

    def _calibrated(self, along: NDArray[np.float64], curvature: float) -> float:
        """a, from slopes along directions and the mean curvature."""
        angles = len(self.point)
        # a mean over directions is off by what each has of the slopes across: (n − 1) / m of their square
        excess = 1.0 + (angles - 1) / self.resamplings
        typical = math.sqrt(float((along**2).mean()) / angles * excess)
        newton = math.inf if curvature <= 0 else 1.0 / (curvature * excess)
        first = self.step_rad / typical if typical > 0 else math.inf
        return min(first, newton, GREATEST) / gain(1.0, 0)

    def _judge(self) -> None:
        outlook = self._trail.outlook(self.termination.tolerance)
        if outlook is not None:
            self._outlooks.append(outlook)
        verdict = self.termination.verdict(self._outlooks, self.rounds)
        if verdict is not None and verdict.converged:
            last = self._outlooks[-1]
            promised = f"the slopes of the last rounds promise {1e3 * last.gain:.2g} mHa"
            verdict = replace(verdict, reason=f"{promised}, where shot noise feigns {1e3 * last.noise:.2g}")
        self._stop = verdict

    def state(self) -> dict[str, JSON]:
        """All that the search knows."""
        return {
            "point": self.point.tolist(),
            "seed": self.seed,
            "step_rad": self.step_rad,
            "resamplings": self.resamplings,
            "termination": self.termination.state(),
            "size": self._size,
            "repeats": self._repeats,
            "trail": self._trail.state(),
            "outlooks": rows_of(self._outlooks),
            "stop": stop_row(self._stop),
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """The optimizer whose `state` this is."""
        settings = (state["seed"], state["step_rad"], state["resamplings"], Termination(**state["termination"]))
        made = cls(np.array(state["point"], float), *settings)
        made._size, made._repeats = state["size"], state["repeats"]
        made._trail = Trail.of(len(made.point), state["trail"])
        made._outlooks = outlooks_of(state["outlooks"])
        made._stop = stop_of(state["stop"])
        return made
