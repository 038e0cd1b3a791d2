"""Choice of Aer's simulation method for a program, with the memory that it takes, before anything is allocated."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

from hybridloop.emulator.model.program import MEASURE, RESET, Instruction, has_only_final_measurements

MAX_DISTRIBUTION_BITS = 20  # above, Aer runs every shot instead of computing 2^n probabilities
MAX_DENSITY_MATRIX_QUBITS = 8  # 50 ms for 100 gates; above, running every shot is faster
MIN_STABILIZER_QUBITS = 21  # below, a state vector is as fast and gives the probabilities at once

CLIFFORD_GATES = frozenset("x y z h s sdg sx sxdg id cx cy cz swap barrier".split())
ROTATIONS = frozenset(("rx", "ry", "rz"))  # Clifford at multiples of a quarter turn


class SimulationMethod(enum.StrEnum):
    """Aer's simulation methods that are used here, by its names."""

    STATEVECTOR = "statevector"
    DENSITY_MATRIX = "density_matrix"
    STABILIZER = "stabilizer"


@dataclass(frozen=True, slots=True)
class SimulationSetup:
    """A simulation's method and input. `qubits` numbers the used qubits without gaps.

    `results` are the results in the order of their measurements. With `computes_distribution` all probabilities are
    computed once and shots are drawn from them; without, Aer runs every shot.
    """

    method: SimulationMethod
    computes_distribution: bool
    instructions: tuple[Instruction, ...]
    qubits: dict[int, int]
    results: tuple[int, ...]

    @property
    def required_bytes(self) -> int:
        """Memory of the simulation: 16 bytes an amplitude, and 40 for each probability of a distribution."""
        if self.method is SimulationMethod.STABILIZER:
            return len(self.qubits) ** 2
        width = len(self.qubits) * (2 if self.method is SimulationMethod.DENSITY_MATRIX else 1)
        return (16 << width) + (40 << len(self.results) if self.computes_distribution else 0)


def choose_method(instructions: Sequence[Instruction], *, exact: bool, noisy: bool) -> SimulationSetup:
    """Return the setup for simulating the instructions; `exact` asks for the distribution, not for a sample of it."""
    # properties of the program
    program = tuple(instructions)
    used = sorted({qubit for instruction in program for qubit in instruction.qubits})
    qubits = {qubit: index for index, qubit in enumerate(used)}
    results = tuple(i.result for i in program if i.name == MEASURE and i.result is not None)
    measures_last = has_only_final_measurements(program)
    is_clifford = all(_is_clifford(instruction) for instruction in program)
    # with noise: a density matrix if it is small enough, else shot by shot
    if noisy:
        is_small = measures_last and len(qubits) <= MAX_DENSITY_MATRIX_QUBITS
        shot_method = SimulationMethod.STABILIZER if is_clifford else SimulationMethod.STATEVECTOR
        method = SimulationMethod.DENSITY_MATRIX if is_small else shot_method
        return SimulationSetup(method, is_small, program, qubits, results)
    # without noise: stabilizers for wide Clifford circuits, else a state vector
    if is_clifford and len(qubits) >= MIN_STABILIZER_QUBITS:
        return SimulationSetup(SimulationMethod.STABILIZER, exact and measures_last, program, qubits, results)
    computes_distribution = measures_last and (exact or len(results) <= MAX_DISTRIBUTION_BITS)
    return SimulationSetup(SimulationMethod.STATEVECTOR, computes_distribution, program, qubits, results)


def _is_clifford(instruction: Instruction) -> bool:
    if instruction.name in ROTATIONS:
        quarters = instruction.angles[0] / (math.pi / 2)
        return abs(quarters - round(quarters)) < 1e-12
    return instruction.name in CLIFFORD_GATES or instruction.name in (MEASURE, RESET)
