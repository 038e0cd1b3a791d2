"""An optimizer of angles in units of their scales, where a step of one angle changes the energy as that of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.base import Optimizer, PointEstimate, Stop
from hybridloop.algorithms.rounds import FailedPoint


@dataclass(slots=True, eq=False)
class ScaledOptimizer:
    """One of SciPy's methods, `inner`, whose angles are those of the circuit (radians) over their `scales` (n,)."""

    can_skip: ClassVar[bool] = False

    inner: Optimizer
    scales: NDArray[np.float64]

    def ask(self) -> NDArray[np.float64]:
        """Return all points of the next round, shape (k, n) in radians."""
        return self.inner.ask() * self.scales

    def tell(self, points: NDArray[np.float64], estimates: Sequence[Estimate | FailedPoint]) -> None:
        """Process a round's results at points in radians."""
        self.inner.tell(points / self.scales, estimates)

    @property
    def best(self) -> PointEstimate | None:
        """Point to return now, in radians."""
        best = self.inner.best
        return None if best is None else replace(best, point=best.point * self.scales)

    @property
    def stop(self) -> Stop | None:
        """Reason to stop; None while the search runs."""
        return self.inner.stop
