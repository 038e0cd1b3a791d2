"""SessionEstimator: Qiskit's `BaseEstimatorV2` over a session, for algorithms of other libraries."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.primitives import BaseEstimatorV2, DataBin, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub, EstimatorPubLike
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.circuits.diagonalization import Diagonalization
from hybridloop.algorithms.circuits.orbital_rotation import OrbitalRotation
from hybridloop.algorithms.circuits.pair_rotation import PairRotation
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.estimation.final import PRECISION_MARGIN, neyman_allocation
from hybridloop.algorithms.estimation.joint import JointMeasurement, group_jointly
from hybridloop.algorithms.estimation.observable import MeasurementGroup
from hybridloop.algorithms.rounds import Counts, FailedPoint, MeasuredPub, whole_jobs
from hybridloop.azure.targets import Target
from hybridloop.budget.prices import priced_job_shots
from hybridloop.errors import InputError, InvalidValue
from hybridloop.tasks.primitives.sampler import RoundJob, check_call, incomplete
from hybridloop.tasks.primitives.unknown_options import check_attribute, with_answers
from hybridloop.tasks.replay.same_round import SAME_UNTOLD_RAD
from hybridloop.tasks.submission.jobs import NOT_SENT
from hybridloop.tasks.submission.results import merge_counts
from hybridloop.tasks.submission.rounds import Rounds

MORE_ROUNDS = 3  # variances of the first one are as uncertain as its shots are few
MIN_SHARE = 0.1  # of the variance of an unknown state: a group's last variance may have been low by chance


@dataclass(slots=True)
class _Observables:
    """Observables measured together, with the one-shot variances for the shot allocation of the next round."""

    joint: JointMeasurement
    shot_variances: list[list[float]]

    def update(self, by_point: Sequence[Sequence[Estimate]]) -> None:
        """Set the variances to the mean over the points of the last round."""
        self.shot_variances = [
            [max(fmean(values), MIN_SHARE * expected) for *values, expected in zip(*measured, unknown, strict=True)]
            for measured, unknown in zip(
                zip(*([estimate.shot_variances for estimate in point] for point in by_point), strict=True),
                self.joint.expected_variances(),
                strict=True,
            )
        ]


class _Circuit(NamedTuple):
    """Identity of a measured circuit with its angles; PUBs with an equal one share its counts."""

    circuit: int  # its id(): PUBs hold their circuits as long as the round lasts
    basis: str
    diagonalization: Diagonalization | OrbitalRotation | PairRotation | None
    angles: bytes


@dataclass(frozen=True, slots=True, eq=False)
class _Share:
    """The part of a PUB that is measured together: the same observables at each of its points.

    `cells` has, for each point, the index of each observable in the PUB's flat result; `points` are the angles (k, n);
    `shots` are those of each group, `precision` the standard error that was asked for.
    """

    observables: _Observables
    circuit: QuantumCircuit
    points: NDArray[np.float64]
    cells: tuple[tuple[int, ...], ...]
    shots: tuple[int, ...]
    precision: float

    def with_missing(self, known: Mapping[_Circuit, Counts]) -> _Share:
        """Return the share with the shots of each group that the precision lacks, at the point that lacks the most."""
        joint = self.observables.joint
        missing = [0] * len(joint.groups)
        for point in range(len(self.points)):
            counts = [known[circuit] for circuit in self.circuits(point)]
            for estimate, indices in zip(joint.estimates(counts), joint.group_indices, strict=True):
                if estimate.is_exact or estimate.standard_error <= self.precision:
                    continue
                taken = [counts[index].shots for index in indices]
                wanted = (PRECISION_MARGIN * self.precision) ** 2
                further = neyman_allocation(estimate.shot_variances, taken, wanted)
                for index, shots in zip(indices, further, strict=True):
                    missing[index] = max(missing[index], shots)
        return replace(self, shots=tuple(missing))

    def circuits(self, point: int) -> list[_Circuit]:
        """Return the measured circuit of each group at a point."""
        angles, groups = self.points[point].tobytes(), self.observables.joint.groups
        return [_Circuit(id(self.circuit), group.basis, group.diagonalization, angles) for group in groups]


@dataclass(slots=True)
class _RoundPlan:
    """The circuits of a round, each with its angles once, with the largest number of shots that a share needs."""

    pubs: list[SamplerPub]
    index: dict[_Circuit, tuple[int, int]]  # of the counts: PUB, and point in it

    @classmethod
    def of(cls, shares: Iterable[_Share], target: Target) -> _RoundPlan:
        """Merge the circuits that get shots, of all shares; few of them do not take one more job of a price."""
        job_shots = priced_job_shots(target)
        needed: dict[_Circuit, tuple[_Share, MeasurementGroup, int, int]] = {}
        for share in shares:
            groups = share.observables.joint.groups
            for point in range(len(share.points)):
                for circuit, group, shots in zip(share.circuits(point), groups, share.shots, strict=True):
                    if not shots:
                        continue
                    fitting = whole_jobs(shots, job_shots)
                    most = max(fitting, needed[circuit][3]) if circuit in needed else fitting
                    needed[circuit] = (share, group, point, most)
        # one PUB for the points of each circuit, basis and number of shots
        by_pub: dict[
            tuple[tuple[int, str, Diagonalization | OrbitalRotation | PairRotation | None], int], list[_Circuit]
        ] = {}
        for circuit, (*_, shots) in needed.items():
            by_pub.setdefault((circuit[:3], shots), []).append(circuit)
        pubs, index = [], dict[_Circuit, tuple[int, int]]()
        for number, ((_, shots), circuits) in enumerate(by_pub.items()):
            share, group, *_ = needed[circuits[0]]
            points = np.array([needed[circuit][0].points[needed[circuit][2]] for circuit in circuits])
            pubs.append(SamplerPub.coerce((group.measurement_circuit(share.circuit), points, shots)))
            index.update({circuit: (number, row) for row, circuit in enumerate(circuits)})
        return cls(pubs, index)

    def add_to(self, known: dict[_Circuit, Counts], measured: Sequence[MeasuredPub]) -> None:
        """Add the counts of the round to those that are known of each circuit. Raises JobFailed for a failed point."""
        for circuit, (pub, point) in self.index.items():
            counts = measured[pub][point]
            if isinstance(counts, FailedPoint):
                raise incomplete(counts.reason)
            known[circuit] = merge_counts([known[circuit], counts]) if circuit in known else counts


class SessionEstimator(BaseEstimatorV2):  # type: ignore[misc]  # Qiskit has no types
    """An estimator with a round of a session for each `run`, for any number of PUBs, points and observables.

    Observables at the same point share circuits, grouped qubit-wise as in hybridloop's own algorithms; a circuit that
    several PUBs need with the same angles is measured once, with the largest of their shots. Shots are allocated to the
    groups by Neyman's formula for the PUB's precision, with the variances of the same observables in the estimator's
    last round, at first with those of an unknown state. `stds` are the standard errors reached. Where one is above the
    precision, `result()` measures the shots that are missing in a further round, `MORE_ROUNDS` times at most. A target
    that does not sample measures the most shots of a job once, and `stds` are half of its rounding bound. A job without
    counts raises in `result()`.
    """

    def __init__(self, rounds: Rounds, *, precision: float, stream: str) -> None:
        self._rounds = rounds
        self._precision = _check_precision(precision)
        self._stream = stream
        self._observables: dict[tuple[Any, ...], _Observables] = {}

    def __getattr__(self, name: str) -> Any:
        check_attribute("estimator", name)
        return super().__getattribute__(name)  # raises AttributeError

    def __setattr__(self, name: str, value: object) -> None:
        check_attribute("estimator", name)
        super().__setattr__(name, value)

    @with_answers("estimator", NOT_SENT)
    def run(self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None) -> RoundJob:
        """Start a round of PUBs; `precision` is for those that state none (default: the estimator's)."""
        default = self._precision if precision is None else _check_precision(precision)
        coerced = [EstimatorPub.coerce(pub, default) for pub in pubs]
        shares = [self._shares(pub) for pub in coerced]
        plan = _RoundPlan.of((share for of_pub in shares for share in of_pub), self._rounds.target)
        check_call(self._rounds, plan.pubs)
        round_ = self._rounds.start(plan.pubs, stream=self._stream, same_rad=SAME_UNTOLD_RAD)

        def read(measured: Sequence[MeasuredPub]) -> list[PubResult]:
            known = dict[_Circuit, Counts]()
            plan.add_to(known, measured)
            for _ in range(MORE_ROUNDS):
                missing = [share.with_missing(known) for of_pub in shares for share in of_pub]
                more = _RoundPlan.of(missing, self._rounds.target)
                if not more.pubs:
                    break
                further = self._rounds.start(more.pubs, stream=self._stream, same_rad=SAME_UNTOLD_RAD)
                more.add_to(known, self._rounds.collect(further))
            return [_pub_result(*args, known) for args in zip(coerced, shares, strict=True)]

        return RoundJob(self._rounds, round_, read)

    def _shares(self, pub: EstimatorPub) -> list[_Share]:
        """Split the PUB into points that need the same observables."""
        if pub.circuit.num_clbits:
            problem = f"{pub.circuit.name} has {pub.circuit.num_clbits} classical bit(s)"
            raise InputError("circuit", problem, "Leave measuring to the estimator: give one without classical bits.")
        precision = _check_precision(pub.precision)
        terms = np.asarray(pub.observables.sparse_observables_array(), dtype=object).ravel()
        operators = [SparsePauliOp.from_sparse_observable(term) for term in terms]
        values, names = pub.parameter_values, list(pub.circuit.parameters)
        angles = values.as_array(names).reshape(values.size, len(names))
        shares = []
        for indices, by_point in _points_by_observables(pub).items():
            observables = self._grouped([operators[index] for index in indices])
            variances = [[each / PRECISION_MARGIN**2 for each in of] for of in observables.shot_variances]
            shots = observables.joint.shots(variances, precision)
            if not self._rounds.target.samples:
                shots = [self._rounds.target.max_shots] * len(shots)
            cells = tuple(map(tuple, by_point.values()))
            shares.append(_Share(observables, pub.circuit, angles[list(by_point)], cells, tuple(shots), precision))
        return shares

    def _grouped(self, operators: Sequence[SparsePauliOp]) -> _Observables:
        key = tuple((tuple(operator.paulis.to_labels()), operator.coeffs.tobytes()) for operator in operators)
        if key not in self._observables:
            joint = group_jointly(operators)
            self._observables[key] = _Observables(joint, joint.expected_variances())
        return self._observables[key]


def _check_precision(precision: float) -> float:
    if not 0 < precision < math.inf:
        raise InvalidValue("precision", f"must be a positive number in the observable's unit, got {precision}")
    return precision


def _points_by_observables(pub: EstimatorPub) -> dict[tuple[int, ...], dict[int, list[int]]]:
    """Return observables → point → index of each observable in the flat result, for observables at the same points."""
    observables = np.arange(pub.observables.size).reshape(pub.observables.shape)
    points = np.arange(pub.parameter_values.size).reshape(pub.parameter_values.shape)
    pairs = zip(*(array.ravel().tolist() for array in np.broadcast_arrays(points, observables)), strict=True)
    by_point: dict[int, dict[int, int]] = {}  # broadcasting gives each pair once
    for cell, (point, observable) in enumerate(pairs):
        by_point.setdefault(point, {})[observable] = cell
    result: dict[tuple[int, ...], dict[int, list[int]]] = {}
    for point, cells in by_point.items():
        result.setdefault(tuple(sorted(cells)), {})[point] = [cells[observable] for observable in sorted(cells)]
    return result


def _pub_result(pub: EstimatorPub, shares: Sequence[_Share], known: Mapping[_Circuit, Counts]) -> PubResult:
    values, errors = np.zeros(math.prod(pub.shape)), np.zeros(math.prod(pub.shape))
    circuits: set[_Circuit] = set()
    for share in shares:
        joint = share.observables.joint
        by_point = []
        for point, cells in enumerate(share.cells):
            groups = share.circuits(point)
            circuits.update(groups)
            estimates = joint.estimates([known[circuit] for circuit in groups])
            by_point.append(estimates)
            for cell, estimate in zip(cells, estimates, strict=True):
                values[cell] = estimate.value
                errors[cell] = 0.5 * estimate.rounding_bound if estimate.is_exact else estimate.standard_error
        share.observables.update(by_point)
    data = DataBin(evs=values.reshape(pub.shape), stds=errors.reshape(pub.shape), shape=pub.shape)
    metadata = {
        "target_precision": pub.precision,
        "circuits": len(circuits),
        "shots": sum(known[circuit].shots for circuit in circuits),
        "circuit_metadata": pub.circuit.metadata,
    }
    return PubResult(data, metadata=metadata)
