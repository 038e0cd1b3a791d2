"""Shots for a precision from the variances that a simulation foresees, where a circuit is small.

The standard error that a call reports has two parts: the scatter of the shots, and one shot of an outcome that was not
seen, where the scatter does not hide it (`Estimate`). A simulation gives both for each number of shots, and how far the
variance of so many shots may be above its expected value.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, Delay, Gate
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import Statevector
from scipy.stats import norm

from hybridloop.algorithms.estimation.estimates import HIDDEN, RARE_SHOTS95
from hybridloop.algorithms.estimation.final import neyman_allocation
from hybridloop.algorithms.estimation.joint import JointMeasurement
from hybridloop.tasks.submission.batches import MAX_ROWS

MAX_QUBITS = 12
MAX_S = 2.0  # of one call's simulations, on one slow core
GATE_S, AMPLITUDE_S = 60e-6, 25e-9  # of a gate, and of each amplitude that it changes
DIGITS = 6  # of a foreseen variance: the last bits of a simulation differ between processors
RISK = 0.05  # that a call lacks shots although its circuits behave as they were simulated
EVENED = 150  # measured circuits: of more, whole rows in one job would add above a sixth of the shots
SHARES = (0.15, 0.3, 0.45, 0.6, 0.75, 0.95)  # of the precision that one shot of an unseen outcome may take


class Moments(NamedTuple):
    """Of one shot's value of a group: the variance, the fourth central moment, and the reach of `MeasurementGroup`."""

    variance: float
    fourth: float
    reach: float


@dataclass(frozen=True, slots=True)
class Foreseen:
    """For each point, observable and group of it, the moments of one shot."""

    moments: tuple[tuple[tuple[Moments, ...], ...], ...]

    @property
    def reach(self) -> float:
        """The largest reach of a shot: over the precision, it is a bound of the shots from below."""
        return max((each.reach for point in self.moments for groups in point for each in groups), default=0.0)

    def shots(
        self, joint: JointMeasurement, precision: float, cells: int, excess: Sequence[Sequence[float]]
    ) -> list[list[int]]:
        """Return the shots of each group at each point, so that `cells` values of a call likely reach the precision.

        `excess` is what the machine adds to the variance of each observable's groups.
        """
        deviations = float(norm.isf(RISK / max(1, cells)))
        allocated = []
        for point in self.moments:
            shots = [1] * len(joint.groups)
            for moments, indices, more in zip(point, joint.group_indices, excess, strict=True):
                raised = [each._replace(variance=each.variance + add) for each, add in zip(moments, more, strict=True)]
                for index, needed in zip(indices, least_shots(raised, precision, deviations), strict=True):
                    shots[index] = max(shots[index], needed)
            allocated.append(shots)
        return allocated

    def excess(
        self,
        measured: Sequence[Sequence[Sequence[float]]],
        shots: Sequence[Sequence[int]],
        joint: JointMeasurement,
    ) -> list[list[float]]:
        """Return by how much a round's variances (points, observables, groups) are above those that were foreseen.

        It is the mean over the points, 0 where that is within two standard deviations of none. `shots` are those of
        each group at each point.
        """
        added = []
        for place, indices in enumerate(joint.group_indices):
            of_groups = []
            for which, index in enumerate(indices):
                column = [point[place][which] for point in self.moments]
                taken = [of_point[index] for of_point in shots]
                # an estimate counts one shot at the largest deviation
                expected = [each.variance + each.reach**2 / n for each, n in zip(column, taken, strict=True)]
                spread = sum(
                    max(0.0, each.fourth - each.variance**2) / n for each, n in zip(column, taken, strict=True)
                )
                mean = fmean(m[place][which] - e for m, e in zip(measured, expected, strict=True))
                of_groups.append(mean if mean > 2.0 * math.sqrt(spread) / len(column) else 0.0)
            added.append(of_groups)
        return added


def evened(shots: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """Round shots (points, groups) up, so that the rows of a job, which have as many shots each, are few enough."""
    flat = [each for of_point in shots for each in of_point]
    if not 0 < len(flat) <= EVENED:
        return tuple(map(tuple, shots))

    def rows(unit: int) -> int:
        return sum(-(-each // unit) for each in flat)

    unit = 1 + bisect.bisect_left(range(1, max(flat)), -MAX_ROWS, key=lambda unit: -rows(unit))
    return tuple(tuple(-(-each // unit) * unit for each in of_point) for of_point in shots)


def simulation_s(circuit: QuantumCircuit, points: int, joint: JointMeasurement) -> float:
    """Return about how long the simulation of the groups' circuits takes at so many points; inf for large circuits."""
    size = int(circuit.num_qubits)
    if size > MAX_QUBITS:
        return math.inf
    steps = len(circuit.data) + len(joint.groups) * 2 * size
    values = sum(map(len, joint.group_indices)) * (size + points)  # passes through the outcomes
    of_outcomes = AMPLITUDE_S * (1 << size)
    return points * steps * (GATE_S + of_outcomes) + values * of_outcomes


def foresee(
    circuit: QuantumCircuit, points: NDArray[np.float64], joint: JointMeasurement, sound: float = 1.0
) -> Foreseen | None:
    """Simulate the groups' circuits at points (k, n); None where a step is no gate.

    `sound` is the chance that a shot has no fault; one with a fault has the mixed state.
    """
    size = circuit.num_qubits
    if not all(isinstance(item.operation, Gate | Barrier | Delay) for item in circuit.data):
        return None
    values = [[group.values(size) for group in part.groups] for part in joint.observables]
    try:
        pure = [_probabilities(circuit, point, joint) for point in points]
    except QiskitError:  # of a gate without a matrix
        return None
    found = [[sound * each + (1.0 - sound) / 2**size for each in of_groups] for of_groups in pure]
    return Foreseen(
        tuple(
            tuple(
                tuple(_moments(probabilities[index], of) for index, of in zip(indices, of_groups, strict=True))
                for indices, of_groups in zip(joint.group_indices, values, strict=True)
            )
            for probabilities in found
        )
    )


def least_shots(moments: Sequence[Moments], precision: float, deviations: float) -> list[int]:
    """Return the fewest shots of each group whose standard error is at most the precision.

    The variance that so many shots show may be above the expected one by so many of its standard deviations.

    >>> least_shots([Moments(1.0, 1.0, 1.0)], 0.1, 2.0)  # a balanced bit, whose shots hide what is unseen
    [100]
    >>> least_shots([Moments(0.0, 0.0, 1.0)], 0.1, 2.0)  # no scatter, which leaves the bound alone
    [11]
    """
    hidden = [math.ceil(1.1 * RARE_SHOTS95 / HIDDEN * each.reach / precision) for each in moments]
    choices = [_allocate(moments, precision**2, hidden, deviations)] + [
        _allocate(
            moments,
            (1.0 - share**2) * precision**2,
            [math.ceil(each.reach / (share * precision)) for each in moments],
            deviations,
        )
        for share in SHARES
    ]
    return min(choices, key=sum)


def _allocate(moments: Sequence[Moments], variance: float, floors: Sequence[int], deviations: float) -> list[int]:
    """Return the shots of each group, at least its floor, whose sampled variance is likely at most this one."""
    variances, wanted, shots = [each.variance for each in moments], variance, list(floors)
    for _ in range(4):  # the margin falls as the shots rise
        more = neyman_allocation(variances, floors, wanted)
        shots = [floor + further for floor, further in zip(floors, more, strict=True)]
        expected = math.fsum(each.variance / taken for each, taken in zip(moments, shots, strict=True))
        spread = math.fsum(
            max(0.0, each.fourth - each.variance**2) / taken**3 for each, taken in zip(moments, shots, strict=True)
        )
        if expected + deviations * math.sqrt(spread) <= variance:
            break
        wanted = variance / (1.0 + deviations * math.sqrt(spread) / expected)
    return shots


def _probabilities(
    circuit: QuantumCircuit, point: NDArray[np.float64], joint: JointMeasurement
) -> list[NDArray[np.float64]]:
    """Return the probabilities of the outcomes (2**n,) of each group's circuit."""
    state, found = Statevector(circuit.assign_parameters(point)), []
    for group in joint.groups:
        measured = group.add_measurement(group.add_diagonalization(QuantumCircuit(circuit.num_qubits)))
        measured.remove_final_measurements()
        found.append(state.evolve(measured).probabilities())
    return found


def _moments(probabilities: NDArray[np.float64], values: NDArray[np.float64]) -> Moments:
    mean = float(probabilities @ values)
    squares = (values - mean) ** 2
    reach = max(float(values.max()) - mean, mean - float(values.min()))
    return Moments(*map(_rounded, (float(probabilities @ squares), float(probabilities @ squares**2), reach)))


def _rounded(number: float) -> float:
    return float(f"{max(0.0, number):.{DIGITS - 1}e}") if number > 1e-12 else 0.0
