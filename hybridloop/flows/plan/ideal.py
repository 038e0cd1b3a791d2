"""A machine without errors in this process: a round's circuits in, counts out; sampled, or exact where a target is."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.rounds import Counts, Measured
from hybridloop.flows.plan.states import States, Step, evolved, ground_states
from hybridloop.sessions.programs import Description
from hybridloop.sessions.results import spread
from hybridloop.sessions.targets import Target

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

    def measured(self, asked: Sequence[Description], shots: Sequence[int]) -> list[Measured]:
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
        answers: dict[int, Measured] = {}
        for part, common in zip(parts, shared, strict=True):
            answers |= self._together({i: (asked[i], programs[i], shots[i]) for i in part}, common)
        return [answers[place] for place in range(len(asked))]

    def _cost(self, part: Sequence[tuple[Description, list[Step]]], common: int) -> float:
        first = part[0][0]
        size = len(first.points) * 2.0 ** _qubits(first) + _EACH_GATE
        return size * (common + sum(len(steps) - common for _, steps in part) + len(part))

    def _together(self, part: dict[int, tuple[Description, list[Step], int]], common: int) -> dict[int, Measured]:
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
        return {place: Measured(part[place][0].points, tuple(counts)) for place, counts in found.items()}

    def _counts(self, chances: NDArray[np.float64], asked: Description, shots: int) -> Counts:
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


def _steps(asked: Description) -> list[Step]:
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


def _qubits(asked: Description) -> int:
    assert asked.structure is not None
    return asked.structure.num_qubits


def _shared(programs: Sequence[list[Step]]) -> int:
    """How many gates all of them begin with, at the same angles."""
    rows = itertools.takewhile(lambda row: all(row[0].same(other) for other in row[1:]), zip(*programs, strict=False))
    return sum(1 for _ in rows)


def _rows(steps: Sequence[Step], rows: slice) -> list[Step]:
    return [Step(each.name, each.qubits, each.angles[rows]) for each in steps]


def _chances(states: States, asked: Description) -> NDArray[np.float64]:
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
