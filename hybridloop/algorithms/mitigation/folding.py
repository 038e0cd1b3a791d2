"""Zero-noise extrapolation: the same state made with more noise on purpose, and what that says of none."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from qiskit import QuantumCircuit

from hybridloop.algorithms.ansatz import Ansatz
from hybridloop.algorithms.estimation import Estimate, Tally
from hybridloop.algorithms.evaluation import Evaluation
from hybridloop.algorithms.measurement import Observable
from hybridloop.errors import InputError

SCALES = (1, 3)


class Extrapolation(enum.StrEnum):
    """How an expectation value is taken to fall with the noise."""

    LINEAR = "linear"
    EXPONENTIAL = "exponential"


@dataclass(frozen=True, slots=True)
class Folding:
    """The extrapolation and the odd factors by which the circuits are lengthened.

    Two with `exponential`; with `linear` two or more, through which a straight line is fitted. Each factor beyond the
    first takes another job for each group.
    """

    model: Extrapolation = Extrapolation.LINEAR
    scales: tuple[int, ...] = SCALES

    def __post_init__(self) -> None:
        enough = len(self.scales) == 2 if self.model is Extrapolation.EXPONENTIAL else len(self.scales) >= 2
        if not enough or len(set(self.scales)) < len(self.scales) or not all(s >= 1 and s % 2 for s in self.scales):
            problem = f"{self.scales} are no factors for a {self.model.value} extrapolation"
            raise InputError("scales", problem, "Give distinct odd numbers: two, or more for a linear one.")

    @property
    def weights(self) -> tuple[float, ...]:
        """What a straight line's value at no noise takes of each factor's value, by least squares; they sum to 1.

        Of two factors it is Richardson's (K. Temme, S. Bravyi and J. M. Gambetta, Phys. Rev. Lett. 119 (2017) 180509).
        """
        design = np.stack([np.ones(len(self.scales)), np.array(self.scales, dtype=float)], axis=1)
        return tuple(np.linalg.pinv(design)[0].tolist())


def folded(circuit: QuantumCircuit, scale: int) -> QuantumCircuit:
    """U (U† U)^k with scale = 2k + 1: the same state, with about `scale` times the noise.

    Global folding (T. Giurgica-Tiron et al., QCE (2020) 306). It takes submission that leaves gates as they are.
    """
    lengthened = circuit.copy()
    for _ in range(scale // 2):
        lengthened.compose(circuit.inverse(), inplace=True)
        lengthened.compose(circuit, inplace=True)
    return lengthened


def extrapolated(evaluation: Evaluation, ansatz: Ansatz, folding: Folding) -> Evaluation:
    """An evaluation at no noise: each group at each factor, with the line's weight on its coefficients.

    What allocates shots thus weighs the factors as the extrapolation does. Estimates of the exponential take their
    value and variance from its own formula.
    """
    groups, circuits = [], []
    for scale, weight in zip(folding.scales, folding.weights, strict=True):
        longer = folded(ansatz.circuit, scale)
        for group in evaluation.observable.groups:
            groups.append(replace(group, coefficients=weight * group.coefficients))
            circuits.append(group.read(longer if group.turn is None else folded(group.turned(ansatz.circuit), scale)))
    weighed = Observable(evaluation.observable.operator, evaluation.observable.constant, tuple(groups))
    wider = replace(evaluation, observable=weighed, circuits=tuple(circuits))
    if folding.model is Extrapolation.LINEAR:
        return wider
    line, count = evaluation.combined, len(evaluation.circuits)

    def combined(observable: Observable, tallies: Sequence[Tally]) -> Estimate:
        weighed = [tallies[k * count : (k + 1) * count] for k in range(len(folding.scales))]
        decays = [math.fsum(each.mean for each in of) / w for of, w in zip(weighed, folding.weights, strict=True)]
        return _exponential(observable, tallies, decays, folding.weights, line)

    return replace(wider, combined=combined)


def _exponential(
    observable: Observable,
    tallies: Sequence[Tally],
    decays: Sequence[float],
    weights: Sequence[float],
    line: Callable[[Observable, Sequence[Tally]], Estimate],
) -> Estimate:
    """The value at no noise of constant + a exp(−b scale): with enough noise a Pauli sum falls to its constant.

    `decays` are the values at the factors without the constant, and ln|·| of them lies on a line. Where they are not of
    one sign, so that no exponential goes through them, the value is the line's. Variances to first order.
    """
    if not (all(each > 0 for each in decays) or all(each < 0 for each in decays)):
        return line(observable, tallies)
    size = math.exp(math.fsum(w * math.log(abs(each)) for w, each in zip(weights, decays, strict=True)))
    signed = math.copysign(size, decays[0])
    count = len(tallies) // len(decays)
    turned = [_times(signed / decays[k // count], each) for k, each in enumerate(tallies)]
    return replace(line(observable, turned), value=observable.constant + signed)


def _times(factor: float, of: Tally) -> Tally:
    return Tally(
        of.shots,
        factor * of.mean,
        factor**2 * of.squares,
        abs(factor) * of.reach,
        of.is_exact,
        abs(factor) * of.rounding_bound,
        tuple(factor * each for each in of.slopes),
    )
