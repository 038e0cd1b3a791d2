"""Simulation of programs with control flow: shots that have met the same outcomes and faults share one path.

A path is the classical state of the program, the state of its qubits, and a number of shots. At a measurement the
shots of both outcomes are drawn from a binomial distribution, and the path splits. A fault of the noise model splits
it in the same way. So the work grows with the number of different histories, not with the shots.

The noise is that of `noise.py`: a depolarizing error of strength r is a Pauli operator other than the identity with
the chance r·(d² - 1)/d², each with the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from hybridloop.emulator.model.adaptive_program import (
    AdaptiveProgram,
    Feature,
    Machine,
    Number,
    ValueOutcomes,
    on_all_paths,
)
from hybridloop.emulator.model.billing import Usage, count_instructions
from hybridloop.emulator.model.program import BARRIER, MEASURE, RESET, Instruction, remove_redundant_resets
from hybridloop.emulator.simulation.noise import Noise
from hybridloop.emulator.simulation.stabilizer_state import StabilizerState, clifford_steps
from hybridloop.emulator.simulation.state_vector import StateVector

MIN_STABILIZER_QUBITS = 21  # below, amplitudes are as fast

_PAULIS = ("id", "x", "y", "z")
_X = 1  # of these


@dataclass(frozen=True, slots=True)
class _Projection:
    """Step of a path: its qubit was measured; a reset flips it back to 0."""

    qubit: int
    bit: int
    resets: bool


@dataclass(frozen=True, slots=True)
class _Fault:
    """Step of a path: a fault may strike these qubits, with that chance."""

    qubits: tuple[int, ...]
    chance: float


@dataclass(frozen=True, slots=True)
class _Pauli:
    """Step of a path: a Pauli operator on each qubit, by its number in `_PAULIS`."""

    qubits: tuple[int, ...]
    operators: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _ReadoutFlip:
    """Step of a path: a result may be flipped, with the chance that a 0 or a 1 has."""

    result: int
    chances: tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Preparation:
    """Step of a path: a qubit was prepared, and may be flipped with that chance."""

    qubit: int
    chance: float


_Step = Instruction | _Projection | _Fault | _Pauli | _ReadoutFlip | _Preparation


@dataclass(slots=True)
class _Path:
    """Shots with the same history. `steps` are those before the next instruction, the next one last.

    Bit k of `used` and `reset` is set if qubit k was used, and if a reset followed.
    """

    machine: Machine
    state: StateVector | StabilizerState
    shots: int
    steps: list[_Step]
    used: int = 0
    reset: int = 0


def required_bytes(program: AdaptiveProgram, shots: int, *, noisy: bool) -> int:
    """Return the memory of a simulation at most: the states of the paths that wait, and three in work.

    The path with the fewest shots is followed first, so that at most log2(shots) states wait.
    """
    splits = sum(noisy or each.name in (MEASURE, RESET) for each in program.quantum_operations)
    repeats = Feature.LOOPS in program.features or Feature.FUNCTIONS in program.features
    depth = math.ceil(math.log2(shots)) if shots > 1 else 0
    qubits = program.declared_qubits
    state_bytes = 5 * qubits**2 if _takes_stabilizers(program) else 16 << qubits
    return (3 + (depth if repeats else min(depth, splits))) * state_bytes


def _takes_stabilizers(program: AdaptiveProgram) -> bool:
    return program.declared_qubits >= MIN_STABILIZER_QUBITS and has_clifford_gates(program)


def has_clifford_gates(program: AdaptiveProgram) -> bool:
    """Return True for a program of Clifford gates alone; a computed angle is taken for none."""
    gates = (each for each in program.quantum_operations if each.name not in (MEASURE, RESET, BARRIER))
    constants = program.constants
    return all(
        constants.issuperset(gate.angles)
        and clifford_steps(gate.name, [program.registers[each] for each in gate.angles]) is not None
        for gate in gates
    )


def run_adaptive(
    program: AdaptiveProgram, *, shots: int, seed: int, noise: Noise | None
) -> tuple[ValueOutcomes, Usage]:
    """Return the recorded values of `shots` shots, and the usage: of all code paths, as Quantinuum bills it.

    For a program with loops it is what a shot executes on average, rounded up. Raises JobInputError where the program
    fails at run time.
    """
    simulation = _Simulation(noise, np.random.default_rng(seed))
    steps = simulation.preparations(range(program.declared_qubits))
    kind = StabilizerState if _takes_stabilizers(program) else StateVector
    simulation.waiting.append(_Path(Machine(program), kind.ground(program.declared_qubits), shots, steps))
    counts: dict[tuple[Number, ...], int] = {}
    while simulation.waiting:
        path = simulation.waiting.pop()
        simulation.follow(path)
        outcome = tuple(path.machine.outputs)
        counts[outcome] = counts.get(outcome, 0) + path.shots
    order = np.repeat(np.arange(len(counts)), list(counts.values()))
    drawn = tuple(simulation.rng.permutation(order).tolist())
    if (unrolled := on_all_paths(program)) is not None:
        usage = count_instructions(remove_redundant_resets(tuple(unrolled)), program.declared_qubits, shots)
    else:
        one_qubit, two_qubit, measurements, resets = (-(-total // shots) for total in simulation.totals)
        usage = Usage(one_qubit, two_qubit, program.declared_qubits, measurements, resets, shots)
    return ValueOutcomes(tuple(counts), tuple(counts.values()), drawn), usage


class _Simulation:
    """Paths that wait, and the operations that all shots together have executed."""

    def __init__(self, noise: Noise | None, rng: np.random.Generator) -> None:
        self._noise = noise or Noise(0.0, 0.0, 0.0)
        self.rng = rng
        self.waiting: list[_Path] = []
        self.totals = [0, 0, 0, 0]  # one-qubit gates, two-qubit gates, measurements, resets

    def preparations(self, qubits: Iterable[int]) -> list[_Step]:
        """Return the steps of preparing qubits; none without such errors."""
        chance = self._noise.preparation
        return [_Preparation(qubit, chance) for qubit in qubits] if chance else []

    def follow(self, path: _Path) -> None:
        """Follow a path to the program's end; the shots that part from it wait as paths of their own."""
        while True:
            if not path.steps:
                instruction = path.machine.next_instruction()
                if instruction is None:
                    return
                path.steps.append(instruction)
            step = path.steps.pop()
            match step:
                case Instruction():
                    self._count(path, step)
                    if step.name in (MEASURE, RESET):
                        self._measure(path, step)
                    else:
                        self._apply(path, step)
                case _Projection(qubit, bit, resets):
                    path.state = path.state.projected(qubit, bit)
                    if resets and bit:
                        path.state = path.state.after_gate("x", (), (qubit,))
                case _Fault(qubits, chance):
                    self._strike(path, qubits, chance)
                case _Pauli(qubits, operators):
                    for qubit, operator in zip(qubits, operators, strict=True):
                        if operator:
                            path.state = path.state.after_gate(_PAULIS[operator], (), (qubit,))
                case _Preparation(qubit, chance):
                    flipped = int(self.rng.binomial(path.shots, chance))
                    self._split(path, [path.shots - flipped, flipped], [[], [_Pauli((qubit,), (_X,))]])
                case _ReadoutFlip(result, chances):
                    value = path.machine.results[result]
                    flipped = int(self.rng.binomial(path.shots, chances[value]))
                    self._split(path, [path.shots - flipped, flipped], [[], []], result, [value, 1 - value])

    def _count(self, path: _Path, instruction: Instruction) -> None:
        """Count an instruction for all shots; a reset counts when its qubit is used again, as providers drop others."""
        mask = sum(1 << qubit for qubit in instruction.qubits)
        if instruction.name == RESET:
            path.reset |= path.used & mask
            return
        self.totals[3] += path.shots * (path.reset & mask).bit_count()
        path.used, path.reset = path.used | mask, path.reset & ~mask
        width = len(instruction.qubits)
        if instruction.name == MEASURE:
            self.totals[2] += path.shots
        elif width:
            self.totals[0 if width == 1 else 1] += path.shots * (1 if width <= 2 else 6 * (width - 2))

    def _apply(self, path: _Path, gate: Instruction) -> None:
        """Apply a gate; beyond two qubits its noise is that of a two-qubit gate on each pair of neighbours."""
        if gate.name == BARRIER:
            return
        path.state = path.state.after_gate(gate.name, gate.angles, gate.qubits)
        width = len(gate.qubits)
        if width == 1 and self._noise.one_qubit:
            path.steps.append(_Fault(gate.qubits, self._noise.one_qubit * 3 / 4))
        if width > 1 and self._noise.two_qubit:
            faults = [_Fault(pair, self._noise.two_qubit * 15 / 16) for pair in pairwise(gate.qubits)]
            path.steps += reversed(faults)

    def _measure(self, path: _Path, instruction: Instruction) -> None:
        """Draw how many shots measure 1; a reset is a measurement without a result, and a flip."""
        (qubit,) = instruction.qubits
        chance = path.state.probability_of_one(qubit)
        if instruction.result is not None and any(self._noise.flips):
            path.steps.append(_ReadoutFlip(instruction.result, self._noise.flips))
        if instruction.name == RESET:
            path.steps += self.preparations(instruction.qubits)
        ones = int(self.rng.binomial(path.shots, chance))
        projections: list[list[_Step]] = [
            [] if chance == 0.0 else [_Projection(qubit, 0, instruction.name == RESET)],
            [_Projection(qubit, 1, instruction.name == RESET)],
        ]
        self._split(path, [path.shots - ones, ones], projections, instruction.result, [0, 1])

    def _strike(self, path: _Path, qubits: tuple[int, ...], chance: float) -> None:
        """Draw the shots that each Pauli operator strikes."""
        struck = int(self.rng.binomial(path.shots, chance))
        if not struck:
            return
        kinds = 4 ** len(qubits) - 1
        drawn = self.rng.multinomial(struck, [1 / kinds] * kinds).tolist()
        steps: list[list[_Step]] = [[]]
        for number in range(1, kinds + 1):
            operators = tuple(number >> 2 * position & 3 for position in range(len(qubits)))
            steps.append([_Pauli(qubits, operators)])
        self._split(path, [path.shots - struck, *drawn], steps)

    def _split(
        self,
        path: _Path,
        counts: Sequence[int],
        steps: Sequence[list[_Step]],
        result: int | None = None,
        values: Sequence[int] = (),
    ) -> None:
        """Divide a path's shots; each part has its own next steps and, if a result is named, its value.

        The smallest part goes on as `path`; the others wait, the largest longest.
        """
        parts = sorted((number for number, count in enumerate(counts) if count), key=lambda number: counts[number])
        for number in reversed(parts):
            is_last = number == parts[0]
            part = path if is_last else replace(path, machine=path.machine.copy(), steps=list(path.steps))
            part.shots = counts[number]
            part.steps += steps[number]
            if result is not None:
                part.machine.results[result] = values[number]
            if not is_last:
                self.waiting.append(part)
