"""Descends like SPSA, but along the slopes as the states' own geometry has them, which is measured beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.estimation import Estimate
from hybridloop.algorithms.optimizer import JSON, Reading, Stop
from hybridloop.algorithms.perturbations import shift_rad, signs
from hybridloop.algorithms.rounds import Lost
from hybridloop.algorithms.spsa import DEFAULT_TERMINATION, Spsa
from hybridloop.algorithms.termination import Termination

LEAST = 0.1  # of the metric's mean eigenvalue: directions that hardly change the state are taken for that
PRIOR = 4.0  # samples that the identity counts for, for each angle


@dataclass(slots=True)
class QnSpsa:
    """Simultaneous perturbation of the quantum natural gradient: J. Gacon et al., Quantum 5 (2021) 567.

    Slopes, gains, calibration, shots and stop are those of `Spsa`, with its settings. Beside a round's points it asks,
    for as many pairs of random directions Δ, Δ′ ∈ {±1}ⁿ, for four overlaps F of the state at θ with others; δF = F(θ +
    cΔ + cΔ′) − F(θ + cΔ) − F(θ − cΔ + cΔ′) + F(θ − cΔ) gives −δF / (4 c²) (ΔΔ′ᵀ + Δ′Δᵀ) / 2, whose mean is the states'
    metric (Fubini and Study's). The mean of all such samples, its eigenvalues made positive, is the metric gone by; the
    identity counts for `PRIOR` samples an angle, and no eigenvalue is below a tenth of their mean.

    The step is along metric⁻¹ slopes. As the calibration settles the step's length, the metric is taken over its mean
    eigenvalue: it says only which angles count for more than others.

    A sample of which an overlap was lost is left out of the metric; lost points are treated as by `Spsa`.
    """

    can_skip: ClassVar[bool] = True

    point: NDArray[np.float64]
    seed: int
    step_rad: float = 0.6
    resamplings: int = 4
    termination: Termination = DEFAULT_TERMINATION
    _descent: Spsa = field(init=False)
    _sum: NDArray[np.float64] = field(init=False)  # of the samples of the metric
    _samples: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._descent = Spsa(self.point, self.seed, self.step_rad, self.resamplings, self.termination)
        self.point = self._descent.point
        self._sum = np.zeros((len(self.point), len(self.point)))

    @property
    def current(self) -> Reading | None:
        """Where the last round stood."""
        return self._descent.current

    @property
    def best(self) -> Reading | None:
        """The mean of the last rounds' points."""
        return self._descent.best

    @property
    def stop(self) -> Stop | None:
        """Set once the search is over."""
        return self._descent.stop

    def ask(self) -> NDArray[np.float64]:
        """The present point, then it shifted up along each direction, then down."""
        return self._descent.ask()

    def ask_overlaps(self) -> NDArray[np.float64]:
        """The present point with each of four others, for each pair of directions."""
        angles = len(self.point)
        if self.stop is not None:
            return np.zeros((0, 2, angles))
        shift = shift_rad(self._descent.rounds, angles)
        first, second = shift * self._directions()
        here = np.tile(self.point, (4 * self.resamplings, 1))
        others = np.concatenate([first + second, first, second - first, -first]) + self.point
        return np.stack([here, others], axis=1)

    def _directions(self) -> NDArray[np.float64]:
        return signs(self.seed, (self._descent.rounds, 1), (2, self.resamplings, len(self.point)))

    def tell_overlaps(self, pairs: NDArray[np.float64], overlaps: Sequence[Estimate | Lost]) -> None:
        """Add the samples to the metric."""
        shift = shift_rad(self._descent.rounds, len(self.point))
        count = self.resamplings
        fours = zip(*(overlaps[first : first + count] for first in range(0, 4 * count, count)), strict=True)
        for one, other, four in zip(*self._directions(), fours, strict=True):
            known = [each.value for each in four if isinstance(each, Estimate)]
            if len(known) == 4:
                change = known[0] - known[1] - known[2] + known[3]
                outer = np.outer(one, other)
                self._sum = self._sum - change / (4.0 * shift**2) * (outer + outer.T) / 2.0
                self._samples += 1

    def tell(self, points: NDArray[np.float64], estimates: Sequence[Estimate | Lost]) -> None:
        """Estimate the slopes and step down by the metric."""
        self._descent.tell_and_turn(points, estimates, self._natural)
        self.point = self._descent.point

    def _natural(self, slopes: NDArray[np.float64]) -> NDArray[np.float64]:
        """The inverse metric times the slopes; the metric's mean eigenvalue is 1."""
        eigenvalues, axes = np.linalg.eigh(self._sum)
        sizes = np.abs(eigenvalues)
        mean = float(sizes.mean())
        if mean <= 0:
            return slopes
        prior = PRIOR * len(slopes)
        metric = (self._samples * sizes / mean + prior) / (self._samples + prior)
        natural: NDArray[np.float64] = axes @ ((axes.T @ slopes) / np.maximum(metric, LEAST))
        return natural

    def state(self) -> dict[str, JSON]:
        """All that the search knows."""
        return {"descent": self._descent.state(), "sum": self._sum.tolist(), "samples": self._samples}

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """The optimizer whose `state` this is."""
        descent = Spsa.restored(state["descent"])
        made = cls(descent.point, descent.seed, descent.step_rad, descent.resamplings, descent.termination)
        made._descent = descent
        made._sum, made._samples = np.array(state["sum"], float).reshape(made._sum.shape), state["samples"]
        return made
