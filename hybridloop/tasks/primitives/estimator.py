"""SessionEstimator: Qiskit's `BaseEstimatorV2` over a session, for algorithms of other libraries."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.primitives import BaseEstimatorV2, DataBin, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub, EstimatorPubLike
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.circuits.basis import to_basis, without_idle_bits
from hybridloop.algorithms.circuits.diagonalization import Diagonalization
from hybridloop.algorithms.circuits.orbital_rotation import OrbitalRotation
from hybridloop.algorithms.circuits.pair_rotation import PairRotation
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.estimation.final import PRECISION_MARGIN, neyman_allocation
from hybridloop.algorithms.estimation.joint import JointMeasurement, group_jointly, too_precise
from hybridloop.algorithms.rounds import Counts, FailedPoint, MeasuredPub, merge_counts, whole_jobs
from hybridloop.compiler.gate_counts import GateCounts
from hybridloop.errors import InputError, InvalidValue
from hybridloop.targets.prices import cheap_shots, priced_job_shots
from hybridloop.tasks.primitives.foreseen_variances import MAX_S, Foreseen, evened, foresee, simulation_s
from hybridloop.tasks.primitives.sampler import (
    MAX_CALL_SHOTS,
    RoundJob,
    check_angles,
    check_call,
    incomplete,
    named_by_pub,
)
from hybridloop.tasks.primitives.unknown_options import PrimitiveOptions, check_attribute, with_answers
from hybridloop.tasks.replay.same_round import SAME_UNTOLD_RAD
from hybridloop.tasks.submission.jobs import NOT_SENT
from hybridloop.tasks.submission.rounds import Rounds

MORE_ROUNDS = 3  # variances of the first one are as uncertain as its shots are few
MIN_SHARE = 0.1  # of the variance of an unknown state: a group's last variance may have been low by chance


@dataclass(slots=True)
class _Observables:
    """Observables measured together, with the one-shot variances for the shot allocation of the next round."""

    joint: JointMeasurement
    shot_variances: list[list[float]]
    excess: list[list[float]]  # of the variances of a simulation, by the machine

    def update(
        self,
        by_point: Sequence[Sequence[Estimate]],
        shots: Sequence[Sequence[int]],
        foreseen: Foreseen | None,
        *,
        is_priced: bool,
    ) -> None:
        """Set the variances to the mean over the points of the last round, to the largest where a job has a price.

        With the mean, every other point lacks shots, and takes a further job for them. `shots` are those of each group
        at each point.
        """
        pooled = max if is_priced else fmean
        if foreseen is not None:
            measured = [[estimate.shot_variances for estimate in point] for point in by_point]
            self.excess = foreseen.excess(measured, shots, self.joint)
        self.shot_variances = [
            [max(pooled(values), MIN_SHARE * expected) for *values, expected in zip(*measured, unknown, strict=True)]
            for measured, unknown in zip(
                zip(*([estimate.shot_variances for estimate in point] for point in by_point), strict=True),
                self.joint.expected_variances(),
                strict=True,
            )
        ]


class _CircuitCost(NamedTuple):
    """The shots of a job that add a tenth to its least price, and the chance that a shot has no fault."""

    least_shots: int = 1
    sound: float = 1.0


@dataclass(slots=True)
class _Call:
    """The number of values of a call, and the seconds that are left for its simulations."""

    values: int
    left_s: float = MAX_S

    def takes(self, seconds: float) -> bool:
        """Return whether a simulation has the time, and take it."""
        is_left = seconds <= self.left_s
        self.left_s -= seconds if is_left else 0.0
        return is_left


class _Circuit(NamedTuple):
    """Identity of a measured circuit and its point. Those that are equal share counts.

    `point` is a point's place in the call, or its angles where points with equal ones share counts.
    """

    circuit: int  # its number among the different ones of the call
    basis: str
    diagonalization: Diagonalization | OrbitalRotation | PairRotation | None
    point: tuple[int, int] | bytes


@dataclass(frozen=True, slots=True, eq=False)
class _Share:
    """The part of a PUB that is measured together: the same observables at each of its points.

    `cells` has, for each point, the index of each observable in the PUB's flat result; `points` are the angles (k, n);
    `circuits` are the measured circuits of each point, one for each group, and `shots` those of each in the first
    round. `precision` is the standard error that was asked for. `foreseen` are the variances of a simulation.
    """

    observables: _Observables
    circuit: QuantumCircuit
    points: NDArray[np.float64]
    cells: tuple[tuple[int, ...], ...]
    circuits: tuple[tuple[_Circuit, ...], ...]
    shots: tuple[tuple[int, ...], ...]
    precision: float
    foreseen: Foreseen | None

    def first(self) -> Iterator[_Need]:
        """Yield what the first round measures."""
        for row, of_point in enumerate(zip(self.circuits, self.shots, strict=True)):
            for group, (circuit, shots) in enumerate(zip(*of_point, strict=True)):
                yield _Need(circuit, self, row, group, shots)

    def missing(self, known: Mapping[_Circuit, Counts]) -> Iterator[_Need]:
        """Yield the shots that the precision lacks at each point."""
        joint = self.observables.joint
        for row, circuits in enumerate(self.circuits):
            counts, missing = [known[circuit] for circuit in circuits], [0] * len(circuits)
            for estimate, indices in zip(joint.estimates(counts), joint.group_indices, strict=True):
                if estimate.is_exact or estimate.standard_error <= self.precision:
                    continue
                taken = [counts[index].shots for index in indices]
                wanted = (PRECISION_MARGIN * self.precision) ** 2
                further = neyman_allocation(estimate.shot_variances, taken, wanted)
                for index, shots in zip(indices, further, strict=True):
                    missing[index] = max(missing[index], shots)
            for group, (circuit, shots) in enumerate(zip(circuits, missing, strict=True)):
                if shots:
                    yield _Need(circuit, self, row, group, shots)


class _Need(NamedTuple):
    """A measured circuit of a share's point and group, with the shots that it needs."""

    circuit: _Circuit
    share: _Share
    row: int
    group: int
    shots: int


@dataclass(slots=True)
class _RoundPlan:
    """The circuits of a round, each once, with the largest number of shots that is needed of it."""

    pubs: list[SamplerPub]
    index: dict[_Circuit, tuple[int, int]]  # of the counts: PUB, and point in it

    @classmethod
    def of(cls, needs: Iterable[_Need], fit: Callable[[int], int]) -> _RoundPlan:
        """Put what is needed into PUBs; `fit` returns the shots of a job that needs so many."""
        needed: dict[_Circuit, _Need] = {}
        for need in needs:
            fitting = need._replace(shots=fit(need.shots))
            needed[need.circuit] = max(fitting, needed.get(need.circuit, fitting), key=lambda each: each.shots)
        # one PUB for the points of each circuit, basis and number of shots
        by_pub: dict[tuple[object, ...], list[_Need]] = {}
        for circuit, need in needed.items():
            by_pub.setdefault((*circuit[:3], need.shots), []).append(need)
        pubs, index = [], dict[_Circuit, tuple[int, int]]()
        for number, part in enumerate(by_pub.values()):
            share, group = part[0].share, part[0].share.observables.joint.groups[part[0].group]
            points = np.array([need.share.points[need.row] for need in part])
            pubs.append(SamplerPub.coerce((group.measurement_circuit(share.circuit), points, part[0].shots)))
            index.update({need.circuit: (number, row) for row, need in enumerate(part)})
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

    Observables at the same point of a PUB share circuits, grouped qubit-wise as in hybridloop's own algorithms. Each
    point of each PUB has measurements of its own; with `shares_equal_points`, equal circuits at equal angles share one,
    with the largest of their shots. Shots are allocated to the groups by Neyman's formula for the PUB's precision, with
    the variances of the same observables in the estimator's last round, at first with those of an unknown state. `stds`
    are the standard errors reached. Where circuits are small, their variances at each point are simulated in place
    of that (`foresee`, `MAX_S` of a call), and with what the machine added to them in the last round the first
    round is likely enough. Points where a standard error is above the precision get the shots that they lack in a
    further round of `result()`, `MORE_ROUNDS` times at most, without `top_ups` never. With `shots` each circuit has
    so many, and no precision. Without a simulation, a job with a least price takes the shots of any state in the
    first round, if they add at most a tenth to that. A target that does not sample measures the most shots of a job
    once, and `stds` are half of its rounding bound. A job without counts raises in `result()`.
    """

    def __init__(
        self,
        rounds: Rounds,
        *,
        precision: float,
        stream: str,
        shares_equal_points: bool = False,
        top_ups: bool = True,
        shots: int | None = None,
    ) -> None:
        self._rounds = rounds
        self._precision = _check_precision(precision)
        self._stream = stream
        self._shares_equal_points = shares_equal_points
        self._shots = None if shots is None else _check_shots(shots)
        self._top_ups = top_ups
        self._observables: dict[tuple[Any, ...], _Observables] = {}

    @property
    def default_precision(self) -> float:
        """The standard error for PUBs that state none, as Qiskit's own estimators have it."""
        return self._precision

    def __getattr__(self, name: str) -> Any:
        check_attribute("estimator", name)
        return super().__getattribute__(name)  # raises AttributeError

    def __setattr__(self, name: str, value: object) -> None:
        check_attribute("estimator", name)
        super().__setattr__(name, value)

    @property
    def options(self) -> PrimitiveOptions:
        """The options `default_precision` and `default_shots` (of each basis), as in the Runtime; the last set holds.

        Other names raise UnknownOption with what there is.
        """
        fields = {"default_precision": "_default_precision", "default_shots": "_shots"}
        return PrimitiveOptions("estimator", self, fields)

    @property
    def _default_precision(self) -> float:
        return self._precision

    @_default_precision.setter
    def _default_precision(self, precision: float) -> None:
        self._precision, self._shots = precision, None

    @with_answers("estimator", NOT_SENT)
    def run(self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None) -> RoundJob:
        """Start a round of PUBs; `precision` is for those that state none (default: the estimator's)."""
        tops_up = self._top_ups and self._shots is None
        default = self._precision if precision is None else _check_precision(precision)
        coerced = [EstimatorPub.coerce(pub, default if self._shots is None else precision) for pub in pubs]
        for place, pub in enumerate(coerced):
            check_angles(place, pub.parameter_values, pub.circuit)
            if self._shots is not None and pub.precision is not None:
                problem = f"that of PUB {place} has no effect on an estimator with {self._shots} shots for each basis"
                raise InputError("precision", problem, "Leave it out, or make the estimator without shots.", NOT_SENT)
        shares = self._all_shares(coerced)
        every = [share for of_pub in shares for share in of_pub]
        plan = _RoundPlan.of((need for share in every for need in share.first()), self._fit)
        check_call(self._rounds, plan.pubs)
        with named_by_pub({pub.circuit.name: place for place, pub in reversed([*enumerate(coerced)])}):
            round_ = self._rounds.start(plan.pubs, stream=self._stream, same_rad=SAME_UNTOLD_RAD)

        def read(measured: Sequence[MeasuredPub]) -> list[PubResult]:
            known = dict[_Circuit, Counts]()
            plan.add_to(known, measured)
            for _ in range(MORE_ROUNDS if tops_up else 0):
                more = _RoundPlan.of((need for share in every for need in share.missing(known)), self._fit)
                if not more.pubs:
                    break
                further = self._rounds.start(more.pubs, stream=self._stream, same_rad=SAME_UNTOLD_RAD)
                more.add_to(known, self._rounds.collect(further))
            return [self._pub_result(*args, known) for args in zip(coerced, shares, strict=True)]

        return RoundJob(self._rounds, round_, read)

    def _fit(self, shots: int) -> int:
        """Return the shots of a job that needs so many: those of the provider's mitigation, none for one more job."""
        target = self._rounds.target
        return whole_jobs(max(shots, target.fewest_shots(debias=self._rounds.debias)), priced_job_shots(target))

    def _all_shares(self, pubs: Sequence[EstimatorPub]) -> list[list[_Share]]:
        circuits = {id(pub.circuit): pub.circuit for pub in pubs}
        numbers = {key: number for number, key in enumerate(circuits)}
        places = {id(pub.circuit): place for place, pub in reversed([*enumerate(pubs)])}
        bare = {key: _bare(places[key], circuit) for key, circuit in circuits.items()}
        costs = {key: self._cost(circuit) for key, circuit in bare.items()}
        call = _Call(sum(math.prod(pub.shape) for pub in pubs))
        return [
            self._shares(pub, place, bare[key], numbers[key], costs[key], call)
            for place, pub in enumerate(pubs)
            for key in [id(pub.circuit)]
        ]

    def _cost(self, circuit: QuantumCircuit) -> _CircuitCost:
        target, qubits = self._rounds.target, circuit.num_qubits
        if priced_job_shots(target) is None and not target.is_noisy:
            return _CircuitCost()
        compiled = to_basis(circuit, target.gates)
        two_qubit = int(compiled.num_nonlocal_gates())
        counts = GateCounts(qubits, int(compiled.size()) - two_qubit, two_qubit, qubits)
        least = 1 if priced_job_shots(target) is None else cheap_shots(target, counts, debias=self._rounds.debias)
        return _CircuitCost(least, self._rounds.error_rates.sound(counts))

    def _shares(
        self, pub: EstimatorPub, place: int, circuit: QuantumCircuit, number: int, cost: _CircuitCost, call: _Call
    ) -> list[_Share]:
        """Split a PUB, at its place in a call, into points that need the same observables."""
        precision = math.inf if self._shots is not None else _check_precision(pub.precision)
        terms = np.asarray(pub.observables.sparse_observables_array(), dtype=object).ravel()
        operators = [SparsePauliOp.from_sparse_observable(term) for term in terms]
        bound, names = pub.parameter_values, list(pub.circuit.parameters)
        angles = bound.as_array(names).reshape(bound.size, len(names))
        shares = []
        for indices, by_point in _points_by_observables(pub).items():
            observables = self._grouped([operators[index] for index in indices])
            groups = observables.joint.groups
            circuits = tuple(
                tuple(_Circuit(number, group.basis, group.diagonalization, key) for group in groups)
                for point in by_point
                for key in [angles[point].tobytes() if self._shares_equal_points else (place, point)]
            )
            cells, points = tuple(map(tuple, by_point.values())), angles[list(by_point)]
            if self._shots is not None or not self._rounds.target.samples:
                each, foreseen = self._shots or self._rounds.target.max_shots, None
                shots = ((each,) * len(groups),) * len(points)
            else:
                is_affordable = call.takes(simulation_s(circuit, len(points), observables.joint))
                foreseen = foresee(circuit, points, observables.joint, cost.sound) if is_affordable else None
                if foreseen is not None:
                    shots = self._foreseen_shots(observables, foreseen, precision, call.values)
                else:
                    shots = (self._first_shots(observables, precision, cost.least_shots),) * len(points)
            shares.append(_Share(observables, circuit, points, cells, circuits, shots, precision, foreseen))
        return shares

    def _foreseen_shots(
        self, observables: _Observables, foreseen: Foreseen, precision: float, values: int
    ) -> tuple[tuple[int, ...], ...]:
        """Return the shots of each group at each point, with which all values of a call likely have the precision."""
        margin = PRECISION_MARGIN if self._rounds.target.is_noisy else 1.0  # its noise is not quite as published
        if foreseen.reach > MAX_CALL_SHOTS * precision:
            raise too_precise(precision, MAX_CALL_SHOTS)
        by_point = foreseen.shots(observables.joint, margin * precision, values, observables.excess)
        if sum(map(max, zip(*by_point, strict=True))) > MAX_CALL_SHOTS:
            raise too_precise(precision, MAX_CALL_SHOTS)
        return evened(by_point) if self._rounds.batches else tuple(map(tuple, by_point))

    def _first_shots(self, observables: _Observables, precision: float, least: int) -> tuple[int, ...]:
        """Return the shots of each group by its last variances; up to `least` those that any state needs."""
        joint = observables.joint
        shots = joint.shots(_with_margin(observables.shot_variances), precision, most=MAX_CALL_SHOTS)
        if max(shots, default=least) < least:
            with suppress(InputError):  # of a state that needs more shots than any run takes
                most = joint.shots(_with_margin(joint.largest_variances()), precision)
                shots = [max(each, min(least, bound)) for each, bound in zip(shots, most, strict=True)]
        return tuple(shots)

    def _pub_result(self, pub: EstimatorPub, shares: Sequence[_Share], known: Mapping[_Circuit, Counts]) -> PubResult:
        values, errors = np.zeros(math.prod(pub.shape)), np.zeros(math.prod(pub.shape))
        circuits: set[_Circuit] = set()
        for share in shares:
            joint = share.observables.joint
            by_point, shots = [], []
            for groups, cells in zip(share.circuits, share.cells, strict=True):
                circuits.update(groups)
                counts = [known[circuit] for circuit in groups]
                estimates = joint.estimates(counts)
                by_point.append(estimates)
                shots.append([each.shots for each in counts])
                for cell, estimate in zip(cells, estimates, strict=True):
                    values[cell] = estimate.value
                    errors[cell] = 0.5 * estimate.rounding_bound if estimate.is_exact else estimate.standard_error
            is_priced = priced_job_shots(self._rounds.target) is not None
            share.observables.update(by_point, shots, share.foreseen, is_priced=is_priced)
        data = DataBin(evs=values.reshape(pub.shape), stds=errors.reshape(pub.shape), shape=pub.shape)
        metadata = {
            "target_precision": pub.precision,
            "circuits": len(circuits),
            "shots": sum(known[circuit].shots for circuit in circuits),
            "shares_equal_points": self._shares_equal_points,
            "circuit_metadata": pub.circuit.metadata,
        }
        return PubResult(data, metadata=metadata)

    def _grouped(self, operators: Sequence[SparsePauliOp]) -> _Observables:
        key = tuple((tuple(operator.paulis.to_labels()), operator.coeffs.tobytes()) for operator in operators)
        if key not in self._observables:
            joint = group_jointly(operators)
            expected = joint.expected_variances()
            self._observables[key] = _Observables(joint, expected, [[0.0] * len(each) for each in expected])
        return self._observables[key]


def _check_precision(precision: float) -> float:
    if not isinstance(precision, numbers.Real) or isinstance(precision, bool) or not 0 < precision < math.inf:
        raise InvalidValue("precision", f"must be a positive number in the observable's unit, got {precision!r}")
    return precision


def _check_shots(shots: int) -> int:
    if not isinstance(shots, numbers.Integral) or isinstance(shots, bool) or shots < 1:
        raise InvalidValue("shots", f"must be a whole number of at least 1, got {shots!r}")
    return int(shots)


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


def _with_margin(variances: Sequence[Sequence[float]]) -> list[list[float]]:
    return [[each / PRECISION_MARGIN**2 for each in of] for of in variances]


def _bare(place: int, circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a circuit without the classical bits that it declares. Raises InputError if it uses them."""
    if (bare := without_idle_bits(circuit)) is None:
        remedy = "Leave measuring to the estimator: circuit.remove_final_measurements(inplace=False) takes it out."
        raise InputError("circuit", f"{circuit.name!r} of PUB {place} uses classical bits", remedy)
    return bare
