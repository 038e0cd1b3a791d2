"""Zero-noise extrapolation (ZNE): circuits with amplified noise by global folding, extrapolated to no noise."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from qiskit import QuantumCircuit

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.estimation.estimates import Estimate, Evaluation, GroupStatistics
from hybridloop.algorithms.estimation.observable import Observable
from hybridloop.errors import InputError

DEFAULT_SCALES = (1, 3)


class Extrapolation(enum.StrEnum):
    """The model for the decay of an expectation value with the noise."""

    LINEAR = "linear"
    EXPONENTIAL = "exponential"


@dataclass(frozen=True, slots=True)
class ZeroNoiseExtrapolation:
    """Zero-noise extrapolation: the model, and the odd scale factors by which circuits are lengthened.

    The exponential model takes two factors, the linear model two or more, for a least-squares fit. Each factor beyond
    the first takes one more job for each group.
    """

    model: Extrapolation = Extrapolation.LINEAR
    scales: tuple[int, ...] = DEFAULT_SCALES

    def __post_init__(self) -> None:
        has_enough = len(self.scales) == 2 if self.model is Extrapolation.EXPONENTIAL else len(self.scales) >= 2
        if not has_enough or len(set(self.scales)) < len(self.scales) or not all(s >= 1 and s % 2 for s in self.scales):
            problem = f"{self.scales} are not valid scale factors for {self.model.value} extrapolation"
            raise InputError("scales", problem, "Give two distinct odd numbers, or more for linear extrapolation.")

    @property
    def weights(self) -> tuple[float, ...]:
        """The weight of each factor's value in the linear least-squares extrapolation to no noise; they sum to 1.

        With two factors this is Richardson extrapolation (K. Temme, S. Bravyi and J. M. Gambetta, Phys. Rev. Lett. 119
        (2017) 180509).
        """
        design = np.stack([np.ones(len(self.scales)), np.array(self.scales, dtype=float)], axis=1)
        return tuple(np.linalg.pinv(design)[0].tolist())


def fold_circuit(circuit: QuantumCircuit, scale: int) -> QuantumCircuit:
    """Fold a circuit globally: U (U† U)^k with scale = 2k + 1.

    It prepares the same state with about `scale` times the noise (T. Giurgica-Tiron et al., QCE (2020) 306). The
    service must not optimize the gates away.
    """
    lengthened = circuit.copy()
    for _ in range(scale // 2):
        lengthened.compose(circuit.inverse(), inplace=True)
        lengthened.compose(circuit, inplace=True)
    return lengthened


def extrapolate_to_zero_noise(evaluation: Evaluation, ansatz: Ansatz, zne: ZeroNoiseExtrapolation) -> Evaluation:
    """Return an evaluation at zero noise: each group at each scale factor, its coefficients times the linear weight.

    Shot allocation thus weighs the factors as the linear extrapolation does. The exponential model computes value and
    variance by its own formula. The estimate's `extrapolation_spread` is the difference between both models by the same
    shots; if no exponential fits, that between the extrapolated value and the one at the first factor.
    """
    # the groups and circuits of all scale factors
    groups, circuits = [], []
    for scale, weight in zip(zne.scales, zne.weights, strict=True):
        folded_ansatz = fold_circuit(ansatz.circuit, scale)
        for group in evaluation.observable.groups:
            groups.append(replace(group, coefficients=weight * group.coefficients))
            if group.diagonalization is None:
                folded = folded_ansatz
            else:
                folded = fold_circuit(group.add_diagonalization(ansatz.circuit), scale)
            circuits.append(group.add_measurement(folded))
    weighted = Observable(evaluation.observable.operator, evaluation.observable.constant, tuple(groups))
    combine_linear, count = evaluation.combine_groups, len(evaluation.circuits)

    def combine(constant: float, statistics: Sequence[GroupStatistics]) -> Estimate:
        by_scale = [statistics[k * count : (k + 1) * count] for k in range(len(zne.scales))]
        decays = [
            math.fsum(group.mean for group in scaled) / weight
            for scaled, weight in zip(by_scale, zne.weights, strict=True)
        ]
        linear = combine_linear(constant, statistics)
        exponential = _extrapolate_exponential(constant, statistics, decays, zne.weights, combine_linear)
        if exponential is None:
            return replace(linear, extrapolation_spread=abs(linear.value - constant - decays[0]))
        chosen = linear if zne.model is Extrapolation.LINEAR else exponential
        return replace(chosen, extrapolation_spread=abs(linear.value - exponential.value))

    return replace(evaluation, observable=weighted, circuits=tuple(circuits), combine_groups=combine)


def _extrapolate_exponential(
    constant: float,
    statistics: Sequence[GroupStatistics],
    decays: Sequence[float],
    weights: Sequence[float],
    combine_linear: Callable[[float, Sequence[GroupStatistics]], Estimate],
) -> Estimate | None:
    """Extrapolate constant + a exp(−b scale) to no noise: with enough noise a Pauli sum decays to its constant.

    `decays` are the values at the factors without the constant; their ln|·| lie on a line. If their signs differ, no
    exponential fits: None. Variances are to first order.
    """
    if not (all(decay > 0 for decay in decays) or all(decay < 0 for decay in decays)):
        return None
    size = math.exp(math.fsum(weight * math.log(abs(decay)) for weight, decay in zip(weights, decays, strict=True)))
    value = math.copysign(size, decays[0])
    count = len(statistics) // len(decays)
    scaled = [_scale_statistics(group, value / decays[k // count]) for k, group in enumerate(statistics)]
    return replace(combine_linear(constant, scaled), value=constant + value)


def _scale_statistics(statistics: GroupStatistics, factor: float) -> GroupStatistics:
    return GroupStatistics(
        statistics.shots,
        factor * statistics.mean,
        factor**2 * statistics.squared_deviations,
        abs(factor) * statistics.max_abs_energy,
        statistics.is_exact,
        abs(factor) * statistics.rounding_bound,
        tuple(factor * derivative for derivative in statistics.readout_derivatives),
    )
