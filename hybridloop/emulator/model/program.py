"""Intermediate representation of a quantum program: gates, measurements, resets, and the output that it records.

The readers in `formats` produce it from every input format; the simulator and the bill read it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MEASURE = "measure"
RESET = "reset"
BARRIER = "barrier"


class JobInputError(Exception):
    """A job cannot be executed; `code` and `message` become its errorData.

    Mostly its input is invalid, unsupported or too large; in rare cases Aer itself failed.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Instruction:
    """A gate by its Qiskit name, `measure` (into `result`), `reset` or `barrier`. Angles in radians.

    It is executed only if all `conditions` hold. A condition is an earlier result's number and its required value.
    """

    name: str
    qubits: tuple[int, ...]
    angles: tuple[float, ...] = ()
    result: int | None = None
    conditions: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class OutputList:
    """A list of outputs, or a tuple of them if `is_tuple`."""

    items: tuple[Output, ...]
    is_tuple: bool = False


Output = int | OutputList  # an int is the number of a result, whose value is one bit of the output


@dataclass(frozen=True, slots=True)
class Register:
    """A named register of classical bits; `results[i]` is the result that bit i holds."""

    name: str
    results: tuple[int, ...]


MAX_INSTRUCTIONS = 500_000  # of a program whose text stands for more: gate definitions, whole registers


@dataclass(frozen=True, slots=True)
class Program:
    """A program without loops. `declared_qubits` is at least the number of qubits that it uses.

    `registers` is filled by formats that return their results by register.
    """

    instructions: tuple[Instruction, ...]
    output: Output
    declared_qubits: int
    num_results: int
    registers: tuple[Register, ...] = ()


@dataclass(frozen=True, slots=True)
class ShotOutcomes:
    """Outcomes of all shots: the distinct outcomes, the count of each, and every shot's index into `outcomes`.

    An outcome is an integer whose bit r is result r.
    """

    outcomes: tuple[int, ...]
    counts: tuple[int, ...]
    shots: tuple[int, ...]


def remove_redundant_resets(instructions: tuple[Instruction, ...]) -> tuple[Instruction, ...]:
    """Drop resets that change nothing: those of an unused qubit, and those after a qubit's last use."""
    # backwards, the resets before a qubit's other uses are those after its last use
    kept = _without_leading_resets(reversed(instructions))
    return tuple(_without_leading_resets(reversed(kept)))


def _without_leading_resets(instructions: Iterable[Instruction]) -> list[Instruction]:
    """Drop the resets of qubits that no earlier instruction uses."""
    used: set[int] = set()
    kept: list[Instruction] = []
    for instruction in instructions:
        if instruction.name != RESET or instruction.qubits[0] in used:
            kept.append(instruction)
            used.update(instruction.qubits)
    return kept


def has_only_final_measurements(instructions: tuple[Instruction, ...]) -> bool:
    """Return True if measurements come last: no measured qubit is used again and no result is written twice.

    A reset or a conditional instruction makes it False.
    """
    measured: set[int] = set()
    written: set[int | None] = set()
    for instruction in instructions:
        if instruction.name == RESET or instruction.conditions or not measured.isdisjoint(instruction.qubits):
            return False
        if instruction.name == MEASURE:
            if instruction.result in written:
                return False
            measured.update(instruction.qubits)
            written.add(instruction.result)
    return True
