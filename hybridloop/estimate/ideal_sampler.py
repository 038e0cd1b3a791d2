"""A machine without errors in this process: a round's circuits in, counts out; sampled, or exact where a target is.

State vectors of many points at once: gates in their order, angles for each point.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Gate
from qiskit.circuit.library import get_standard_gate_name_mapping

from hybridloop.algorithms.rounds import Counts, MeasuredPub
from hybridloop.azure.targets import Target
from hybridloop.compiler.programs import PubDescription
from hybridloop.tasks.submission.results import spread

States = NDArray[np.complex128]  # (points, 2^qubits), qubit 0 the lowest bit
Angles = NDArray[np.float64]  # (points, angles of the gate), in radians

_PAULIS = {
    "x": np.array([[0, 1], [1, 0]], complex),
    "y": np.array([[0, -1j], [1j, 0]]),
    "z": np.diag([1.0 + 0j, -1.0]),
}
_ROTATIONS = {
    **{f"r{name}": pauli for name, pauli in _PAULIS.items()},
    **{f"r{name}{name}": np.kron(pauli, pauli) for name, pauli in _PAULIS.items()},
}


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A standard gate on qubits, with its angles at each point."""

    name: str
    qubits: tuple[int, ...]
    angles: Angles

    def same(self, other: Step) -> bool:
        """Whether it does the same at every point."""
        alike = (self.name, self.qubits) == (other.name, other.qubits)
        return alike and np.array_equal(self.angles, other.angles)


def ground_states(points: int, qubits: int) -> States:
    """All qubits 0, for each point."""
    states = np.zeros((points, 2**qubits), complex)
    states[:, 0] = 1.0
    return states


def evolved(states: States, steps: Sequence[Step]) -> States:
    """The states after these gates."""
    size = states.shape[1]
    numbers = np.arange(size)
    for step in steps:
        if step.name == "cx":
            states = states[:, numbers ^ ((numbers >> step.qubits[0] & 1) << step.qubits[1])]
        elif step.name == "rz":
            half = 0.5j * step.angles
            states = states * np.where(numbers >> step.qubits[0] & 1, np.exp(half), np.exp(-half))
        elif len(step.qubits) == 1:
            states = _turned(states, step)
        else:
            states = _applied(states, step)
    return states


def _turned(states: States, step: Step) -> States:
    matrix = _matrices(step)
    split = states.reshape(len(states), -1, 2, 2 ** step.qubits[0])
    low, high = split[:, :, 0], split[:, :, 1]
    a, b, c, d = (matrix[:, i, j, None, None] for i in (0, 1) for j in (0, 1))
    together: States = np.stack([a * low + b * high, c * low + d * high], axis=2).reshape(states.shape)
    return together


def _applied(states: States, step: Step) -> States:
    """Any gate: its qubits' axes are brought together, its first qubit the lowest."""
    qubits = int(states.shape[1]).bit_length() - 1
    axes = [qubits - qubit for qubit in reversed(step.qubits)]  # axis 0 is the point, axis 1 the highest qubit
    ends = list(range(1 + qubits - len(axes), 1 + qubits))
    moved = np.moveaxis(states.reshape(len(states), *(2,) * qubits), axes, ends)
    wide = moved.reshape(len(states), -1, 2 ** len(axes))
    out = (wide @ np.swapaxes(_matrices(step), 1, 2)).reshape(moved.shape)
    back: States = np.moveaxis(out, ends, axes).reshape(states.shape)
    return back


def _matrices(step: Step) -> States:
    """The gate's matrix for each point, or one for all."""
    if step.name in _ROTATIONS:
        pauli, half = _ROTATIONS[step.name], step.angles[:, :, None] / 2
        turn: States = np.cos(half) * np.eye(len(pauli)) - 1j * np.sin(half) * pauli
        return turn
    if not step.angles.shape[1]:
        return _fixed(step.name)
    gate = type(_standard()[step.name])
    return np.stack([np.asarray(gate(*row).to_matrix(), complex) for row in step.angles.tolist()])


@cache
def _fixed(name: str) -> States:
    return np.asarray(_standard()[name].to_matrix(), complex)[None]


@cache
def _standard() -> dict[str, Gate]:
    return dict(get_standard_gate_name_mapping())


MOST_QUBITS = 14
_EACH_GATE = 3000.0  # amplitudes that could be worked on while a gate is looked at
_AT_ONCE = 2**21  # amplitudes: 32 MiB
_RESOLUTION = 7  # decimals of a share of a shot: the last bits of the arithmetic must not show


class TooMuch(Exception):
    """It takes more than is simulated here; says what."""


class IdealMachine:
    """Answers rounds as the target would without its errors.

    `work` counts amplitudes that went through a gate, with what a gate takes besides in the same coin: some 10 ns each.
    """

    def __init__(self, target: Target, *, seed: int, most_work: float) -> None:
        self._target = target
        self._generator = np.random.default_rng(seed)
        self._most_work = most_work
        self.work = 0.0

    def measured(self, asked: Sequence[PubDescription], shots: Sequence[int]) -> list[MeasuredPub]:
        """The answers in their order. Raises TooMuch before anything of it is computed."""
        programs = [_steps(each) for each in asked]
        parts = [
            [place for place, _ in part]
            for _, part in itertools.groupby(enumerate(asked), lambda each: (len(each[1].points), _qubits(each[1])))
        ]
        shared = [_shared([programs[place] for place in part]) for part in parts]
        self.work += sum(
            self._cost([(asked[i], programs[i]) for i in part], common)
            for part, common in zip(parts, shared, strict=True)
        )
        if self.work > self._most_work:
            raise TooMuch(f"simulating it further than {self._most_work:.0e} amplitudes through a gate")
        answers: dict[int, MeasuredPub] = {}
        for part, common in zip(parts, shared, strict=True):
            answers |= self._together({i: (asked[i], programs[i], shots[i]) for i in part}, common)
        return [answers[place] for place in range(len(asked))]

    def _cost(self, part: Sequence[tuple[PubDescription, list[Step]]], common: int) -> float:
        first = part[0][0]
        size = len(first.points) * 2.0 ** _qubits(first) + _EACH_GATE
        return size * (common + sum(len(steps) - common for _, steps in part) + len(part))

    def _together(self, part: dict[int, tuple[PubDescription, list[Step], int]], common: int) -> dict[int, MeasuredPub]:
        """PUBs of as many points, whose first gates are computed once."""
        (first, steps, _), *_ = part.values()
        size = 2 ** _qubits(first)
        found: dict[int, list[Counts]] = {place: [] for place in part}
        at_once = max(1, _AT_ONCE // size)
        for start in range(0, len(first.points), at_once):
            rows = slice(start, start + at_once)
            count = len(first.points[rows])
            begun = evolved(ground_states(count, _qubits(first)), _rows(steps[:common], rows))
            for place, (each, own, shots) in part.items():
                states = evolved(begun, _rows(own[common:], rows))
                found[place] += [self._counts(chances, each, shots) for chances in _chances(states, each)]
        return {place: MeasuredPub(part[place][0].points, tuple(counts)) for place, counts in found.items()}

    def _counts(self, chances: NDArray[np.float64], asked: PubDescription, shots: int) -> Counts:
        if self._target.samples:
            drawn = self._generator.multinomial(shots, chances / chances.sum())
        else:
            drawn = _scaled(chances, min(shots, self._target.max_shots))
        bits = len(asked.measured)
        seen = np.flatnonzero(drawn)
        width = (bits + 7) // 8
        outcomes = seen[:, None] >> np.arange(8 * (width - 1), -1, -8) & 0xFF
        counts = Counts(bits, outcomes.astype(np.uint8), drawn[seen], exact=not self._target.samples)
        return spread(counts, asked.measured, asked.num_clbits)


def _steps(asked: PubDescription) -> list[Step]:
    """The circuit's gates. Raises TooMuch for what is no gate before the measurements."""
    if asked.structure is None:
        raise TooMuch(f"a circuit that has {asked.reason.removeprefix('it has ')}")
    if asked.structure.num_qubits > MOST_QUBITS:
        raise TooMuch(f"{asked.structure.num_qubits} qubits, of which {MOST_QUBITS} at most are simulated")
    steps, used, ended = [], 0, set[int]()
    for name, bits, count in asked.structure.instructions:
        if name == "reset" or not ended.isdisjoint(bits if name != "measure" else bits[:1]):
            raise TooMuch("a circuit that measures or resets before its end")
        if name == "measure":
            ended.add(bits[0])
            continue
        steps.append(Step(name, bits, asked.slots[:, used : used + count]))
        used += count
    return steps


def _qubits(asked: PubDescription) -> int:
    assert asked.structure is not None
    return asked.structure.num_qubits


def _shared(programs: Sequence[list[Step]]) -> int:
    """How many gates all of them begin with, at the same angles."""
    rows = itertools.takewhile(lambda row: all(row[0].same(other) for other in row[1:]), zip(*programs, strict=False))
    return sum(1 for _ in rows)


def _rows(steps: Sequence[Step], rows: slice) -> list[Step]:
    return [Step(each.name, each.qubits, each.angles[rows]) for each in steps]


def _chances(states: States, asked: PubDescription) -> NDArray[np.float64]:
    """Probabilities (points, outcomes) over the measured bits, in the order of the description's register."""
    assert asked.structure is not None
    chances: NDArray[np.float64] = np.abs(states) ** 2
    flat = {clbit: place for place, clbit in enumerate(asked.measured)}
    read = {flat[bits[1]]: bits[0] for name, bits, _ in asked.structure.instructions if name == "measure"}
    qubits = asked.structure.num_qubits
    if [read[place] for place in range(len(read))] == list(range(qubits)):
        return chances
    numbers = np.arange(2**qubits)
    outcome = sum((numbers >> qubit & 1) << place for place, qubit in read.items())
    return np.stack([np.bincount(outcome, row, 2 ** len(read)) for row in chances])


def _scaled(chances: NDArray[np.float64], shots: int) -> NDArray[np.int64]:
    """Counts in proportion that sum to the shots, by largest remainder; see `sessions.results.largest_remainder`."""
    shares = np.round(chances / chances.sum() * shots, _RESOLUTION)
    counts: NDArray[np.int64] = np.floor(shares).astype(np.int64)
    by_remainder = np.argsort(counts - shares, kind="stable")
    counts[by_remainder[: shots - int(counts.sum())]] += 1
    return counts
