"""Intermediate representation of a program with control flow, and the machine that executes its classical part.

The reader `formats.adaptive_qir` produces it. `Machine` runs everything but quantum instructions, which it returns one
by one: so the simulator sees each path through the program as a circuit.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from graphlib import TopologicalSorter

from hybridloop.emulator.model.program import MEASURE, Instruction, JobInputError, Output

_MAX_CALLS = 1000  # of functions inside each other
MAX_STEPS = 1_000_000  # classical and quantum operations of one shot: a second; a loop that runs on is stopped here

Number = bool | int | float
Registers = tuple[int, ...]  # numbers of registers


class OutputKind(enum.StrEnum):
    """Kinds of recorded outputs, as in the names of QIR's functions."""

    RESULT = "result"
    BOOL = "bool"
    INT = "int"
    DOUBLE = "double"


@dataclass(frozen=True, slots=True)
class Assign:
    """Register `target` becomes `compute` of the values of the operands' registers."""

    target: int
    compute: Callable[..., int | float]
    operands: Registers


@dataclass(frozen=True, slots=True)
class Load:
    """Register `target` becomes the word of memory at the address in a register."""

    target: int
    address: int


@dataclass(frozen=True, slots=True)
class Store:
    """The word of memory at the address in a register becomes a register's value."""

    value: int
    address: int


@dataclass(frozen=True, slots=True)
class ReadResult:
    """Register `target` becomes the result whose number is in register `result`."""

    target: int
    result: int


@dataclass(frozen=True, slots=True)
class Record:
    """Append a value to the shot's output; for a result, the register has its number."""

    kind: OutputKind
    operand: int


@dataclass(frozen=True, slots=True)
class Quantum:
    """A gate, measurement, reset or barrier whose operands are in registers."""

    name: str
    qubits: Registers
    angles: Registers = ()
    result: int | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """Call of the function that begins at `block`; `target` takes the value that it returns."""

    block: int
    arguments: Registers
    parameters: Registers
    target: int | None


@dataclass(frozen=True, slots=True)
class Jump:
    """Go to a block."""

    block: int


@dataclass(frozen=True, slots=True)
class Switch:
    """Go to the block of the value in a register; a branch has the cases 1 and 0."""

    value: int
    cases: Mapping[int, int]
    default: int


@dataclass(frozen=True, slots=True)
class Return:
    """End the function; `operand` is the register of its value."""

    operand: int | None


Operation = Assign | Load | Store | ReadResult | Record | Quantum | Call


@dataclass(frozen=True, slots=True)
class Block:
    """A basic block. `phis` has, by the block before it, the pairs of register to set and register to read."""

    phis: Mapping[int, Sequence[tuple[int, int]]]
    operations: Sequence[Operation]
    end: Jump | Switch | Return

    @property
    def successors(self) -> tuple[int, ...]:
        """The blocks that control may go to from its end, which may be named twice."""
        if isinstance(self.end, Return):
            return ()
        return (self.end.block,) if isinstance(self.end, Jump) else (*self.end.cases.values(), self.end.default)


class Feature(enum.StrEnum):
    """Features beyond integers and forward branches, as error messages name them."""

    LOOPS = "loops"
    FUNCTIONS = "calls of functions"
    MEMORY = "variables in memory"
    FLOATS = "computed floating-point numbers"


@dataclass(frozen=True, slots=True)
class AdaptiveProgram:
    """A program of the adaptive profile; it starts at block `start`.

    `registers` and `memory` are the values at the start, which include all constants. The leaves of `output` are
    positions in the list of a shot's recorded values, whose kinds are `kinds`. `constants` are the registers that are
    never set.
    """

    blocks: tuple[Block, ...]
    start: int
    registers: tuple[int | float, ...]
    memory: tuple[int | float, ...]
    output: Output
    kinds: tuple[OutputKind, ...]
    declared_qubits: int
    num_results: int
    features: frozenset[Feature]
    constants: frozenset[int]

    @property
    def quantum_operations(self) -> list[Quantum]:
        return [each for block in self.blocks for each in block.operations if isinstance(each, Quantum)]

    @property
    def num_operations(self) -> int:
        return sum(1 + len(block.operations) for block in self.blocks)


def on_all_paths(program: AdaptiveProgram) -> list[Instruction] | None:
    """Return the instructions on all code paths: of both sides of a branch, and of a function at each of its calls.

    None for a program with loops, which only its execution unrolls, or with too many steps. A qubit whose number is
    computed has that of the start.
    """
    if Feature.LOOPS in program.features:
        return None
    unrolled: list[Instruction] = []
    steps = 0
    operations = cache(partial(_operations, program))
    waiting = [iter(operations(program.start))]  # of the functions around, the innermost last
    while waiting:
        operation = next(waiting[-1], None)
        steps += 1
        if steps > MAX_STEPS or len(waiting) > _MAX_CALLS:
            return None
        if operation is None:
            waiting.pop()
        elif isinstance(operation, Call):
            waiting.append(iter(operations(operation.block)))
        elif isinstance(operation, Quantum):
            qubits = tuple(int(program.registers[each]) for each in operation.qubits)
            unrolled.append(Instruction(operation.name, qubits, result=operation.result))
    return unrolled


def _operations(program: AdaptiveProgram, start: int) -> list[Operation]:
    """Return the operations of a function, in an order in which control can pass."""
    return [operation for number in _in_order(program, start) for operation in program.blocks[number].operations]


def _in_order(program: AdaptiveProgram, start: int) -> list[int]:
    """Return the blocks that control can reach from one without a call, each after those before it."""
    following: dict[int, tuple[int, ...]] = {}
    waiting = [start]
    while waiting:
        number = waiting.pop()
        if number not in following:
            following[number] = program.blocks[number].successors
            waiting += following[number]
    return list(TopologicalSorter(following).static_order())[::-1]


@dataclass(frozen=True, slots=True)
class ValueOutcomes:
    """Recorded values of all shots: the distinct ones, the count of each, and every shot's index into `outcomes`."""

    outcomes: tuple[tuple[Number, ...], ...]
    counts: tuple[int, ...]
    shots: tuple[int, ...]


class Machine:
    """Classical state of one path through a program: registers, memory, results, and the position.

    It takes at most `max_steps` steps.
    """

    __slots__ = (
        "_block", "_calls", "_max_steps", "_memory", "_position", "_program", "_registers", "_steps", "outputs",
        "results",
    )  # fmt: skip

    def __init__(self, program: AdaptiveProgram, max_steps: int = MAX_STEPS) -> None:
        self._max_steps = max_steps
        self._program = program
        self._registers = list(program.registers)
        self._memory = list(program.memory)
        self._calls: list[tuple[int, int, int | None]] = []
        self._block, self._position, self._steps = program.start, 0, 0
        self.results = [0] * program.num_results
        self.outputs: list[Number] = []

    def copy(self) -> Machine:
        """Return an independent machine in the same state."""
        other = Machine.__new__(Machine)
        other._program, other._max_steps = self._program, self._max_steps
        other._registers, other._memory, other._calls = self._registers[:], self._memory[:], self._calls[:]
        other._block, other._position, other._steps = self._block, self._position, self._steps
        other.results, other.outputs = self.results[:], self.outputs[:]
        return other

    def next_instruction(self) -> Instruction | None:
        """Run up to the next quantum instruction and return it; None at the program's end.

        The caller puts a measurement's result into `results` before the next call. Raises JobInputError for an operand
        that is out of range, an invalid operation, or too many steps.
        """
        while True:
            block = self._program.blocks[self._block]
            self._steps += 1
            if self._steps > self._max_steps:
                problem = f"a shot takes more than {self._max_steps:,} steps; the program may loop without an end"
                raise JobInputError("RuntimeError", problem)
            if self._position == len(block.operations):
                if not self._follow(block.end):
                    return None
                continue
            operation = block.operations[self._position]
            self._position += 1
            if isinstance(operation, Quantum):
                return self._instruction(operation)
            self._execute(operation)

    def _execute(self, operation: Assign | Load | Store | ReadResult | Record | Call) -> None:
        registers = self._registers
        match operation:
            case Assign(target, compute, operands):
                try:
                    registers[target] = compute(*(registers[each] for each in operands))
                except (ArithmeticError, ValueError) as error:
                    raise JobInputError("RuntimeError", f"the program can't compute a number: {error}") from error
            case Load(target, address):
                registers[target] = self._memory[self._index(address, len(self._memory), "an address in memory")]
            case Store(value, address):
                self._memory[self._index(address, len(self._memory), "an address in memory")] = registers[value]
            case ReadResult(target, result):
                registers[target] = self.results[self._index(result, len(self.results), "the number of a result")]
            case Record(kind, operand):
                self.outputs.append(self._recorded(kind, operand))
            case Call(first, arguments, parameters, target):
                values = [registers[each] for each in arguments]
                for parameter, argument in zip(parameters, values, strict=True):
                    registers[parameter] = argument
                self._calls.append((self._block, self._position, target))
                self._block, self._position = first, 0

    def _recorded(self, kind: OutputKind, operand: int) -> Number:
        if kind is OutputKind.RESULT:
            return self.results[self._index(operand, len(self.results), "the number of a result")]
        value = self._registers[operand]
        return bool(value) if kind is OutputKind.BOOL else value

    def _follow(self, end: Jump | Switch | Return) -> bool:
        """Go where a block's end leads; False at the end of the entry point."""
        if isinstance(end, Return):
            if not self._calls:
                return False
            self._block, self._position, returned = self._calls.pop()
            if returned is not None and end.operand is not None:
                self._registers[returned] = self._registers[end.operand]
            return True
        block = end.block if isinstance(end, Jump) else end.cases.get(int(self._registers[end.value]), end.default)
        # all phis read before one is set
        phis = self._program.blocks[block].phis.get(self._block, ())
        values = [self._registers[source] for _, source in phis]
        for (register, _), value in zip(phis, values, strict=True):
            self._registers[register] = value
        self._block, self._position = block, 0
        return True

    def _instruction(self, operation: Quantum) -> Instruction:
        qubits = tuple(self._index(each, self._program.declared_qubits, "a qubit") for each in operation.qubits)
        if len(set(qubits)) != len(qubits):
            raise JobInputError("RuntimeError", f"the gate {operation.name} acts on qubit {qubits[0]} twice")
        result = None
        if operation.name == MEASURE and operation.result is not None:
            result = self._index(operation.result, len(self.results), "the number of a result")
        return Instruction(operation.name, qubits, tuple(self._registers[each] for each in operation.angles), result)

    def _index(self, register: int, size: int, noun: str) -> int:
        index = int(self._registers[register])
        if not 0 <= index < size:
            raise JobInputError("RuntimeError", f"{noun} is {index} at run time, and the program has {size}")
        return index
