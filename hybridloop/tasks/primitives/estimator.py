"""Qiskit's estimator interface over a session, for algorithms that are not ours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.primitives import BaseEstimatorV2, DataBin, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub, EstimatorPubLike
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.estimation.joint import JointMeasurement, group_jointly
from hybridloop.algorithms.estimation.observable import Diagonalization, MeasurementGroup
from hybridloop.algorithms.rounds import Counts, FailedPoint, MeasuredPub
from hybridloop.errors import InputError
from hybridloop.tasks.primitives.sampler import RoundJob, incomplete
from hybridloop.tasks.submission.replay import SAME_UNTOLD_RAD

if TYPE_CHECKING:
    from hybridloop.tasks.session import OpenSession

LEAST_SHARE = 0.1  # of the variance expected unseen: a group may happen to be quiet where it was last measured


@dataclass(slots=True)
class _Known:
    """Observables that were asked together, and the variances of one shot that the next round is planned with."""

    joint: JointMeasurement
    shot_variances: list[list[float]]

    def learn(self, by_point: Sequence[Sequence[Estimate]]) -> None:
        """Plan with what the last round found: the mean over its points."""
        self.shot_variances = [
            [max(fmean(seen), LEAST_SHARE * expected) for *seen, expected in zip(*measured, unseen, strict=True)]
            for measured, unseen in zip(
                zip(*([each.shot_variances for each in point] for point in by_point), strict=True),
                self.joint.expected_variances(),
                strict=True,
            )
        ]


class _Job(NamedTuple):
    """What makes a circuit with its angles that one: PUBs that ask for it share it."""

    circuit: int  # its id: PUBs hold their circuits as long as the round lasts
    basis: str
    turn: Diagonalization | None
    angles: bytes


@dataclass(frozen=True, slots=True, eq=False)
class _Share:
    """The part of a PUB that is measured together: all these observables at each of its points.

    `cells` has, for each point, each observable's place in the PUB's flat result; `points` their angles (k, n); `shots`
    are those of each group.
    """

    known: _Known
    circuit: QuantumCircuit
    points: NDArray[np.float64]
    cells: tuple[tuple[int, ...], ...]
    shots: tuple[int, ...]

    def jobs(self, point: int) -> list[_Job]:
        """What each group takes at a point."""
        angles = self.points[point].tobytes()
        return [_Job(id(self.circuit), group.basis, group.diagonalization, angles) for group in self.known.joint.groups]


@dataclass(slots=True)
class _Round:
    """All that a round's shares ask for, each circuit with its angles once, with the most shots that one asks."""

    shots: dict[_Job, int]
    pubs: list[SamplerPub]
    place: dict[_Job, tuple[int, int]]  # of a job's counts: the PUB and the point in it

    @classmethod
    def of(cls, shares: Iterable[_Share]) -> _Round:
        asked: dict[_Job, tuple[_Share, MeasurementGroup, int, int]] = {}
        for share in shares:
            for point in range(len(share.points)):
                for job, group, shots in zip(share.jobs(point), share.known.joint.groups, share.shots, strict=True):
                    most = max(shots, asked[job][3]) if job in asked else shots
                    asked[job] = (share, group, point, most)
        by_pub: dict[tuple[tuple[int, str, Diagonalization | None], int], list[_Job]] = {}
        for job, (*_, shots) in asked.items():
            by_pub.setdefault((job[:3], shots), []).append(job)
        pubs, place = [], dict[_Job, tuple[int, int]]()
        for number, ((_, shots), jobs) in enumerate(by_pub.items()):
            share, group, *_ = asked[jobs[0]]
            points = np.array([asked[job][0].points[asked[job][2]] for job in jobs])
            pubs.append(SamplerPub.coerce((group.measurement_circuit(share.circuit), points, shots)))
            place.update({job: (number, at) for at, job in enumerate(jobs)})
        return cls({job: shots for job, (*_, shots) in asked.items()}, pubs, place)


class SessionEstimator(BaseEstimatorV2):  # type: ignore[misc]  # Qiskit has no types
    """An estimator whose every `run` is one round of a session, however many PUBs, points and observables it has.

    Observables at the same point share circuits, grouped qubit by qubit as hybridloop's own algorithms group them; a
    circuit that several PUBs ask for with the same angles is measured once, with the most shots that one asks. Shots
    go to the groups by Neyman's shares for the PUB's precision: by the variances that the same observables had in the
    estimator's last round of them, in the first by what is to be expected of an unknown state. It is a target; `stds`
    say what was reached. On a target that does not sample they are the bound of its rounding. A job that is lost for
    good raises in `result()`.
    """

    def __init__(self, session: OpenSession, *, precision: float, stream: str) -> None:
        self._session = session
        self._precision = _checked(precision)
        self._stream = stream
        self._known: dict[tuple[Any, ...], _Known] = {}

    def run(self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None) -> RoundJob:
        """Start a round of PUBs; `precision` is for those that state none (default: the estimator's)."""
        wanted = self._precision if precision is None else _checked(precision)
        coerced = [EstimatorPub.coerce(pub, wanted) for pub in pubs]
        shares = [self._shares(pub) for pub in coerced]
        asked = _Round.of(share for of_pub in shares for share in of_pub)
        round_ = self._session.start_round(asked.pubs, stream=self._stream, same_rad=SAME_UNTOLD_RAD)

        def read(measured: Sequence[MeasuredPub]) -> list[PubResult]:
            return [_pub_result(pub, of_pub, asked, measured) for pub, of_pub in zip(coerced, shares, strict=True)]

        return RoundJob(self._session, round_, read)

    def _shares(self, pub: EstimatorPub) -> list[_Share]:
        """The PUB by points that are to be measured for the same observables."""
        if pub.circuit.num_clbits:
            problem = f"{pub.circuit.name} has {pub.circuit.num_clbits} classical bit(s)"
            raise InputError("circuit", problem, "Leave measuring to the estimator: give one without classical bits.")
        precision = _checked(pub.precision)
        terms = np.asarray(pub.observables.sparse_observables_array(), dtype=object).ravel()
        observables = [SparsePauliOp.from_sparse_observable(each) for each in terms]
        values, names = pub.parameter_values, list(pub.circuit.parameters)
        angles = values.as_array(names).reshape(values.size, len(names))
        found = []
        for wanted, by_point in _together(pub).items():
            known = self._recalled([observables[each] for each in wanted])
            shots = known.joint.shots(known.shot_variances, precision)
            cells = tuple(map(tuple, by_point.values()))
            found.append(_Share(known, pub.circuit, angles[list(by_point)], cells, tuple(shots)))
        return found

    def _recalled(self, operators: Sequence[SparsePauliOp]) -> _Known:
        key = tuple((tuple(each.paulis.to_labels()), each.coeffs.tobytes()) for each in operators)
        if key not in self._known:
            joint = group_jointly(operators)
            self._known[key] = _Known(joint, joint.expected_variances())
        return self._known[key]


def _checked(precision: float) -> float:
    if not 0 < precision < math.inf:
        problem = f"{precision} is no standard error"
        raise InputError("precision", problem, "Give a positive number, in the observable's unit.")
    return precision


def _together(pub: EstimatorPub) -> dict[tuple[int, ...], dict[int, list[int]]]:
    """Which observables are asked at the same points: observables → point → each one's place in the flat result."""
    observables = np.arange(pub.observables.size).reshape(pub.observables.shape)
    points = np.arange(pub.parameter_values.size).reshape(pub.parameter_values.shape)
    pairs = zip(*(each.ravel().tolist() for each in np.broadcast_arrays(points, observables)), strict=True)
    at: dict[int, dict[int, int]] = {}  # broadcast shapes bring each pair once
    for cell, (point, observable) in enumerate(pairs):
        at.setdefault(point, {})[observable] = cell
    found: dict[tuple[int, ...], dict[int, list[int]]] = {}
    for point, cells in at.items():
        wanted = tuple(sorted(cells))
        found.setdefault(wanted, {})[point] = [cells[each] for each in wanted]
    return found


def _pub_result(
    pub: EstimatorPub, shares: Sequence[_Share], asked: _Round, measured: Sequence[MeasuredPub]
) -> PubResult:
    values, errors = np.zeros(math.prod(pub.shape)), np.zeros(math.prod(pub.shape))
    own: dict[_Job, int] = {}
    for share in shares:
        by_job = [share.jobs(point) for point in range(len(share.cells))]
        by_point = [share.known.joint.estimates([_counts(asked.place[job], measured) for job in of]) for of in by_job]
        for cells, estimates in zip(share.cells, by_point, strict=True):
            for cell, estimate in zip(cells, estimates, strict=True):
                values[cell] = estimate.value
                errors[cell] = estimate.rounding_bound if estimate.is_exact else estimate.standard_error
        share.known.learn(by_point)
        own.update({job: asked.shots[job] for of in by_job for job in of})
    data = DataBin(evs=values.reshape(pub.shape), stds=errors.reshape(pub.shape), shape=pub.shape)
    metadata = {
        "target_precision": pub.precision,
        "circuits": len(own),
        "shots": sum(own.values()),
        "circuit_metadata": pub.circuit.metadata,
    }
    return PubResult(data, metadata=metadata)


def _counts(place: tuple[int, int], measured: Sequence[MeasuredPub]) -> Counts:
    counts = measured[place[0]][place[1]]
    if isinstance(counts, FailedPoint):
        raise incomplete(counts.reason)
    return counts
