"""Price and keep-alive of a dry run's rounds on a target, and the rounds that its caps allow."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.converters import circuit_to_dag

from hybridloop.algorithms.circuits.basis import to_basis, two_qubit_gates
from hybridloop.algorithms.circuits.gate_names import BASIS
from hybridloop.budget.caps import Budget, Caps
from hybridloop.compiler.gate_counts import GateCounts, gate_counts, qir_depth
from hybridloop.compiler.programs import PubDescription
from hybridloop.compiler.qir_template import compile_qir, placeholder_qir
from hybridloop.compiler.quil import NoQuil, QuilCompiler, QuilPub
from hybridloop.errors import CapReached
from hybridloop.estimate.dry_run import DryRound, PubRequest
from hybridloop.estimate.figures import Duration, KeepAliveEstimate, WithinCaps
from hybridloop.runtime.durations import format_duration
from hybridloop.settings import RunSettings
from hybridloop.settings.keep_alive import PING_AFTER_S, IdleRule, KeepAliveMode, choose
from hybridloop.targets import Target
from hybridloop.targets.prices import ONE_GATE, Price, ping_price, price_of_job
from hybridloop.tasks.submission.batches import batched_program, shots_of_jobs
from hybridloop.tasks.submission.jobs import split_shots

MAX_COMPILED = 48  # circuits for a profile; each takes some 0.3 s


@dataclass(frozen=True, slots=True)
class ProgramSize:
    """Gates and measurements of one shot of a compiled program, and its depth."""

    counts: GateCounts
    depth: int


QirForm = tuple[str, bool]  # profile, and true with two-qubit rotations
Counted = tuple[ProgramSize, frozenset[str]]  # a size, and the names of the gates


@dataclass(slots=True)
class ProgramSizes:
    """Sizes of circuits by fingerprint and the form of QIR that a target takes.

    The compiler translates a circuit in the basis gates gate by gate, so its gates are counted in that. A small one
    with the same gates is compiled as well: where the counts differ, all are compiled, up to `MAX_COMPILED`.
    """

    circuits: dict[str, PubDescription]
    known: dict[tuple[str, QirForm], ProgramSize] = field(default_factory=dict)
    counted: dict[tuple[str, bool], Counted | None] = field(
        default_factory=dict
    )  # with two-qubit rotations, or without
    is_counted: dict[tuple[frozenset[str], str], bool] = field(default_factory=dict)  # by names of gates and profile

    def size(self, circuit: str, target: Target) -> ProgramSize | None:
        """Return the size of a circuit's program; None above the limit on compilations. Raises ProgramError."""
        form = _form(target)
        if (circuit, form) not in self.known:
            if (key := (circuit, target.two_qubit_rotations)) not in self.counted:
                translated = in_basis(self.circuits[circuit], target.gates)
                names = frozenset() if translated is None else frozenset(translated.count_ops())
                self.counted[key] = None if translated is None else (counted_size(translated), names)
            counted = self.counted[key]
            if counted is not None and self._is_counted(circuit, counted[1], target):
                self.known[circuit, form] = counted[0]
            elif sum(known == form for _, known in self.known) < MAX_COMPILED:
                self.known[circuit, form] = compiled_size(self.qir(circuit, target))
        return self.known.get((circuit, form))

    def _is_counted(self, circuit: str, names: frozenset[str], target: Target) -> bool:
        """Return whether the compiler keeps each gate of such circuits, even where one follows another of its kind."""
        key = names, target.profile
        if key not in self.is_counted:
            translated = in_basis(self.circuits[circuit], target.gates)
            assert translated is not None
            sample = gates_twice(translated)
            self.is_counted[key] = counted_size(sample) == compiled_size(compile_qir(sample, target.profile))
        return self.is_counted[key]

    def qir(self, circuit: str, target: Target) -> str:
        """Compile a circuit at its first point; one with a structure at placeholder angles."""
        description = self.circuits[circuit]
        if description.structure is not None:
            return placeholder_qir(description.structure, target.profile, target.gates)
        bound = description.circuit.assign_parameters(description.points[0])
        return compile_qir(to_basis(bound, target.gates), target.profile)

    def largest(self, target: Target) -> ProgramSize:
        """Return the size of the compiled circuit with the most two-qubit gates."""
        return max(
            (size for (_, form), size in self.known.items() if form == _form(target)),
            key=lambda size: (size.counts.two_qubit, size.counts.one_qubit),
        )


def _form(target: Target) -> QirForm:
    return target.profile, target.two_qubit_rotations


@dataclass(frozen=True, slots=True)
class JobTotals:
    """Jobs, shots, and their price: expected, and the upper bound (None: unknown)."""

    jobs: int = 0
    shots: int = 0
    expected: float | None = 0.0
    upper: float | None = 0.0

    def __add__(self, other: JobTotals) -> JobTotals:
        expected, upper = sum_if_known([self.expected, other.expected]), sum_if_known([self.upper, other.upper])
        return JobTotals(self.jobs + other.jobs, self.shots + other.shots, expected, upper)

    def __mul__(self, times: int) -> JobTotals:
        expected, upper = (None if amount is None else times * amount for amount in (self.expected, self.upper))
        return JobTotals(times * self.jobs, times * self.shots, expected, upper)


@dataclass(slots=True)
class Tariff:
    """Prices of circuits on a target. A cap per job bounds a price that has no upper bound of its own."""

    target: Target
    sizes: ProgramSizes
    caps: Caps
    debias: bool
    batches: bool = False
    _prices: dict[tuple[str, int], Price] = field(default_factory=dict, init=False)
    _totals: dict[tuple[PubRequest, ...], JobTotals] = field(default_factory=dict, init=False)
    _batched: dict[tuple[PubRequest, ...], list[tuple[int, Price]]] = field(default_factory=dict, init=False)
    _quil: QuilCompiler = field(default_factory=QuilCompiler)
    _programs: dict[str, QuilPub | None] = field(default_factory=dict)

    def split(self, shots: int) -> list[int]:
        """Split the shots of a point into those of its jobs, as `RoundBuilder` does."""
        return split_shots(shots, self.target)

    def price(self, circuit: str, shots: int) -> Price:
        """Return the price of one job."""
        key = (circuit, shots)
        if key not in self._prices:
            size = self.sizes.size(circuit, self.target) or self.sizes.largest(self.target)
            self._prices[key] = price_of_job(self.target, size.counts, shots, debias=self.debias)
        return self._prices[key]

    def jobs(self, pubs: Sequence[PubRequest]) -> list[tuple[int, Price]]:
        """Return shots and price of each job of a round."""
        batched, others = self._parted(pubs)
        alone = [job for pub in others for job in self._point_jobs(pub) * pub.points]
        return alone + self._batched_jobs(batched)

    def total(self, pubs: Sequence[PubRequest]) -> JobTotals:
        """Sum the jobs of a round; most rounds of a search are alike."""
        key = tuple(pubs)
        if key not in self._totals:
            batched, others = self._parted(pubs)
            points = (self._sum(self._point_jobs(pub)) * pub.points for pub in others)
            self._totals[key] = sum(points, self._sum(self._batched_jobs(batched)))
        return self._totals[key]

    def _sum(self, jobs: Sequence[tuple[int, Price]]) -> JobTotals:
        expected, upper = (price.expected for _, price in jobs), (self._upper_bound(price) for _, price in jobs)
        return JobTotals(len(jobs), sum(shots for shots, _ in jobs), sum_if_known(expected), sum_if_known(upper))

    def _parted(self, pubs: Sequence[PubRequest]) -> tuple[list[PubRequest], list[PubRequest]]:
        """Part PUBs into those whose points share jobs, and those with a job for each point."""
        batched = [pub for pub in pubs if self.program(pub.circuit) is not None]
        return batched, [pub for pub in pubs if self.program(pub.circuit) is None]

    def program(self, circuit: str) -> QuilPub | None:
        """Return the program of a circuit whose points share jobs; None for one with a job for each point."""
        if not self.batches:
            return None
        if circuit not in self._programs:
            try:
                self._programs[circuit] = batched_program(self._quil, self.sizes.circuits[circuit])
            except NoQuil:
                self._programs[circuit] = None
        return self._programs[circuit]

    def _batched_jobs(self, pubs: Sequence[PubRequest]) -> list[tuple[int, Price]]:
        key = tuple(pubs)
        if key not in self._batched:
            quil = [program for pub in pubs if (program := self.program(pub.circuit)) is not None]
            programs, points = [pub.program for pub in pubs], [pub.points for pub in pubs]
            jobs = shots_of_jobs(quil, programs, points, [pub.shots for pub in pubs], self.target)
            self._batched[key] = [(shots, price_of_job(self.target, ONE_GATE, shots)) for shots in jobs]
        return self._batched[key]

    def total_of_rounds(self, rounds: Iterable[DryRound]) -> JobTotals:
        """Sum the jobs of these rounds."""
        return sum((self.total(round_.pubs) for round_ in rounds), JobTotals())

    def _point_jobs(self, pub: PubRequest) -> list[tuple[int, Price]]:
        return [(shots, self.price(pub.circuit, shots)) for shots in self.split(pub.shots)]

    def _upper_bound(self, price: Price) -> float | None:
        return self.caps.max_cost_per_job.get(price.unit) if price.upper is None else price.upper


def sum_if_known(amounts: Iterable[float | None]) -> float | None:
    """Return the sum of amounts; None if one of them is unknown."""
    listed = list(amounts)
    known = [amount for amount in listed if amount is not None]
    return math.fsum(known) if len(known) == len(listed) else None


def in_basis(description: PubDescription, gates: Sequence[str] = BASIS) -> QuantumCircuit | None:
    """Return a circuit in the basis gates; None for one without a structure."""
    structure = description.structure
    if structure is None:
        return None
    return to_basis(structure.circuit(list(ParameterVector("slot", structure.num_angles))), gates)


def gates_twice(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a circuit that has one gate of each name twice, at any angles, and then the measurements."""
    of_name = {item.name: item for item in circuit.data if item.name != "measure"}
    sample = circuit.copy_empty_like()
    for item in (each for each in of_name.values() for _ in range(2)):
        sample.append(item)
    for item in circuit.get_instructions("measure"):
        sample.append(item)
    return sample.assign_parameters(0.1 * np.arange(1, 1 + sample.num_parameters))


def compiled_size(qir: str) -> ProgramSize:
    """Return the gates and the depth of a compiled program."""
    return ProgramSize(gate_counts(qir), qir_depth(qir))


def counted_size(circuit: QuantumCircuit) -> ProgramSize:
    """Return the gates and the depth of a circuit in the basis gates."""
    names = Counter(item.name for item in circuit.data)
    resets, measurements = names["reset"], names["measure"]
    two_qubit = two_qubit_gates(circuit)
    one_qubit = len(circuit.data) - two_qubit - resets - measurements
    counts = GateCounts(circuit.num_qubits, one_qubit, two_qubit, measurements, resets)
    return ProgramSize(counts, circuit_to_dag(circuit, copy_operations=False).depth())


def estimate_keep_alive(settings: RunSettings, target: Target, rounds: int, queue_s: float | None) -> KeepAliveEstimate:
    """Resolve `keep_alive` on the target. Pings are due in a queue only if idle minutes count there.

    There are none between rounds: the steps there take seconds.
    """
    price = ping_price(target)
    mode, why = choose(settings.keep_alive, price.bound)
    counts_in_queues = mode is KeepAliveMode.PING and settings.idle_rule is IdleRule.DOCUMENTED
    pings = rounds * int((queue_s or 0.0) // PING_AFTER_S) if counts_in_queues else 0
    hold = None if settings.exclusive_access is None else settings.exclusive_access.max_amount
    cost = 0.0 if pings == 0 else None if price.expected is None else pings * price.expected
    return KeepAliveEstimate(mode.value, why, pings, cost, hold)


def _cap_text(name: str, value: object) -> str:
    if isinstance(value, Mapping):
        return " and ".join(f"{amount:,.2f} {unit}" for unit, amount in value.items())
    return format_duration(value) if name == "deadline_s" and isinstance(value, float) else f"{value:,}"


def rounds_within_caps(rounds: Sequence[DryRound], tariff: Tariff, duration: Duration) -> WithinCaps:
    """Return the rounds that the run's budget allows, if each job is billed as expected."""
    budget, now = Budget(tariff.caps, only_planned=True), 0.0
    round_s = (duration.own_s or 0.0) / max(len(rounds), 1)
    stop: CapReached | None = None
    done = 0
    for round_ in rounds:
        jobs = tariff.jobs(round_.pubs)
        prices = [price for _, price in jobs]
        try:
            reserved = budget.reserve([shots for shots, _ in jobs], prices, now=now)
        except CapReached as reason:
            stop = reason
            break
        for reservation, price in zip(reserved, prices, strict=True):
            budget.settle(reservation, price.amounts or None)
        now += round_s
        done += 1
    spent = budget.spent
    given = {name: value for name, value in asdict(tariff.caps).items() if value not in (None, {})}
    return WithinCaps(
        given=tuple(given),
        values={name: _cap_text(name, value) for name, value in given.items()},
        rounds=done,
        of=len(rounds),
        jobs=spent.jobs,
        shots=spent.shots,
        cost=math.fsum(spent.amounts.values()),
        stopped_by=None if stop is None else stop.cap,
        how=None if stop is None else stop.state,
    )
