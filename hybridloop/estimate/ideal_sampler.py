"""Sampler of dry runs: batched state-vector simulation of a round's PUBs in this process.

Errors of gates are added to the distributions as global depolarizing noise (J. Vovrosh et al., Phys. Rev. E 104 (2021)
035309). Counts are sampled, or exact where the target's are. The states of many points evolve at once, each with its
own angles.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Gate
from qiskit.circuit.library import get_standard_gate_name_mapping

from hybridloop.algorithms.circuits.basis import without_two_qubit_rotations
from hybridloop.algorithms.rounds import Counts, MeasuredPub, proportional_counts
from hybridloop.compiler.programs import PubDescription
from hybridloop.targets import Target
from hybridloop.targets.error_rates import NO_ERRORS, ErrorRates
from hybridloop.tasks.submission.results import expand_bits

States = NDArray[np.complex128]  # (points, 2^qubits), qubit 0 the lowest bit
Angles = NDArray[np.float64]  # (points, angles of the gate), in radians
Kept = dict[tuple[str, bytes], NDArray[np.float64]]  # distribution of a point by circuit and angles

_PAULIS = {
    "x": np.array([[0, 1], [1, 0]], complex),
    "y": np.array([[0, -1j], [1j, 0]]),
    "z": np.diag([1.0 + 0j, -1.0]),
}
_ROTATIONS = {
    **{f"r{name}": pauli for name, pauli in _PAULIS.items()},
    **{f"r{name}{name}": np.kron(pauli, pauli) for name, pauli in _PAULIS.items()},
}


class Step(NamedTuple):
    """A standard gate on qubits, and the place of its angles among those of the circuit."""

    name: str
    qubits: tuple[int, ...]
    place: slice


def _ground_states(points: int, qubits: int) -> States:
    """Return |0…0⟩ for each point."""
    states = np.zeros((points, 2**qubits), complex)
    states[:, 0] = 1.0
    return states


def _evolve(states: States, steps: Sequence[Step], slots: Angles) -> States:
    """Apply the gates in their order, at the circuit's angles (points, angles) in radians."""
    numbers = np.arange(states.shape[1])
    for step in steps:
        angles = slots[:, step.place]
        if step.name == "cx":
            states = states[:, numbers ^ ((numbers >> step.qubits[0] & 1) << step.qubits[1])]
        elif step.name == "rz":
            half = 0.5j * angles
            states = states * np.where(numbers >> step.qubits[0] & 1, np.exp(half), np.exp(-half))
        elif len(step.qubits) == 1:
            states = _apply_one_qubit(states, step, angles)
        else:
            states = _apply_gate(states, step, angles)
    return states


def _apply_one_qubit(states: States, step: Step, angles: Angles) -> States:
    matrix = _matrices(step.name, angles)
    split = states.reshape(len(states), -1, 2, 2 ** step.qubits[0])
    low, high = split[:, :, 0], split[:, :, 1]
    a, b, c, d = (matrix[:, i, j, None, None] for i in (0, 1) for j in (0, 1))
    evolved: States = np.stack([a * low + b * high, c * low + d * high], axis=2).reshape(states.shape)
    return evolved


def _apply_gate(states: States, step: Step, angles: Angles) -> States:
    """Apply any gate: move the axes of its qubits to the end, its first qubit last."""
    qubits = int(states.shape[1]).bit_length() - 1
    axes = [qubits - qubit for qubit in reversed(step.qubits)]  # axis 0 is the point, axis 1 the highest qubit
    ends = list(range(1 + qubits - len(axes), 1 + qubits))
    moved = np.moveaxis(states.reshape(len(states), *(2,) * qubits), axes, ends)
    wide = moved.reshape(len(states), -1, 2 ** len(axes))
    out = (wide @ np.swapaxes(_matrices(step.name, angles), 1, 2)).reshape(moved.shape)
    evolved: States = np.moveaxis(out, ends, axes).reshape(states.shape)
    return evolved


def _matrices(name: str, angles: Angles) -> States:
    """Return the gate's matrix for each point, or one for all."""
    if name in _ROTATIONS:
        pauli, half = _ROTATIONS[name], angles[:, :, None] / 2
        rotation: States = np.cos(half) * np.eye(len(pauli)) - 1j * np.sin(half) * pauli
        return rotation
    if not angles.shape[1]:
        return _fixed(name)
    gate = type(_standard()[name])
    return np.stack([np.asarray(gate(*row).to_matrix(), complex) for row in angles.tolist()])


@cache
def _fixed(name: str) -> States:
    return np.asarray(_standard()[name].to_matrix(), complex)[None]


@cache
def _standard() -> dict[str, Gate]:
    return dict(get_standard_gate_name_mapping())


MAX_QUBITS = 20
MAX_KEPT = 2**24  # probabilities of points that are measured again, such as those of a final measurement: 128 MiB
_GATE_OVERHEAD = 3000.0  # amplitudes that could be computed in the time of a gate's dispatch
_BATCH_SIZE = 2**21  # amplitudes: 32 MiB


class SimulationTooLarge(Exception):
    """The simulation is not done in this process; the message names what is too large or not supported."""


@dataclass(frozen=True, slots=True, eq=False)
class _Program:
    """A circuit at all angles (rows, angles) of a round's PUBs that measure it; `numbers` has the PUB of each row."""

    pub: PubDescription
    steps: list[Step]
    slots: Angles
    numbers: tuple[int, ...]

    @property
    def num_qubits(self) -> int:
        assert self.pub.structure is not None
        return self.pub.structure.num_qubits


class IdealSampler:
    """Sampler of a target's circuits, with errors at these `rates`.

    `work` counts amplitudes that went through a gate, with the overhead of each gate in the same unit: some 10 ns each.
    Distributions of single points are kept in `kept`, which samplers may share, by circuit and angles.
    """

    def __init__(
        self, target: Target, *, seed: int, max_work: float, kept: Kept | None = None, rates: ErrorRates = NO_ERRORS
    ) -> None:
        self._target = target
        self._rates = rates
        self._kept = {} if kept is None else kept
        self._generator = np.random.default_rng(seed)
        self._max_work = max_work
        self.work = 0.0
        self._steps: dict[str, list[Step]] = {}  # by fingerprint
        self._numbers: dict[str, tuple[int, int]] = {}  # by fingerprint

    def sample(self, pubs: Sequence[PubDescription], shots: Sequence[int]) -> list[MeasuredPub]:
        """Return the counts of the PUBs in their order. Raises SimulationTooLarge before any is computed."""
        known = {number: kept for number, pub in enumerate(pubs) if (kept := self._known(pub)) is not None}
        left = [number for number in range(len(pubs)) if number not in known]
        # either all points of a circuit at once, or once the gates with which the circuits of some points begin
        ways = [self._grouped(pubs, left, keys) for keys in ([pub.fingerprint for pub in pubs], range(len(pubs)))]
        groups, work = min(ways, key=lambda way: way[1])
        self.work += work
        if self.work > self._max_work:
            raise SimulationTooLarge(f"simulating it further than {self._max_work:.0e} amplitudes through a gate")
        room = MAX_KEPT - sum(each.size for each in self._kept.values())
        generators = self._generator.spawn(len(pubs))  # so that counts do not depend on what is kept
        counts: list[list[Counts]] = [[] for _ in pubs]
        simulated = itertools.chain.from_iterable(self._distributions(*group) for group in groups)
        for number, by_outcome in itertools.chain(known.items(), simulated):
            pub = pubs[number]
            if number not in known and len(pub.points) == 1 and by_outcome.size <= room:
                self._kept[_key(pub)] = by_outcome.copy()
                room -= by_outcome.size
            counts[number].append(self._counts(by_outcome, pub, shots[number], generators[number]))
        return [MeasuredPub(pub.points, tuple(found)) for pub, found in zip(pubs, counts, strict=True)]

    def _known(self, pub: PubDescription) -> NDArray[np.float64] | None:
        return self._kept.get(_key(pub)) if len(pub.points) == 1 else None

    def _grouped(
        self, pubs: Sequence[PubDescription], numbers: Sequence[int], keys: Sequence[object]
    ) -> tuple[list[tuple[list[_Program], int]], float]:
        """Return the programs of PUBs, one for those of a circuit with equal keys, in groups, and the work.

        A group has programs with as many rows and qubits, and the number of gates that they begin with.
        """
        together: dict[object, list[int]] = {}
        for number in numbers:
            together.setdefault(keys[number], []).append(number)
        programs = [
            _Program(
                pubs[same[0]],
                self._steps_of(pubs[same[0]]),
                np.concatenate([pubs[number].slots for number in same]),
                tuple(number for number in same for _ in pubs[number].points),
            )
            for same in together.values()
        ]
        runs = itertools.groupby(programs, lambda program: (len(program.slots), program.num_qubits))
        groups = [(group, _common_prefix(group)) for group in (list(run) for _, run in runs)]
        return groups, sum(_work(*group) for group in groups)

    def _steps_of(self, pub: PubDescription) -> list[Step]:
        if pub.fingerprint not in self._steps:
            self._steps[pub.fingerprint] = _gate_steps(pub)
        return self._steps[pub.fingerprint]

    def _distributions(self, group: Sequence[_Program], prefix: int) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """Yield the PUB's number and the distribution of each row of a group, whose first `prefix` gates run once."""
        qubits, total = group[0].num_qubits, len(group[0].slots)
        batch = max(1, _BATCH_SIZE // 2**qubits)
        for start in range(0, total, batch):
            rows = slice(start, start + batch)
            initial = _ground_states(min(batch, total - start), qubits)
            shared = _evolve(initial, group[0].steps[:prefix], group[0].slots[rows])
            for program in group:
                states = _evolve(shared, program.steps[prefix:], program.slots[rows])
                yield from zip(program.numbers[rows], _probabilities(states, program.pub), strict=True)

    def _numbers_of_gates(self, pub: PubDescription) -> tuple[int, int]:
        """Return the numbers of gates on one and on two qubits, as the target runs them."""
        if pub.fingerprint not in self._numbers:
            sizes = [len(step.qubits) for step in self._steps_of(pub)]
            if pub.structure is not None and not self._target.two_qubit_rotations:
                run = without_two_qubit_rotations(pub.structure.circuit([0.0] * pub.structure.num_angles))
                sizes = [len(item.qubits) for item in run.data if not item.clbits]
            two_qubit = sizes.count(2)
            self._numbers[pub.fingerprint] = len(sizes) - two_qubit, two_qubit
        return self._numbers[pub.fingerprint]

    def _counts(
        self, probabilities: NDArray[np.float64], pub: PubDescription, shots: int, generator: np.random.Generator
    ) -> Counts:
        if self._target.samples:
            noisy = self._with_errors(probabilities / probabilities.sum(), pub)
            sampled = generator.multinomial(shots, noisy)
        else:
            sampled = proportional_counts(probabilities, min(shots, self._target.max_shots))
        bits = len(pub.measured)
        seen = np.flatnonzero(sampled)
        width = (bits + 7) // 8
        outcomes = seen[:, None] >> np.arange(8 * (width - 1), -1, -8) & 0xFF
        counts = Counts(bits, outcomes.astype(np.uint8), sampled[seen], exact=not self._target.samples)
        return expand_bits(counts, pub.measured, pub.num_clbits)

    def _with_errors(self, probabilities: NDArray[np.float64], pub: PubDescription) -> NDArray[np.float64]:
        """Return the distribution with gate errors as global depolarizing noise, and with flipped bits."""
        rates = self._rates
        if rates == NO_ERRORS:
            return probabilities
        one_qubit, two_qubit = self._numbers_of_gates(pub)
        kept = (1.0 - rates.two_qubit) ** two_qubit * (1.0 - rates.one_qubit) ** one_qubit
        table = kept * probabilities.reshape((2,) * len(pub.measured)) + (1.0 - kept) / probabilities.size
        for bit in range(len(pub.measured)):
            flipped = table[(slice(None),) * bit + (slice(None, None, -1),)]
            table = (1.0 - rates.readout) * table + rates.readout * flipped
        flat: NDArray[np.float64] = table.reshape(-1)
        return flat


def _key(pub: PubDescription) -> tuple[str, bytes]:
    """Return the key under which the distribution of a PUB's only point is kept."""
    return pub.fingerprint, pub.slots.tobytes()


def _gate_steps(pub: PubDescription) -> list[Step]:
    """Return the circuit's gates. Raises SimulationTooLarge for other operations before the measurements."""
    if pub.structure is None:
        raise SimulationTooLarge(f"a circuit that has {pub.reason.removeprefix('it has ')}")
    if pub.structure.num_qubits > MAX_QUBITS:
        raise SimulationTooLarge(f"{pub.structure.num_qubits} qubits, of which {MAX_QUBITS} at most are simulated")
    steps, used, measured_qubits = [], 0, set[int]()
    for name, bits, count in pub.structure.instructions:
        is_late = measured_qubits and not measured_qubits.isdisjoint(bits if name != "measure" else bits[:1])
        if name == "reset" or is_late:
            raise SimulationTooLarge("a circuit that measures or resets before its end")
        if name == "measure":
            measured_qubits.add(bits[0])
            continue
        steps.append(Step(name, bits, slice(used, used + count)))
        used += count
    return steps


def _work(group: Sequence[_Program], prefix: int) -> float:
    size = len(group[0].slots) * 2.0 ** group[0].num_qubits + _GATE_OVERHEAD
    return size * (prefix + sum(len(program.steps) - prefix for program in group) + len(group))


def _common_prefix(programs: Sequence[_Program]) -> int:
    """Return the number of gates, with equal angles, that all programs begin with."""
    first, *others = programs
    return min([len(first.steps), *(_shared(first, other) for other in others)])


def _shared(one: _Program, other: _Program) -> int:
    """Return the number of gates, with equal angles, that two programs begin with."""
    angles = min(one.slots.shape[1], other.slots.shape[1])
    is_equal = (one.slots[:, :angles] == other.slots[:, :angles]).all(axis=0)
    equal = angles if is_equal.all() else int(np.argmin(is_equal))  # angles before the first that differs
    for number, (step, twin) in enumerate(zip(one.steps, other.steps, strict=False)):
        if step != twin or step.place.stop > equal:
            return number
    return min(len(one.steps), len(other.steps))


def _probabilities(states: States, pub: PubDescription) -> NDArray[np.float64]:
    """Return probabilities (points, outcomes) over the measured bits, in the order of the description's register."""
    assert pub.structure is not None
    by_state: NDArray[np.float64] = np.abs(states) ** 2
    positions = {clbit: position for position, clbit in enumerate(pub.measured)}
    qubit_of = {positions[bits[1]]: bits[0] for name, bits, _ in pub.structure.instructions if name == "measure"}
    qubits = pub.structure.num_qubits
    if [qubit_of[position] for position in range(len(qubit_of))] == list(range(qubits)):
        return by_state
    numbers = np.arange(2**qubits)
    outcome = sum((numbers >> qubit & 1) << position for position, qubit in qubit_of.items())
    return np.stack([np.bincount(outcome, row, 2 ** len(qubit_of)) for row in by_state])
