"""Forecast of what gate and readout errors do to a value, by published error rates: without and with mitigations.

With the chance that a shot has no fault, it has the noiseless state, else the mixed one (depolarizing noise of the
whole register); of that, post-selection keeps the share of outcomes with the symmetries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hybridloop.algorithms.estimation.observable import MeasurementGroup, Observable
from hybridloop.algorithms.estimation.symmetry import Symmetry, mean_of_kept, share_of_kept
from hybridloop.algorithms.mitigation.zne import ZeroNoiseExtrapolation


@dataclass(frozen=True, slots=True, eq=False)
class NoisyGroup:
    """A measured group, with the chances that none of its gates has a fault, and that no qubit is misread."""

    group: MeasurementGroup
    gates: float
    readout: float

    def sound(self, share: float, *, reads: bool) -> float:
        """Return the part of the kept shots without a fault; with `reads` misread qubits do not count."""
        chance = self.gates if reads else self.gates * self.readout
        return chance / (chance + (1.0 - chance) * share)


@dataclass(frozen=True, slots=True, eq=False)
class NoiseForecast:
    """The expected shift of an observable whose noiseless value is about `value`, in its unit."""

    observable: Observable
    groups: Sequence[NoisyGroup]
    symmetries: tuple[Symmetry, ...]
    value: float

    def shift(self, *, selects: bool = True, reads: bool = False, extrapolates: bool = False) -> float:
        """Return the expected shift of the value, by what is done: post-selection, inverted readout, a line.

        Groups share the value in proportion to the sums of their coefficients' sizes. Errors of readout do not grow
        with folded gates, so that an extrapolation leaves them.
        """
        qubits, symmetries = self.observable.num_qubits, self.symmetries if selects else ()
        mixed = self.observable.constant + math.fsum(
            mean_of_kept(each.group, symmetries, qubits) if selects else 0.0 for each in self.groups
        )
        total = math.fsum(each.group.max_abs_energy for each in self.groups) or 1.0
        found = 0.0
        for each in self.groups:
            share = share_of_kept(each.group, symmetries, qubits) if selects else 1.0
            part = (mixed - self.value) * each.group.max_abs_energy / total
            left = 1.0 - each.sound(share, reads=reads)
            if extrapolates:
                of_gates = each.sound(share, reads=True)
                line = ZeroNoiseExtrapolation()
                decayed = [w * of_gates**scale for scale, w in zip(line.scales, line.weights, strict=True)]
                left += of_gates - math.fsum(decayed)
            found += part * left
        return found
