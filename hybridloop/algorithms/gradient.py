"""Newton's steps from gradients and curvatures that are measured all at once, pooled over the rounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.estimation import Estimate
from hybridloop.algorithms.fit_search import PooledSearch
from hybridloop.algorithms.optimizer import Reading
from hybridloop.algorithms.quadratic import fit_quadratic
from hybridloop.algorithms.rounds import Lost
from hybridloop.algorithms.termination import Outlook, Termination

DEFAULT_TERMINATION = Termination(tolerance=0.8e-3)  # hartree: half of chemical accuracy; the last step is taken, too


@dataclass(slots=True)
class ParallelGradient(PooledSearch):
    """The point and a shift to either side along every angle, 2n + 1 points a round, for a model of second order.

    Differences of a shift and its opposite are slopes (K. Mitarai et al., Phys. Rev. A 98 (2018) 032309), their sums
    curvatures along each angle. What BFGS would learn of the other curvatures from the change of the slopes between two
    rounds comes from a fit to all rounds' energies at once: chained updates take noise for curvature and run away. The
    step is Newton's, within one radian's half. For starts near the minimum, such as Hartree-Fock.

    Shifts are an eighth of each angle's shortest period: 0.39 rad where the highest frequency is 2. The point itself,
    or a lost angle's two shifts, may be missing from the fit once earlier rounds have determined it; else what was lost
    is asked for again.
    """

    termination: Termination = DEFAULT_TERMINATION

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
            self._repeat("gradient", estimates)
            return
        self._again, self._repeats = [], 0
        step = fitted.step()
        moved = self.point + step
        moved.setflags(write=False)
        self._outlooks.append(Outlook(fitted.gain(step), fitted.noise_cost(), float(np.linalg.norm(fitted.slopes))))
        self._current = Reading(moved, fitted.value - fitted.gain(step), fitted.standard_error)
        self.point, self._rounds = moved, self._rounds + 1
        self._stop = self.termination.verdict(self._outlooks, self._rounds)
