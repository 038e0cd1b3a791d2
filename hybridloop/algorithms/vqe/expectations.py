"""Expectation values of further operators at the final point, from the energy's shots where its circuits show them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Pauli, PauliList, SparsePauliOp, Statevector

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.estimation.estimates import Estimate, Evaluation, GroupStatistics
from hybridloop.algorithms.estimation.final import (
    MIN_PILOT_SHOTS,
    PRECISION_MARGIN,
    measure_final_estimate,
    neyman_allocation,
)
from hybridloop.algorithms.estimation.observable import Grouping, MeasurementGroup, Observable, observable
from hybridloop.algorithms.estimation.sampling import Sampling
from hybridloop.algorithms.outcome import Table
from hybridloop.algorithms.problems.pauli import MAX_EXACT_QUBITS
from hybridloop.algorithms.rounds import Counts, MeasuredPub
from hybridloop.errors import JobFailed, RoundTooLarge

MAX_ROUNDS = 4  # beside those of the energy
MOST_FURTHER = 16.0  # times the shots so far, in one of these rounds, where a calibration leaves most of the error
ZERO, ZERO_SEED = 1e-10, 1  # far above rounding

OnRound = Callable[[Mapping[int, Counts], int], None]  # the counts of a round by place, and its circuits


@dataclass(frozen=True, slots=True, eq=False)
class NamedOperator:
    """A Hermitian operator on the circuit's qubits, and the standard error to reach, in its `unit`."""

    name: str
    operator: SparsePauliOp
    precision: float
    unit: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class FinalPoint:
    """The final point (n,) of an ansatz, whose energy is measured there, with further groups `beside` it.

    `energy` has the run's rounds, and its mitigation of readout errors. Places count the groups: the energy's first.
    """

    energy: Evaluation
    beside: tuple[MeasurementGroup, ...]
    ansatz: Ansatz
    point: NDArray[np.float64]

    @property
    def groups(self) -> tuple[MeasurementGroup, ...]:
        """All groups that are measured there in any case."""
        return (*self.energy.observable.groups, *self.beside)

    def pubs(self, groups: Sequence[MeasurementGroup], shots: Sequence[int]) -> list[SamplerPub]:
        """Return the PUB of each of some groups."""
        circuits = [group.measurement_circuit(self.ansatz.circuit) for group in groups]
        pairs = zip(circuits, shots, strict=True)
        return [SamplerPub.coerce((circuit, self.point[None, :], number)) for circuit, number in pairs]


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """An operator's constant, and its terms in each measured group, by the group's place."""

    named: NamedOperator
    constant: float
    groups: Mapping[int, MeasurementGroup]


@dataclass(frozen=True, slots=True, eq=False)
class Expectations:
    """Operators whose expectation values are measured at the final point of a run.

    Terms are read from the groups that show them and are measured there in any case; others have groups of their own.
    """

    operators: tuple[NamedOperator, ...] = ()

    def pubs(self, at: FinalPoint, sampling: Sampling) -> list[SamplerPub]:
        """Return the PUBs of the circuits that are measured for these operators alone, with a pilot's shots."""
        own, _ = _that_vary(self, at.ansatz)._parts(at)
        shots = sampling.whole_jobs(max(MIN_PILOT_SHOTS, sampling.least_shots))
        return at.pubs(own, [shots] * len(own))

    def measure(
        self,
        at: FinalPoint,
        kept: Mapping[int, Sequence[Counts]],
        others: Sequence[MeasuredPub],
        sampling: Sampling,
        on_round: OnRound,
    ) -> Table:
        """Measure what the counts so far leave open, in `MAX_ROUNDS` rounds at most.

        `kept` are counts of the energy's circuits; `others` are the results of the groups beside it, and of `pubs`.
        Each round has the shots that the variances so far ask for; where a cap ends it, errors are larger than asked
        for. `on_round` gets the counts of each round by place.
        """
        if not self.operators:
            return ()
        own, parts = _that_vary(self, at.ansatz)._parts(at)
        groups, energy = (*at.groups, *own), at.energy
        counts = {place: list(found) for place, found in kept.items()}
        for place, result in enumerate(others, len(energy.circuits)):
            counts[place] = [each for each in result if isinstance(each, Counts)]
        shots_of_exact = max((each.shots for found in kept.values() for each in found if each.exact), default=0)
        for _ in range(MAX_ROUNDS):
            wanted = self._wanted(energy, parts, counts, sampling, shots_of_exact)
            if not wanted:
                break
            places = sorted(wanted)
            pubs = at.pubs([groups[place] for place in places], [wanted[place] for place in places])
            try:
                results = energy.run_round(pubs)
            except RoundTooLarge:
                break
            pairs = zip(places, results, strict=True)
            found = {place: result[0] for place, result in pairs if isinstance(result[0], Counts)}
            for place, each in found.items():
                counts.setdefault(place, []).append(each)
            on_round(found, len(pubs))
        state = _state(at.ansatz, at.point)
        return tuple(row_of(each.named, self._estimate(energy, each, counts), state) for each in parts)

    def _parts(self, at: FinalPoint) -> tuple[list[MeasurementGroup], list[_Parts]]:
        """Return the groups of these operators alone, and the parts of each operator in all groups by place."""
        shown = at.groups
        taken = [_taken(each, shown, range(len(shown))) for each in self.operators]
        left = [label for _, _, rest in taken for label in rest]
        own = _own_groups(list(dict.fromkeys(left)), at.energy.observable.groups) if left else []
        first, parts = len(shown), list[_Parts]()
        for named, (constant, groups, rest) in zip(self.operators, taken, strict=True):
            if rest:
                remaining = replace(named, operator=SparsePauliOp(list(rest), list(rest.values())))
                _, more, missing = _taken(remaining, own, range(first, first + len(own)))
                assert not missing
                groups = {**groups, **more}
            parts.append(_Parts(named, constant, groups))
        return own, parts

    def _wanted(
        self,
        energy: Evaluation,
        parts: Sequence[_Parts],
        counts: Mapping[int, Sequence[Counts]],
        sampling: Sampling,
        shots_of_exact: int,
    ) -> dict[int, int]:
        """Return the further shots of each group; empty once all errors are as small as asked for."""
        wanted: dict[int, int] = {}
        for each in parts:
            found = {place: _statistics(energy, group, counts.get(place, ())) for place, group in each.groups.items()}
            pilot = max(MIN_PILOT_SHOTS, sampling.least_shots, shots_of_exact)
            shots = {place: 0 if statistics else sampling.whole_jobs(pilot) for place, statistics in found.items()}
            known = {place: statistics for place, statistics in found.items() if statistics is not None}
            estimate = self._estimate(energy, each, counts)
            if estimate is not None and estimate.variance > each.named.precision**2:
                # what is common to all groups, as a calibration's, is not made less by their shots
                common = max(0.0, estimate.variance - sum(statistics.variance for statistics in known.values()))
                target = max((PRECISION_MARGIN * each.named.precision) ** 2 - common, estimate.variance / MOST_FURTHER)
                places = [place for place, statistics in known.items() if not statistics.is_exact]
                further = neyman_allocation(
                    [known[place].shot_variance for place in places],
                    [known[place].shots for place in places],
                    target,
                )
                shots |= {place: sampling.whole_jobs(more) for place, more in zip(places, further, strict=True)}
            for place, more in shots.items():
                wanted[place] = max(wanted.get(place, 0), more)
        least = sampling.least_shots
        return {place: max(more, least) for place, more in wanted.items() if more}

    def _estimate(self, energy: Evaluation, parts: _Parts, counts: Mapping[int, Sequence[Counts]]) -> Estimate | None:
        found = [_statistics(energy, group, counts.get(place, ())) for place, group in parts.groups.items()]
        known = [statistics for statistics in found if statistics is not None]
        if not found:
            return Estimate(parts.constant, 0.0, 0)
        return energy.combine_groups(parts.constant, known) if len(known) == len(found) else None

    def measure_each(
        self,
        of: Callable[[Observable], Evaluation],
        point: NDArray[np.float64],
        ansatz: Ansatz,
        on_shots: Callable[[int, int], None],
    ) -> Table:
        """Measure each operator as an energy of its own, whose evaluation `of` returns, as with extrapolated noise."""
        rows, state = list[Mapping[str, Any]](), _state(ansatz, point)
        for named in _that_vary(self, ansatz).operators:
            estimate: Estimate | None
            if not (named.operator.paulis.x | named.operator.paulis.z).any():
                rows.append(row_of(named, Estimate(float(named.operator.coeffs.sum().real), 0.0, 0), state))
                continue
            evaluation = of(observable(named.operator, Grouping.QUBIT_WISE))
            try:
                estimate = measure_final_estimate(
                    evaluation,
                    point,
                    pilot=[MIN_PILOT_SHOTS] * len(evaluation.circuits),
                    precision=named.precision,
                    on_round=lambda _estimate, _point, circuits, shots: on_shots(circuits, shots),
                ).estimate
            except (RoundTooLarge, JobFailed):
                estimate = None
            rows.append(row_of(named, estimate, state))
        return tuple(rows)


NO_EXPECTATIONS = Expectations()


def rows_of_determinant(expectations: Expectations, bits: int) -> Table:
    """Return the rows of a computational basis state, where qubit q is bit q; they have no error.

    Of an operator's terms those of I and Z alone count there, with the sign of the ones under Z.
    """
    rows = list[Mapping[str, Any]]()
    for named in expectations.operators:
        terms = [(label[::-1], float(value.real)) for label, value in named.operator.to_list()]
        shown = [(label, value) for label, value in terms if not {*label} & {*"XY"}]
        ones = (sum(pauli == "Z" and bits >> qubit & 1 for qubit, pauli in enumerate(label)) for label, _ in shown)
        value = math.fsum(-value if odd % 2 else value for odd, (_, value) in zip(ones, shown, strict=True))
        rows.append({**row_of(named, Estimate(value, 0.0, 0), None), "simulated": value})
    return tuple(rows)


def row_of(named: NamedOperator, estimate: Estimate | None, state: Statevector | None) -> Mapping[str, Any]:
    """Return an operator's row: value and errors, None where no job gave them, and the simulated state's value."""
    return {
        "observable": named.name,
        "value": None if estimate is None else estimate.value,
        "standard_error": None if estimate is None else estimate.standard_error,
        "unseen_bound": None if estimate is None else estimate.unseen_bound,
        "rounding_bound": None if estimate is None else estimate.systematic_error,
        "unit": named.unit,
        "shots": 0 if estimate is None else estimate.shots,
        "simulated": None if state is None else float(state.expectation_value(named.operator).real),
        "at_these_angles": False,
    }


def at_these_angles(table: Table) -> Table:
    """Return rows of a state at angles that a search left, whose error is not in theirs; constants have none."""
    return tuple({**row, "at_these_angles": bool(row["shots"])} for row in table)


def _own_groups(labels: Sequence[str], shown: Sequence[MeasurementGroup]) -> list[MeasurementGroup]:
    """Return groups of the terms that the energy's groups do not show.

    Those of Z alone keep the number of ones that the energy's outcomes have.
    """
    union = SparsePauliOp(PauliList(list(labels)))
    if union.paulis.x.any():
        commuting = any(group.diagonalization is not None for group in shown)
        return list(observable(union, Grouping.FULLY_COMMUTING if commuting else Grouping.QUBIT_WISE).groups)
    numbers = {group.ones for group in shown}
    ones = numbers.pop() if len(numbers) == 1 else None
    return [replace(group, ones=ones) for group in observable(union, Grouping.QUBIT_WISE).groups]


@lru_cache(maxsize=8)
def _that_vary(expectations: Expectations, ansatz: Ansatz) -> Expectations:
    """Return the operators without the terms that are 0 at all angles of the circuit, as its symmetries have it.

    An expectation value is a trigonometric polynomial of the angles. One that is not 0 everywhere is 0 at random angles
    with probability 0 (J. T. Schwartz, J. ACM 27 (1980) 701, for polynomials).
    """
    operators = expectations.operators
    if not operators or ansatz.circuit.num_qubits > MAX_EXACT_QUBITS:
        return expectations
    zero = {label for each in operators for label in each.operator.paulis.to_labels()}
    for point in np.random.default_rng(ZERO_SEED).uniform(-np.pi, np.pi, (2, ansatz.circuit.num_parameters)):
        state = Statevector(ansatz.circuit.assign_parameters(point))
        zero = {label for label in zero if abs(state.expectation_value(Pauli(label))) < ZERO}
    return Expectations(tuple(replace(each, operator=_without(each.operator, zero)) for each in operators))


def _without(operator: SparsePauliOp, labels: Set[str]) -> SparsePauliOp:
    left = [(label, value) for label, value in operator.to_list() if label not in labels]
    return SparsePauliOp.from_list(left, num_qubits=operator.num_qubits)


def _state(ansatz: Ansatz, point: NDArray[np.float64]) -> Statevector | None:
    if ansatz.circuit.num_qubits > MAX_EXACT_QUBITS:
        return None
    return Statevector(ansatz.circuit.assign_parameters(point))


def _taken(
    named: NamedOperator, groups: Sequence[MeasurementGroup], places: Sequence[int]
) -> tuple[float, dict[int, MeasurementGroup], dict[str, float]]:
    """Return an operator's constant, its terms in the groups that show them, by place, and the others.

    Terms share the shots of one group where they can, which shows what their sum is in each shot.
    """
    operator = named.operator.simplify()
    left = {label: float(value.real) for label, value in operator.to_list() if value}
    constant = left.pop("I" * operator.num_qubits, 0.0)
    found, by_place = dict[int, MeasurementGroup](), dict(zip(places, groups, strict=True))
    while left and by_place:
        labels = list(left)
        shown_by = {place: group.measurable_terms(PauliList(labels)) for place, group in by_place.items()}
        place = max(shown_by, key=lambda each: np.count_nonzero(shown_by[each][0]))
        is_shown, masks, signs = shown_by[place]
        shown = [label for label, is_one in zip(labels, is_shown, strict=True) if is_one]
        if not shown:
            break
        values = np.array([left.pop(label) for label in shown]) * signs
        group = by_place.pop(place)
        found[place] = replace(group, masks=tuple(masks), coefficients=values, energy_range=np.inf, fault_deviation=0.0)
    return constant, found, left


def _statistics(energy: Evaluation, group: MeasurementGroup, counts: Sequence[Counts]) -> GroupStatistics | None:
    reduced = [energy.reduce_counts(group, each) for each in counts]
    known = [each for each in reduced if isinstance(each, GroupStatistics)]
    return reduce(GroupStatistics.merge, known) if known else None
