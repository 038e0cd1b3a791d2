"""A quantum program as values, whatever format it came in: gates, measurements, and what is put out."""

from __future__ import annotations

from dataclasses import dataclass

MEASURE = "measure"
RESET = "reset"
BARRIER = "barrier"


class Unrunnable(Exception):
    """A job's input can't be run: `code` and `message` become its errorData."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Operation:
    """One instruction: a gate by its Qiskit name, `measure` (into `result`), or `reset`. Angles in radians.

    It is done only if all `conditions` hold, each a result that was measured before and the value that it must have.
    """

    name: str
    qubits: tuple[int, ...]
    angles: tuple[float, ...] = ()
    result: int | None = None
    conditions: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Recorded:
    """The outcome bit of one result."""

    result: int


@dataclass(frozen=True, slots=True)
class RecordedList:
    """Outputs in a list; `is_tuple` for a tuple."""

    items: tuple[Output, ...]
    is_tuple: bool = False


Output = Recorded | RecordedList


@dataclass(frozen=True, slots=True)
class Register:
    """A named row of bits; `results[i]` is the result of bit i."""

    name: str
    results: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """A program without loops; `declared_qubits` is what it says it needs, at least what it uses.

    `registers` are there where the format puts its results out by register.
    """

    operations: tuple[Operation, ...]
    output: Output
    declared_qubits: int
    num_results: int
    registers: tuple[Register, ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """What came out of a run: distinct outcomes, how often each, and which one each shot saw.

    An outcome is an integer whose bit r is result r. `shots[i]` is the index into `outcomes` of shot i.
    """

    outcomes: tuple[int, ...]
    counts: tuple[int, ...]
    shots: tuple[int, ...]


def without_idle_resets(operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
    """The operations without resets that nobody can notice: on a fresh qubit, or after its last use."""
    kept: list[Operation] = []
    used_later: set[int] = set()
    for operation in reversed(operations):
        if operation.name != RESET or operation.qubits[0] in used_later:
            kept.append(operation)
            used_later.update(operation.qubits)
    kept.reverse()
    touched: set[int] = set()
    result: list[Operation] = []
    for operation in kept:
        if operation.name == RESET and operation.qubits[0] not in touched:
            continue
        touched.update(operation.qubits)
        result.append(operation)
    return tuple(result)


def measures_only_at_the_end(operations: tuple[Operation, ...]) -> bool:
    """Whether no qubit is used after its measurement, no result is written twice, nothing is reset or conditional."""
    measured: set[int] = set()
    written: set[int | None] = set()
    for operation in operations:
        if operation.name == RESET or operation.conditions or not measured.isdisjoint(operation.qubits):
            return False
        if operation.name == MEASURE:
            if operation.result in written:
                return False
            measured.update(operation.qubits)
            written.add(operation.result)
    return True
