"""Expectation values with error bars, from the counts of measured groups.

An `Evaluation` measures an observable on an ansatz: one call measures all points in one round.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.estimation.drift import pooled_results
from hybridloop.algorithms.estimation.observable import MeasurementGroup, Observable
from hybridloop.algorithms.estimation.rounding import Rounding
from hybridloop.algorithms.estimation.symmetry import Symmetry, all_hold, shown_by
from hybridloop.algorithms.rounds import Counts, FailedPoint, MeasuredPub, RunRound, UnusablePoint, left_of
from hybridloop.errors import InputError

MIN_KEPT_FRACTION = 0.01  # of the shots in the sector: fewer give no usable estimate
Z95 = 1.959963984540054  # the normal distribution's 97.5th percentile
RARE_SHOTS95 = 3.0  # of an outcome that was not seen, at most (95 %): −ln 0.05
HIDDEN = 0.5  # standard errors: a bound below it leaves 92 % to an interval without it in the worst case


@dataclass(frozen=True, slots=True)
class Extrapolation:
    """Figures of a zero-noise extrapolation to a value, in the operator's unit.

    `spread` bounds the model's error by the difference between two models. `raw` is the value at the first scale
    factor, and `amplified` what the last factor added to it; both have a standard error. `signal` is the part of what
    decays with the noise, the value above the mixed state's, that is left at the first factor: 0 where nothing is seen.
    `gates_by_scale` are the gates on two qubits in the circuits, on average for each factor. `lost` is what the last
    factor took from the share of outcomes with the state's symmetries, with its standard error.
    """

    spread: float
    raw: tuple[float, float]
    amplified: tuple[float, float]
    signal: float
    gates_by_scale: tuple[float, ...]
    lost: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Estimate:
    """An expectation value, in the operator's unit.

    From a target that samples, `is_exact` is false, and `variance` is the variance that is expected of such a value:
    that of the shots seen and `rare_variance`, the part of outcomes that were not. An outcome that was not seen would
    be expected once where its probability is 1 / shots, and is likely not above three times that (95 %; J. Hanley and
    A. Lippman-Hand, JAMA 249 (1983) 1743): `unseen` is how far the value is off if one that may be has the first,
    0 where the shots' scatter hides that. Groups are sampled independently, so the largest counts: that all are unseen
    is as unlikely for outcomes in several groups. From a target that returns its exact distribution, rounded to the
    shots, these are 0 and `rounding_bound` bounds the error with a probability of 95 % (`Rounding`).
    `extrapolation` is None without zero-noise extrapolation. Of the shots, `discarded` were errors that show.
    """

    value: float
    variance: float
    shots: int
    is_exact: bool = False
    rounding_bound: float = 0.0
    shot_variances: tuple[float, ...] = ()  # variance of one shot, for each measured group
    extrapolation: Extrapolation | None = None
    discarded: int = 0
    rare_variance: float = 0.0
    unseen: float = 0.0

    @property
    def sampled_error(self) -> float:
        """The standard error of the shots seen: 0 where they all agree."""
        return math.sqrt(max(0.0, self.variance - self.rare_variance))

    @property
    def standard_error(self) -> float:
        """The error as one number: that of the shots seen, and one shot of the outcomes that were not seen."""
        return math.hypot(self.sampled_error, self.unseen)

    @property
    def unseen_bound(self) -> float:
        """The bound (95 %) of the error by outcomes that were not seen."""
        return RARE_SHOTS95 * self.unseen

    @property
    def expected_error(self) -> float:
        """The root of `variance`, by which searches and shots are planned."""
        return math.sqrt(self.variance)

    @property
    def systematic_error(self) -> float:
        """The error that more shots do not reduce: the rounding bound, and the spread of an extrapolation."""
        return self.rounding_bound + (0.0 if self.extrapolation is None else self.extrapolation.spread)


@dataclass(frozen=True, slots=True)
class GroupStatistics:
    """Statistics of one group's energy over `shots` shots: mean and sum of squared deviations.

    Of the shots `discarded` were errors (`valid_statistics`), and are in neither. `reach` is what a shot's energy
    may be off the mean, `fault_deviation` that of `MeasurementGroup`. `rounding` is that of an exact distribution.
    `readout_derivatives` are the derivatives of the mean by the readout error rates that correct it; empty without such
    a correction. `in_sector` is the share of shots with the state's symmetries, corrected too, and `sector_squares` the
    sum of its squared deviations. `rates` are the shares of misread qubits (qubits,) in a circuit that measures these
    rates, which has no energy; else empty.
    """

    shots: int
    mean: float
    squared_deviations: float
    reach: float
    is_exact: bool = False
    rounding: Rounding = field(default_factory=Rounding)
    readout_derivatives: tuple[float, ...] = ()
    discarded: int = 0
    fault_deviation: float = 0.0
    rates: tuple[float, ...] = ()
    in_sector: float = 1.0
    sector_squares: float = 0.0

    @property
    def kept(self) -> int:
        """The shots that the mean is over."""
        return self.shots - self.discarded

    @property
    def rounding_bound(self) -> float:
        """The bound of the mean's error by rounding."""
        return self.rounding.bound

    @property
    def largest_deviation(self) -> float:
        """The deviation that one shot of outcomes that were not seen is taken to have."""
        return max(self.reach, self.fault_deviation)

    @property
    def shot_variance(self) -> float:
        """The expected variance of one shot's energy, with one fictitious shot at the largest possible deviation.

        The fictitious shot, of weight 1 / shots, keeps a group whose few shots all agree from having no variance. A
        share of discarded shots raises it, so that divided by all shots it is the variance of the mean.
        """
        return (self.squared_deviations + self.largest_deviation**2) / self.kept * (self.shots / self.kept)

    @property
    def variance(self) -> float:
        """The expected variance of the mean; it includes the covariances between the group's terms."""
        return 0.0 if self.is_exact else self.shot_variance / self.shots

    @property
    def sampled_variance(self) -> float:
        """The part of `variance` of the shots seen."""
        return 0.0 if self.is_exact else self.squared_deviations / self.kept**2

    @property
    def fault_variance(self) -> float:
        """The variance of the mean by the faults that are expected."""
        return 0.0 if self.is_exact else (self.fault_deviation / self.kept) ** 2

    @property
    def unseen(self) -> float:
        """The amount by which the mean is off if an outcome that was not seen has a probability of 1 / shots."""
        return 0.0 if self.is_exact else self.reach / self.kept

    def merge(self, other: GroupStatistics) -> GroupStatistics:
        """Merge the statistics of two sets of shots (Chan, Golub and LeVeque, Am. Stat. 37 (1983) 242).

        If one is exact, the exact one with the smaller rounding bound is returned alone.
        """
        if self.is_exact or other.is_exact:
            return min(self, other, key=lambda statistics: (not statistics.is_exact, statistics.rounding_bound))
        shots, kept = self.shots + other.shots, self.kept + other.kept
        shift = other.mean - self.mean
        mean = self.mean + shift * other.kept / kept
        squares = self.squared_deviations + other.squared_deviations + shift**2 * self.kept * other.kept / kept
        derivatives, rates = (
            tuple((a * self.shots + b * other.shots) / shots for a, b in zip(*both, strict=True))
            for both in ((self.readout_derivatives, other.readout_derivatives), (self.rates, other.rates))
        )
        return GroupStatistics(
            shots,
            mean,
            squares,
            (self.reach * self.kept + other.reach * other.kept) / kept,  # it is a convex function of the mean
            readout_derivatives=derivatives,
            discarded=self.discarded + other.discarded,
            fault_deviation=max(self.fault_deviation, other.fault_deviation),
            rates=rates,
            in_sector=(self.in_sector * self.shots + other.in_sector * other.shots) / shots,
            sector_squares=self.sector_squares + other.sector_squares,
        )


def group_statistics(group: MeasurementGroup, counts: Counts) -> GroupStatistics:
    """Compute the statistics of a group's energy from the counts of its circuit."""
    energies = shot_energies(group, counts)
    shots = counts.shots
    mean = float(counts.counts @ energies) / shots
    squares = float(counts.counts @ (energies - mean) ** 2)
    rounding = Rounding()
    if counts.exact:
        rounding = Rounding.of(energies, counts, group.max_abs_energy, float(np.linalg.norm(group.coefficients)))
    reach = group.reach(mean, counts.num_bits)
    return GroupStatistics(shots, mean, squares, reach, counts.exact, rounding, fault_deviation=group.fault_deviation)


def valid_statistics(
    group: MeasurementGroup, counts: Counts, symmetries: tuple[Symmetry, ...] = ()
) -> GroupStatistics | UnusablePoint:
    """Compute the same without outcomes that show an error; there are none if too few are left.

    They have another number of ones than the group's, or where that is not known not the state's symmetries.
    """
    shown = () if group.ones is not None else shown_by(group, symmetries, counts.num_bits)
    if group.ones is None and not shown:
        return group_statistics(group, counts)
    ones = np.bitwise_count(counts.outcomes).sum(axis=1)
    is_valid = all_hold(shown, counts.bits) if group.ones is None else ones == group.ones
    valid = replace(counts, outcomes=counts.outcomes[is_valid], counts=counts.counts[is_valid])
    if valid.shots < max(1.0, MIN_KEPT_FRACTION * counts.shots):
        return UnusablePoint(f"only {valid.shots} of {counts.shots} shots have the state's symmetries")
    share = valid.shots / counts.shots
    made = replace(
        group_statistics(group, valid),
        shots=counts.shots,
        discarded=counts.shots - valid.shots,
        in_sector=share,
        sector_squares=valid.shots * (1.0 - share),
    )
    if not counts.exact or group.ones is None:
        return made
    possible = math.comb(counts.num_bits, group.ones)
    return replace(made, rounding=Rounding.of_rare_outcomes(possible, group.energy_range, valid.shots))


def shot_energies(group: MeasurementGroup, counts: Counts) -> NDArray[np.float64]:
    """Return the energy of each distinct outcome, (k,): Σ_t c_t (−1)^|outcome & mask_t|, without the constant."""
    outcomes, masks = _to_words(counts.outcomes), _mask_words(group.masks, counts.num_bits)
    parity = np.zeros((len(outcomes), len(masks)), np.uint8)
    for word in range(outcomes.shape[1]):
        parity ^= np.bitwise_count(outcomes[:, word, None] & masks[None, :, word])
    parity &= 1
    energies: NDArray[np.float64] = group.coefficients.sum() - 2.0 * (parity @ group.coefficients)
    return energies


def estimate_observable(observable: Observable, counts: Sequence[Counts]) -> Estimate:
    """Estimate an observable from the counts of each of its groups, in order."""
    pairs = zip(observable.groups, counts, strict=True)
    return combine(observable.constant, [group_statistics(*pair) for pair in pairs])


def combine(constant: float, statistics: Sequence[GroupStatistics]) -> Estimate:
    """Combine an observable's constant and the statistics of each of its groups into its estimate."""
    sampled = math.fsum(group.sampled_variance for group in statistics)
    unseen = max((group.unseen for group in statistics), default=0.0)
    rare = max(unseen**2, math.fsum(group.fault_variance for group in statistics))
    return Estimate(
        value=constant + math.fsum(group.mean for group in statistics),
        variance=sampled + rare,
        rare_variance=rare,
        unseen=shown_unseen(unseen, sampled),
        shots=sum(group.shots for group in statistics),
        is_exact=all(group.is_exact for group in statistics),
        rounding_bound=sum((group.rounding for group in statistics), Rounding()).bound,
        shot_variances=tuple(group.shot_variance for group in statistics),
        discarded=sum(group.discarded for group in statistics),
    )


def shown_unseen(unseen: float, variance: float) -> float:
    """Return the error by outcomes that were not seen, 0 where the scatter of those seen hides it."""
    return 0.0 if RARE_SHOTS95 * unseen <= HIDDEN * math.sqrt(max(0.0, variance)) else unseen


@lru_cache(maxsize=256)  # a search measures the same groups in each round
def _mask_words(masks: tuple[int, ...], num_bits: int) -> NDArray[np.unsignedinteger[Any]]:
    width = (num_bits + 7) // 8
    packed = b"".join(mask.to_bytes(width, "big") for mask in masks)
    return _to_words(np.frombuffer(packed, np.uint8).reshape(len(masks), width))


def _to_words(packed: NDArray[np.uint8]) -> NDArray[np.unsignedinteger[Any]]:
    """Convert rows of bytes to rows of words, padded in front; popcounts of short words are up to 4 times faster."""
    size = next((size for size in (1, 2, 4) if packed.shape[1] <= size), 8)
    padding = -packed.shape[1] % size
    padded = np.zeros((len(packed), padding + packed.shape[1]), np.uint8)
    padded[:, padding:] = packed
    return padded.view(f">u{size}").astype(f"u{size}")


POOLED_SHOTS = 100  # weight of the round's mean variance in that of a point


def pooled(column: Sequence[GroupStatistics | FailedPoint]) -> list[GroupStatistics | FailedPoint]:
    """Return a group's statistics at all points of a round, with variances drawn to their mean.

    Few shots make a variance uncertain, and low where the energy is low by chance: weights by it would bias a fit. The
    fictitious shot of `GroupStatistics.shot_variance` counts once for the round, not once for each point.
    """
    known = [each for each in column if isinstance(each, GroupStatistics) and not each.is_exact]
    if not known:
        return list(column)
    largest = max(each.largest_deviation for each in known)
    mean = (math.fsum(each.squared_deviations for each in known) + largest**2) / sum(each.kept for each in known)
    share = [POOLED_SHOTS / (POOLED_SHOTS + each.kept) for each in known]
    drawn = iter(
        replace(
            each,
            squared_deviations=(1.0 - weight) * each.squared_deviations + weight * each.kept * mean,
            reach=0.0,
            fault_deviation=0.0,
        )
        for each, weight in zip(known, share, strict=True)
    )
    return [next(drawn) if isinstance(each, GroupStatistics) and not each.is_exact else each for each in column]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """An observable, the measured circuit of each of its groups, and the `RunRound` that runs them.

    `reduce_counts` turns a group's counts into statistics, or says why they cannot be used. `weigh` turns the
    statistics of all circuits into those of contributions to the value, whose means add up to it. `combine_groups`
    makes the estimate of the constant and the statistics of all circuits. Error mitigation replaces the three.
    `calibration` are circuits that follow those of the groups and have no parameters.
    """

    observable: Observable
    circuits: tuple[QuantumCircuit, ...]
    run_round: RunRound
    reduce_counts: Callable[[MeasurementGroup, Counts], GroupStatistics | UnusablePoint] = valid_statistics
    combine_groups: Callable[[float, Sequence[GroupStatistics]], Estimate] = combine
    weigh: Callable[[Sequence[GroupStatistics]], list[GroupStatistics]] = list
    calibration: tuple[MeasurementGroup, ...] = ()

    def energies(
        self, points: NDArray[np.float64], shots: int | NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], list[Estimate | FailedPoint]]:
        """Measure points (k, n) in one round; return the points as recorded, and their estimates.

        `shots` are those of each group at each point, or (k, groups). In the second form they may be few, so that
        variances are drawn to the mean of the round (`pooled`).
        """
        if isinstance(shots, int):
            pubs = [SamplerPub.coerce((circuit, points, shots)) for circuit in self.circuits]
            results = self.run_round(pubs) if pubs else []
            columns = [self._reduce(index, result) for index, result in enumerate(results)]
            measured = results[0].points if pubs else points
        else:
            measured, columns = self._measure_parts(points, shots)
        return measured, [self._estimate([column[row] for column in columns]) for row in range(len(points))]

    def _measure_parts(
        self, points: NDArray[np.float64], shots: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], list[list[GroupStatistics | FailedPoint]]]:
        """Measure points (k, n) with shots (k, groups), a PUB for each number of shots of a group, in one round."""
        parts = [
            (group, np.flatnonzero(shots[:, group] == number), int(number))
            for group in range(len(self.circuits))
            for number in np.unique(shots[:, group])
        ]
        pubs = [SamplerPub.coerce((self.circuits[group], points[rows], number)) for group, rows, number in parts]
        measured, found = np.array(points, float), dict[tuple[int, int], GroupStatistics | FailedPoint]()
        for (group, rows, _), result in zip(parts, self.run_round(pubs) if pubs else [], strict=True):
            measured[rows] = result.points
            found |= {(group, int(row)): entry for row, entry in zip(rows, self._reduce(group, result), strict=True)}
        columns = [[found[group, row] for row in range(len(points))] for group in range(len(self.circuits))]
        return measured, [pooled(column) for column in columns]

    def group_pubs(self, points: NDArray[np.float64], shots: Sequence[int]) -> list[SamplerPub]:
        """Return the PUB of each circuit that gets shots, for all points (k, n)."""
        pairs = zip(self.circuits, shots, strict=True)
        return [
            SamplerPub.coerce((circuit, points if place < len(self.observable.groups) else None, group_shots))
            for place, (circuit, group_shots) in enumerate(pairs)
            if group_shots > 0
        ]

    def measure_groups(
        self, points: NDArray[np.float64], shots: Sequence[int], others: Sequence[SamplerPub] = ()
    ) -> tuple[list[list[GroupStatistics | FailedPoint]], list[MeasuredPub]]:
        """Measure each group that gets shots, and other PUBs, in one round.

        Return for each group the statistics of all points (k, n), and the other PUBs' results.
        """
        groups = [index for index, group_shots in enumerate(shots) if group_shots > 0]
        pubs = self.group_pubs(points, shots)
        results = self.run_round([*pubs, *others]) if pubs or others else []
        return self._reduce_all(zip(groups, results[: len(pubs)], strict=True)), list(results[len(pubs) :])

    def measured_before(
        self, point: NDArray[np.float64], others: Sequence[SamplerPub]
    ) -> tuple[list[list[GroupStatistics | None]], list[MeasuredPub | None]]:
        """Return what an extended run has of a point (n,): for each earlier stage the statistics of each group.

        The second value are the results of each other PUB, pooled over the stages; None where none has it.
        """
        pubs = self.group_pubs(point[None, :], [1] * len(self.circuits))
        found = left_of(self.run_round, [*pubs, *others])
        reduced = [[row[0] for row in self._reduce_all(enumerate(stage[: len(pubs)]))] for stage in found]
        stages = [[each if isinstance(each, GroupStatistics) else None for each in stage] for stage in reduced]
        beside = [[stage[len(pubs) + place] for stage in found] for place in range(len(others))]
        return [stage for stage in stages if any(stage)], [pooled_results(each) if each else None for each in beside]

    def _reduce_all(self, results: Iterable[tuple[int, MeasuredPub]]) -> list[list[GroupStatistics | FailedPoint]]:
        """Return the statistics of circuits by their indices, in order; a calibration's are made first."""
        return [self._reduce(*pair) for pair in reversed(list(results))][::-1]

    def _reduce(self, index: int, result: MeasuredPub) -> list[GroupStatistics | FailedPoint]:
        group = (*self.observable.groups, *self.calibration)[index]
        return [counts if isinstance(counts, FailedPoint) else self.reduce_counts(group, counts) for counts in result]

    def _estimate(self, column: Sequence[GroupStatistics | FailedPoint]) -> Estimate | FailedPoint:
        statistics: list[GroupStatistics] = []
        for entry in column:
            if isinstance(entry, FailedPoint):
                return entry
            statistics.append(entry)
        return self.combine_groups(self.observable.constant, statistics)


def evaluation(observable: Observable, ansatz: Ansatz, run_round: RunRound) -> Evaluation:
    """Build the evaluation of an observable on an ansatz, with each group's circuit made once for all rounds.

    Raises InputError for an ansatz with another number of qubits, or with classical bits.
    """
    if ansatz.circuit.num_qubits != observable.num_qubits:
        problem = f"its circuit has {ansatz.circuit.num_qubits} qubit(s), the problem has {observable.num_qubits}"
        raise InputError("ansatz", problem, "Build the ansatz for this problem and mapping.")
    if ansatz.circuit.num_clbits:
        problem = f"its circuit has {ansatz.circuit.num_clbits} classical bit(s)"
        remedy = "Give a circuit without classical bits: the algorithm adds the measurements."
        raise InputError("ansatz", problem, remedy)
    circuits = tuple(group.measurement_circuit(ansatz.circuit) for group in observable.groups)
    return Evaluation(observable, circuits, run_round)
