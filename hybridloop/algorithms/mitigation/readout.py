"""Readout error mitigation (tensored model, inverted in every expectation value) and symmetry post-selection.

Readout errors are measured once per qubit. Post-selection keeps the shots in the symmetry sector of the state.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.estimation.estimates import (
    MIN_KEPT_FRACTION,
    Estimate,
    Evaluation,
    GroupStatistics,
    valid_statistics,
)
from hybridloop.algorithms.estimation.observable import MeasurementGroup
from hybridloop.algorithms.estimation.rounding import Rounding
from hybridloop.algorithms.estimation.symmetry import Symmetry, all_hold, all_outcomes, had_by
from hybridloop.algorithms.rounds import Counts, FailedPoint, RunRound, UnusablePoint
from hybridloop.errors import InputError, JobFailed

CALIBRATION_SHOTS = 4000  # for each of the two circuits before a search, whose points share their error
CALIBRATION_JOBS = 2
MAX_PROJECTED_BITS = 12  # of a projector on a number of ones
ALL_ZERO, ALL_ONE = (MeasurementGroup("", (), np.zeros(0)) for _ in range(2))  # circuits of a calibration
MIN_CONTRAST = 0.05  # of 1 − p(1|0) − p(0|1): the inverse amplifies shot noise by its reciprocal, for each qubit


@dataclass(frozen=True, slots=True, eq=False)
class ReadoutErrors:
    """Readout error rates of each qubit: p(read 1 | is 0) and p(read 0 | is 1), both (qubits,), without correlations.

    `shots` are those that each of the two kinds of rates was estimated from; None if the rates are known.
    """

    zero_as_one: NDArray[np.float64]
    one_as_zero: NDArray[np.float64]
    shots: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        contrast = 1.0 - self.zero_as_one - self.one_as_zero
        if not (np.isfinite(contrast).all() and contrast.min() >= MIN_CONTRAST):
            qubit = int(np.argmin(np.where(np.isfinite(contrast), contrast, -1.0)))
            problem = (
                f"qubit {qubit} is read as 1 with probability {self.zero_as_one[qubit]:.3g} when it is 0, "
                f"and as 0 with {self.one_as_zero[qubit]:.3g} when it is 1"
            )
            remedy = "Such a readout cannot be inverted: leave readout out of the mitigation."
            raise InputError("mitigation", problem, remedy, "What was measured so far is billed.")

    @property
    def z_values(self) -> NDArray[np.float64]:
        """The values of Z for a qubit read as 0 and as 1 that make ⟨Z⟩ unbiased, in place of 1 and −1: (qubits, 2).

        They are the row (1, −1) times the inverse of the qubit's matrix of readout probabilities (S. Bravyi et al.,
        Phys. Rev. A 103 (2021) 042605, tensored model).
        """
        contrast = 1.0 - self.zero_as_one - self.one_as_zero
        shift = self.zero_as_one - self.one_as_zero
        return np.stack([(1.0 + shift) / contrast, (shift - 1.0) / contrast], axis=1)

    @property
    def z_derivatives(self) -> NDArray[np.float64]:
        """The derivatives of `z_values` by p(1|0) and by p(0|1): (2, qubits, 2)."""
        contrast = 1.0 - self.zero_as_one - self.one_as_zero
        zero, one = self.z_values.T
        by_zero_as_one = np.stack([(zero + 1.0) / contrast, (one + 1.0) / contrast], axis=1)
        by_one_as_zero = np.stack([(zero - 1.0) / contrast, (one - 1.0) / contrast], axis=1)
        return np.stack([by_zero_as_one, by_one_as_zero])

    @property
    def variances(self) -> NDArray[np.float64]:
        """The variances of the estimated p(1|0) and p(0|1): (2, qubits); one fictitious error keeps them above 0."""
        rates = np.stack([self.zero_as_one, self.one_as_zero])
        if self.shots is None:
            return np.zeros_like(rates)
        shots = np.array(self.shots, float)[:, None]
        variances: NDArray[np.float64] = (rates * (1.0 - rates) + 1.0 / shots) / shots
        return variances


def measure_readout_errors(num_qubits: int, run_round: RunRound, shots: int = CALIBRATION_SHOTS) -> ReadoutErrors:
    """Measure the readout errors with all qubits in 0, then in 1: one round of two jobs for any number of qubits.

    The rates of an exact target are taken as known. Raises JobFailed if one of the two jobs failed.
    """
    pubs = [SamplerPub.coerce((_calibration_circuit(num_qubits, bit), None, shots)) for bit in (0, 1)]
    (zeros,), (ones,) = run_round(pubs)
    as_one, still_one = _rates(zeros), _rates(ones)
    is_exact = isinstance(zeros, Counts) and zeros.exact
    return ReadoutErrors(as_one, 1.0 - still_one, None if is_exact else (shots, shots))


def _calibration_circuit(num_qubits: int, bit: int) -> QuantumCircuit:
    circuit = QuantumCircuit(num_qubits, num_qubits, name=f"all-{bit}")
    if bit:
        circuit.x(range(num_qubits))
    circuit.measure(range(num_qubits), range(num_qubits))
    return circuit


def _rates(counts: Counts | FailedPoint) -> NDArray[np.float64]:
    """Return the fraction of shots in which each bit was 1: (bits,)."""
    if isinstance(counts, FailedPoint):
        problem = f"a calibration job of the readout mitigation failed ({counts.reason})"
        consequence = "Nothing else has been measured yet."
        raise JobFailed(problem, consequence, "Run again, or leave readout out of the mitigation.")
    return counts.counts @ counts.bits / counts.shots


def calibration_variance(derivatives: Sequence[float], errors: ReadoutErrors) -> float:
    """Return the variance that the uncertainty of the readout errors adds to a value: Σ (∂value/∂p)² var p."""
    return math.fsum(np.square(derivatives) * errors.variances.ravel())


@dataclass(frozen=True, slots=True, eq=False)
class _ZPolynomial:
    """A polynomial Σ c_t Π_{i ∈ mask_t} Z_i: masks (terms, qubits), coefficients (terms,)."""

    masks: NDArray[np.bool_]
    coefficients: NDArray[np.float64]


def mitigate_readout(
    evaluation: Evaluation, *, errors: ReadoutErrors | None = None, symmetries: Sequence[Symmetry] = ()
) -> Evaluation:
    """Return the evaluation with readout errors inverted and shots outside the symmetry sector discarded.

    It takes no further job. Symmetries apply only to groups whose outcomes show them; groups that know their number of
    `ones` have that in their place. If less than `MIN_KEPT_FRACTION`
    of the shots is in the sector, the point is an `UnusablePoint`. The variance of the readout error rates, common to
    all groups, is added to each estimate's.
    """
    if errors is None:
        return replace(evaluation, reduce_counts=partial(valid_statistics, symmetries=tuple(symmetries)))
    known, combine_groups = errors, evaluation.combine_groups

    def reduce_counts(group: MeasurementGroup, counts: Counts) -> GroupStatistics | UnusablePoint:
        return _inverted(known, tuple(symmetries), group, counts)

    def combine_with_calibration(constant: float, statistics: Sequence[GroupStatistics]) -> Estimate:
        estimate = combine_groups(constant, statistics)
        derivatives = np.sum([group.readout_derivatives for group in statistics], axis=0) if statistics else []
        return replace(estimate, variance=estimate.variance + calibration_variance(derivatives, known))

    return replace(evaluation, reduce_counts=reduce_counts, combine_groups=combine_with_calibration)


def calibrate_beside(evaluation: Evaluation, symmetries: Sequence[Symmetry] = ()) -> Evaluation:
    """Return an evaluation that measures the readout errors beside its groups, and inverts them in all of their counts.

    A machine drifts: what is compared is measured at the same times. The two circuits of the calibration count as
    groups whose energy is linear in their rates, so that shots are shared out over all of them by what each adds to the
    variance. Counts are inverted by the rates of the last calibration so far, and their means corrected to those of all
    of them, to first order.
    """
    inverse = _Inverse(evaluation.observable.num_qubits, tuple(symmetries))
    circuits = tuple(_calibration_circuit(evaluation.observable.num_qubits, bit) for bit in (0, 1))
    return replace(
        evaluation,
        circuits=(*evaluation.circuits, *circuits),
        reduce_counts=inverse.reduce,
        weigh=_with_rates,
        combine_groups=lambda constant, statistics: evaluation.combine_groups(constant, _with_rates(statistics)),
        calibration=(ALL_ZERO, ALL_ONE),
    )


def errors_beside(statistics: Sequence[GroupStatistics]) -> ReadoutErrors:
    """Return the readout errors that were measured beside groups: the last two statistics have their rates."""
    zeros, ones = statistics[-2:]
    return ReadoutErrors(
        np.array(zeros.rates), np.array(ones.rates), None if zeros.is_exact else (zeros.shots, ones.shots)
    )


class _Inverse:
    """The inverse of the last readout errors that were measured; of none at first."""

    def __init__(self, num_qubits: int, symmetries: tuple[Symmetry, ...]) -> None:
        self._symmetries = symmetries
        self._rates = {ALL_ZERO: np.zeros(num_qubits), ALL_ONE: np.zeros(num_qubits)}

    def reduce(self, group: MeasurementGroup, counts: Counts) -> GroupStatistics | UnusablePoint:
        """Return the statistics of a group's energy, or those of a calibration circuit, whose rates are used next."""
        if group in self._rates:
            ones = _rates(counts)
            self._rates[group] = ones if group is ALL_ZERO else 1.0 - ones
            return GroupStatistics(counts.shots, 0.0, 0.0, 0.0, counts.exact, rates=tuple(self._rates[group].tolist()))
        errors = ReadoutErrors(self._rates[ALL_ZERO], self._rates[ALL_ONE])
        found = _inverted(errors, self._symmetries, group, counts)
        if isinstance(found, UnusablePoint):
            return found
        used = np.concatenate([errors.zero_as_one, errors.one_as_zero])
        return replace(found, mean=found.mean - math.fsum(used * found.readout_derivatives))


def _with_rates(statistics: Sequence[GroupStatistics]) -> list[GroupStatistics]:
    """Return the statistics with means at the measured readout errors, and the errors' own variances.

    `_Inverse.reduce` took Σ (∂mean/∂p) p from the means at the rates that it used. One fictitious error of each qubit
    keeps a calibration without errors from having no variance.
    """
    *groups, zeros, ones = statistics
    rates = np.concatenate([zeros.rates, ones.rates])
    at_rates = [replace(group, mean=group.mean + math.fsum(rates * group.readout_derivatives)) for group in groups]
    slopes = np.split(np.sum([group.readout_derivatives for group in groups], axis=0), 2)
    for each, by_rate in zip((zeros, ones), slopes, strict=True):
        own = np.array(each.rates)
        squares = math.fsum(by_rate**2 * (each.shots * own * (1.0 - own) + 1.0))
        at_rates.append(replace(each, squared_deviations=squares))
    return at_rates


def _inverted(
    errors: ReadoutErrors, symmetries: tuple[Symmetry, ...], group: MeasurementGroup, counts: Counts
) -> GroupStatistics | UnusablePoint:
    """Return the statistics of a group with inverted readout errors, of outcomes with the symmetries that it shows."""
    bits = counts.num_bits
    energy, projector = _polynomials(group, symmetries, bits)
    if projector is None:
        return _with_reach(group, _statistics(energy, 0.0, counts, errors), bits)
    found = _postselect(energy, projector, counts, errors)
    return found if isinstance(found, UnusablePoint) else _with_reach(group, found, bits)


@lru_cache(maxsize=256)  # a run measures the same groups in each round
def _polynomials(
    group: MeasurementGroup, symmetries: tuple[Symmetry, ...], bits: int
) -> tuple[_ZPolynomial, _ZPolynomial | None]:
    """Return the energy and None; with symmetries that are shown, that of outcomes with them, and their projector."""
    energy = dict(zip(group.masks, group.coefficients.tolist(), strict=True))
    shown = had_by(group, symmetries, bits)
    if not shown:
        return _polynomial(energy, bits), None
    projector = projector_on(shown, bits)
    return _polynomial(_product(projector, energy), bits), _polynomial(projector, bits)


def _with_reach(group: MeasurementGroup, found: GroupStatistics, num_bits: int) -> GroupStatistics:
    """Return statistics whose reach is that of an outcome before it is misread: the inverse has no bias."""
    return replace(found, reach=group.reach(found.mean, num_bits))


@lru_cache(maxsize=64)
def projector_on(symmetries: tuple[Symmetry, ...], num_bits: int) -> dict[int, float]:
    """Return the projector on outcomes with all symmetries as coefficients of products of Z by mask.

    Of more than `MAX_PROJECTED_BITS` it is that on their parities: a number has 2^bits terms.
    """
    if num_bits > MAX_PROJECTED_BITS:
        projector = {0: 1.0}
        for each in symmetries:
            ((mask, _),), ones = each.parity.parities, each.parity.ones
            projector = _product({0: 0.5, mask: -0.5 if ones else 0.5}, projector)
        return projector
    values = all_hold(symmetries, all_outcomes(num_bits)).astype(float)
    for bit in range(num_bits):  # the Walsh-Hadamard transform
        pairs = values.reshape(-1, 2, 1 << bit)
        values = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).reshape(-1)
    kept = np.flatnonzero(np.abs(values) > 0.5)  # they are whole numbers
    return dict(zip(kept.tolist(), (values[kept] / 2.0**num_bits).tolist(), strict=True))


def _product(one: Mapping[int, float], other: Mapping[int, float]) -> dict[int, float]:
    product: dict[int, float] = {}
    for mask, weight in one.items():
        for term, coefficient in other.items():
            product[mask ^ term] = product.get(mask ^ term, 0.0) + weight * coefficient
    return product


def _postselect(
    energy_in_sector: _ZPolynomial, in_sector: _ZPolynomial, counts: Counts, errors: ReadoutErrors
) -> GroupStatistics | UnusablePoint:
    """Return ⟨P H⟩ / ⟨P⟩ with the projector P on the sector.

    The variance is that of the ratio to first order, Var(f − (f̄ / p̄) p) / p̄² (the delta method).
    """
    weights = counts.counts / counts.shots
    within = _values(in_sector, counts, errors)
    fraction = float(weights @ within)
    if fraction < MIN_KEPT_FRACTION:
        return UnusablePoint(f"only {max(0.0, fraction):.1%} of {counts.shots} shots have the state's symmetries")
    mean = float(weights @ _values(energy_in_sector, counts, errors)) / fraction
    deviation = _ZPolynomial(
        np.concatenate([energy_in_sector.masks, in_sector.masks]),
        np.concatenate([energy_in_sector.coefficients, -mean * in_sector.coefficients]) / fraction,
    )
    found = _statistics(deviation, mean, counts, errors)
    return replace(found, in_sector=fraction, sector_squares=float(counts.counts @ (within - fraction) ** 2))


def _statistics(polynomial: _ZPolynomial, offset: float, counts: Counts, errors: ReadoutErrors) -> GroupStatistics:
    """Return the statistics of the polynomial's value in each shot, plus `offset`."""
    values, weights = _values(polynomial, counts, errors), counts.counts / counts.shots
    mean = float(weights @ values)
    squares = float(counts.counts @ (values - mean) ** 2)
    max_z = np.abs(errors.z_values).max(axis=1)
    sizes = np.abs(polynomial.coefficients) * np.where(polynomial.masks, max_z, 1.0).prod(axis=1)
    max_abs_energy = float(sizes.sum())
    rounding = Rounding()
    if counts.exact:
        rounding = Rounding.of(values, counts, max_abs_energy, float(np.linalg.norm(sizes)))
    derivatives = _readout_derivatives(polynomial, counts, errors)
    return GroupStatistics(counts.shots, offset + mean, squares, 0.0, counts.exact, rounding, derivatives)


def _values(polynomial: _ZPolynomial, counts: Counts, errors: ReadoutErrors) -> NDArray[np.float64]:
    """Return the polynomial's value in each distinct outcome: (k,)."""
    return _terms(polynomial, counts, errors) @ polynomial.coefficients


def _terms(polynomial: _ZPolynomial, counts: Counts, errors: ReadoutErrors) -> NDArray[np.float64]:
    """Return the value of each term in each distinct outcome, without its coefficient: (k, terms)."""
    bits, z_values = counts.bits, errors.z_values
    terms = np.ones((len(bits), len(polynomial.masks)))
    for qubit in range(counts.num_bits):
        with_qubit = polynomial.masks[:, qubit]
        terms[:, with_qubit] *= z_values[qubit, bits[:, qubit]][:, None]
    return terms


def _readout_derivatives(polynomial: _ZPolynomial, counts: Counts, errors: ReadoutErrors) -> tuple[float, ...]:
    """Return the derivatives of the mean by p(1|0) of each qubit, then by p(0|1) of each qubit."""
    bits, weights = counts.bits, counts.counts / counts.shots
    terms = _terms(polynomial, counts, errors) * polynomial.coefficients
    by_qubit = terms @ polynomial.masks  # (k, qubits): sum of the terms that have the qubit as a factor
    relative = errors.z_derivatives / errors.z_values  # (2, qubits, 2): replaces a factor by its derivative
    qubits = np.arange(counts.num_bits)
    return tuple(float(weights @ (by_qubit * kind[qubits, bits])[:, q]) for kind in relative for q in qubits)


def _polynomial(terms: dict[int, float], num_bits: int) -> _ZPolynomial:
    masks = np.array([[mask >> qubit & 1 for qubit in range(num_bits)] for mask in terms], dtype=bool)
    return _ZPolynomial(masks.reshape(len(terms), num_bits), np.array(list(terms.values())))
