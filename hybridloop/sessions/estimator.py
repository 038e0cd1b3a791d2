"""Qiskit's estimator interface over a session, for algorithms that are not ours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
from qiskit.primitives import BaseEstimatorV2, DataBin, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub, EstimatorPubLike
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.estimation import Estimate
from hybridloop.algorithms.joint import JointMeasurement, jointly
from hybridloop.algorithms.rounds import Counts, Lost, Measured
from hybridloop.errors import InputError
from hybridloop.sessions.replay import SAME_UNTOLD_RAD
from hybridloop.sessions.sampler import RoundJob, incomplete

if TYPE_CHECKING:
    from hybridloop.sessions.session import OpenSession

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


@dataclass(frozen=True, slots=True, eq=False)
class _Share:
    """The part of a PUB that is measured together: all these observables at each of its points.

    `cells` has, for each point, each observable's place in the PUB's flat result; `asked`, a PUB for each group.
    """

    known: _Known
    cells: tuple[tuple[int, ...], ...]
    asked: tuple[SamplerPub, ...]


class SessionEstimator(BaseEstimatorV2):  # type: ignore[misc]  # Qiskit has no types
    """An estimator whose every `run` is one round of a session, however many PUBs, points and observables it has.

    Observables at the same point share circuits, grouped as hybridloop's own algorithms group them. Shots go to the
    groups by Neyman's shares for the PUB's precision: by the variances that the same observables had in the estimator's
    last round of them, in the first by what is to be expected of an unknown state. It is a target; `stds` say what was
    reached. On a target that does not sample they are the bound of its rounding. A job that is lost for good raises in
    `result()`.
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
        asked = [pub for of_pub in shares for share in of_pub for pub in share.asked]
        round_ = self._session.start_round(asked, stream=self._stream, same_rad=SAME_UNTOLD_RAD)

        def read(measured: Sequence[Measured]) -> list[PubResult]:
            rest = iter(measured)
            return [_pub_result(pub, of_pub, rest) for pub, of_pub in zip(coerced, shares, strict=True)]

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
            asked = tuple(
                SamplerPub.coerce((group.measured(pub.circuit), angles[list(by_point)], each))
                for group, each in zip(known.joint.groups, shots, strict=True)
            )
            found.append(_Share(known, tuple(map(tuple, by_point.values())), asked))
        return found

    def _recalled(self, operators: Sequence[SparsePauliOp]) -> _Known:
        key = tuple((tuple(each.paulis.to_labels()), each.coeffs.tobytes()) for each in operators)
        if key not in self._known:
            joint = jointly(operators)
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


def _pub_result(pub: EstimatorPub, shares: Sequence[_Share], measured: Iterator[Measured]) -> PubResult:
    values, errors = np.zeros(math.prod(pub.shape)), np.zeros(math.prod(pub.shape))
    for share in shares:
        groups = [next(measured) for _ in share.asked]
        by_point = [share.known.joint.estimates(_complete(groups, k)) for k in range(len(share.cells))]
        for cells, estimates in zip(share.cells, by_point, strict=True):
            for cell, estimate in zip(cells, estimates, strict=True):
                values[cell] = estimate.value
                errors[cell] = estimate.rounding_bound if estimate.is_exact else estimate.standard_error
        share.known.learn(by_point)
    data = DataBin(evs=values.reshape(pub.shape), stds=errors.reshape(pub.shape), shape=pub.shape)
    asked = [each for share in shares for each in share.asked]
    metadata = {
        "target_precision": pub.precision,
        "circuits": sum(each.size for each in asked),
        "shots": sum(each.size * each.shots for each in asked),
        "circuit_metadata": pub.circuit.metadata,
    }
    return PubResult(data, metadata=metadata)


def _complete(groups: Sequence[Measured], point: int) -> list[Counts]:
    found = []
    for group in groups:
        counts = group[point]
        if isinstance(counts, Lost):
            raise incomplete(counts.reason)
        found.append(counts)
    return found
