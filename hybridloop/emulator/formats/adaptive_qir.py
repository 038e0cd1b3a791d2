"""Parser for QIR of the adaptive profile: branches, arithmetic, loops, functions, arrays, and outputs of any type.

LLVM parses and verifies the text or bitcode (through pyqir); here its instructions become an `AdaptiveProgram`.
Outputs must be recorded once in every shot.
"""

from __future__ import annotations

import graphlib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import pyqir

from hybridloop.emulator.formats.control_flow import OutputEntry, has_loop, recorded_output
from hybridloop.emulator.formats.gates import GATE_SIZES
from hybridloop.emulator.formats.llvm_arithmetic import (
    FLOAT_OPERATIONS,
    conversion,
    float_comparison,
    integer_comparison,
    integer_operation,
    wrap,
)
from hybridloop.emulator.formats.qir_functions import (
    GATES,
    INVALID_QIR,
    MAX_INDEX,
    MEASUREMENTS,
)
from hybridloop.emulator.model.adaptive_program import (
    AdaptiveProgram,
    Assign,
    Block,
    Call,
    Feature,
    Jump,
    Load,
    Operation,
    OutputKind,
    Quantum,
    ReadResult,
    Record,
    Return,
    Store,
    Switch,
)
from hybridloop.emulator.model.program import BARRIER, MEASURE, RESET, JobInputError

MAX_MEMORY_WORDS = 2**16
READ_RESULT = frozenset(("__quantum__rt__read_result", "__quantum__qis__read_result__body"))
_GEP_TYPE = re.compile(r"getelementptr (?:\w+ ){0,5}?((?:\[\d+ x )*\w+\]*), ")
_POINTER = re.compile(r"ptr (?:null|inttoptr \(i64 (-?\d+) to ptr\))")
_ARRAY = re.compile(r"\[(\d+) x ")


def parse_adaptive_qir(data: str | bytes) -> AdaptiveProgram:
    """Parse LLVM text or bitcode. Raises JobInputError if it is invalid or cannot be run."""
    load = pyqir.Module.from_ir if isinstance(data, str) else pyqir.Module.from_bitcode
    try:
        module = load(pyqir.Context(), data)
        problem = module.verify()
    except (ValueError, RuntimeError) as error:
        raise _invalid(f"LLVM can't read it: {error}") from error
    if problem is not None:
        raise _invalid(f"LLVM finds it invalid: {problem}")
    return _Reader(module).program()


def _invalid(problem: str) -> JobInputError:
    return JobInputError(INVALID_QIR, problem)


def _type_words(kind: pyqir.Type) -> int:
    """Return the words of memory of a type: one for each number or pointer in it."""
    words = 1
    while isinstance(kind, pyqir.ArrayType):
        words, kind = words * kind.count, kind.element
        if words > MAX_MEMORY_WORDS:
            raise _invalid(f"its arrays have more than {MAX_MEMORY_WORDS} elements")
    if isinstance(kind, pyqir.StructType):
        raise _invalid("structures in memory are not supported")
    return words


def _width(kind: pyqir.Type) -> int:
    """Return the bits of an integer or pointer; 0 for a double."""
    if isinstance(kind, pyqir.IntType):
        return int(kind.width)
    return 64 if isinstance(kind, pyqir.PointerType) else 0


@dataclass(slots=True)
class _Reader:
    """Translation of a module; registers and blocks are numbered over all its functions."""

    module: pyqir.Module
    registers: list[int | float] = field(default_factory=list)
    memory: list[int | float] = field(default_factory=list)
    named: dict[pyqir.Value, int] = field(default_factory=dict)  # a variable's register
    constants: dict[tuple[str, int | float], int] = field(default_factory=dict)  # a constant's register
    globals: dict[str, int] = field(default_factory=dict)  # a global array's address
    block_numbers: dict[pyqir.BasicBlock, int] = field(default_factory=dict)
    records: dict[int, list[OutputEntry]] = field(default_factory=dict)  # by block
    features: set[Feature] = field(default_factory=set)

    def program(self) -> AdaptiveProgram:
        # the functions, with the entry point first
        functions = [function for function in self.module.functions if function.basic_blocks]
        marked = [function for function in functions if pyqir.is_entry_point(function)] or functions
        if len(marked) != 1:
            raise _invalid(f"the input must be QIR with one entry point; {len(marked)} were found")
        entry = marked[0]
        if entry.params:
            raise _invalid(f"the entry point {entry.name} takes arguments, which this service can't give")
        defined = {function.name: function for function in functions}
        self._check_recursion(defined)
        for function in functions:
            for block in function.basic_blocks:
                self.block_numbers[block] = len(self.block_numbers)
        # global arrays, then the blocks
        self._read_globals()
        blocks = {
            self.block_numbers[block]: self._block(block, defined)
            for function in functions
            for block in function.basic_blocks
        }
        ordered = tuple(blocks[number] for number in range(len(blocks)))
        # outputs, and the numbers of qubits and results
        start = self.block_numbers[entry.basic_blocks[0]]
        output, kinds = recorded_output(ordered, start, self.records)
        qubits, results = self._required(ordered, entry)
        return AdaptiveProgram(
            blocks=ordered,
            start=start,
            registers=tuple(self.registers),
            memory=tuple(self.memory),
            output=output,
            kinds=kinds,
            declared_qubits=qubits,
            num_results=results,
            constants=frozenset(self.constants.values()),
            features=frozenset(self.features | ({Feature.LOOPS} if has_loop(ordered) else set())),
        )

    def _check_recursion(self, defined: Mapping[str, pyqir.Function]) -> None:
        calls = {
            name: {
                each.callee.name
                for block in function.basic_blocks
                for each in block.instructions
                if isinstance(each, pyqir.Call) and each.callee.name in defined
            }
            for name, function in defined.items()
        }
        try:
            graphlib.TopologicalSorter(calls).prepare()
        except graphlib.CycleError as error:
            raise _invalid(f"the function {error.args[1][0]} calls itself, which the profile does not allow") from error

    def _read_globals(self) -> None:
        """Give each global array that is no label its address; then write the arrays, which may name one another."""
        arrays = []
        for variable in self.module.global_variables:
            value = variable.initializer
            if value is None or not isinstance(value.type, pyqir.ArrayType):
                continue
            element = value.type.element
            if isinstance(element, pyqir.IntType) and element.width == 8:  # the label of an output
                continue
            self.globals[variable.name] = len(self.memory)
            arrays.append((len(self.memory), value))
            self._allocate(value.type, 1)
        for address, value in arrays:
            words = list(self._words(value))
            self.memory[address : address + len(words)] = words

    def _words(self, value: pyqir.Constant) -> Iterable[int | float]:
        if isinstance(value, pyqir.ArrayConstant):
            for element in value.elements:
                yield from self._words(element)
        elif isinstance(value.type, pyqir.ArrayType):
            yield from [0] * _type_words(value.type)
        else:
            yield self.registers[self._operand(value)]

    def _allocate(self, kind: pyqir.Type, count: int) -> int:
        words = _type_words(kind) * count
        if len(self.memory) + words > MAX_MEMORY_WORDS:
            raise _invalid(f"its variables have more than {MAX_MEMORY_WORDS} elements")
        address = len(self.memory)
        self.memory += [0] * words
        return address

    def _new_register(self, value: int | float = 0) -> int:
        self.registers.append(value)
        return len(self.registers) - 1

    def _target(self, value: pyqir.Value) -> int:
        """Return the register of a variable; a phi may name it before it is computed."""
        if value not in self.named:
            self.named[value] = self._new_register()
        return self.named[value]

    def _constant(self, value: int | float) -> int:
        key = (type(value).__name__, value if value == value else 0.0)  # NaN is refused before
        if key not in self.constants:
            self.constants[key] = self._new_register(value)
        return self.constants[key]

    def _operand(self, value: pyqir.Value) -> int:
        """Return the register of an operand: a variable, a parameter, a constant, or a global array's address."""
        if isinstance(value, pyqir.IntConstant):
            return self._constant(wrap(value.value, value.type.width))
        if isinstance(value, pyqir.FloatConstant):
            if not math.isfinite(value.value):
                raise _invalid("a constant is not a finite number")
            return self._constant(value.value)
        if isinstance(value, pyqir.Constant):
            if value.name in self.globals:
                return self._constant(self.globals[value.name])
            # by its text: pyqir's `ptr_id` reads foreign memory for other constants
            text = str(value).strip()
            match = _POINTER.fullmatch(text)
            if match is None:
                raise _invalid(f"a constant is not supported: {text[:120]!r}")
            index = int(match[1] or 0)
            if not 0 <= index < MAX_INDEX:
                raise _invalid(f"index {index} of a qubit or result is out of range")
            return self._constant(index)
        return self._target(value)

    def _block(self, block: pyqir.BasicBlock, defined: Mapping[str, pyqir.Function]) -> Block:
        phis: dict[int, list[tuple[int, int]]] = {}
        operations: list[Operation] = []
        records = self.records.setdefault(self.block_numbers[block], [])
        *instructions, last = block.instructions
        for each in instructions:
            if isinstance(each, pyqir.Phi):
                target = self._target(each)
                self._note_type(each)
                for value, before in each.incoming:
                    phis.setdefault(self.block_numbers[before], []).append((target, self._operand(value)))
            elif isinstance(each, pyqir.Call):
                operations += self._call(each, defined, records)
            else:
                operations += self._classical(each)
        return Block(phis, tuple(operations), self._end(last))

    def _note_type(self, value: pyqir.Value) -> None:
        if value.type.is_double:
            self.features.add(Feature.FLOATS)

    def _end(self, last: pyqir.Instruction) -> Jump | Switch | Return:
        code, operands = pyqir.Opcode, last.operands
        if last.opcode == code.BR and len(operands) == 1:
            return Jump(self.block_numbers[operands[0]])
        if last.opcode == code.BR:
            condition, if_false, if_true = operands
            blocks = {1: self.block_numbers[if_true]}
            return Switch(self._operand(condition), blocks, self.block_numbers[if_false])
        if last.opcode == code.RET:
            return Return(self._operand(operands[0]) if operands else None)
        if isinstance(last, pyqir.Switch):
            cases = {wrap(c.value, c.type.width): self.block_numbers[target] for c, target in last.cases}
            return Switch(self._operand(operands[0]), cases, self.block_numbers[last.default])
        raise _invalid(f"a block ends without a return or a jump: {str(last).strip()[:120]!r}")

    def _classical(self, each: pyqir.Instruction) -> list[Operation]:
        """Translate an instruction that is neither a call nor a block's end."""
        code, operands = pyqir.Opcode, each.operands
        if isinstance(each, pyqir.Alloca):
            self.features.add(Feature.MEMORY)
            count = operands[0].value if isinstance(operands[0], pyqir.IntConstant) else MAX_MEMORY_WORDS + 1
            address = self._constant(self._allocate(each.allocated_type, count))
            return [Assign(self._target(each), lambda a: a, (address,))]
        if each.opcode == code.STORE:
            self.features.add(Feature.MEMORY)
            return [Store(self._operand(operands[0]), self._operand(operands[1]))]
        if each.opcode == code.LOAD:
            self.features.add(Feature.MEMORY)
            self._note_type(each)
            return [Load(self._target(each), self._operand(operands[0]))]
        if each.opcode == code.GET_ELEMENT_PTR:
            function: Callable[..., int | float] = self._address_function(each)
        else:
            function = self._function(each)
        return [Assign(self._target(each), function, tuple(map(self._operand, operands)))]

    def _function(self, each: pyqir.Instruction) -> Callable[..., int | float]:
        """Return the function of an instruction that computes a number."""
        width, source_width = _width(each.type), _width(each.operands[0].type)
        if not isinstance(each.type, pyqir.IntType | pyqir.PointerType) or not source_width:
            self.features.add(Feature.FLOATS)
        if isinstance(each, pyqir.ICmp):
            return integer_comparison(each.predicate, source_width)
        if isinstance(each, pyqir.FCmp):
            return float_comparison(each.predicate)
        if each.opcode == pyqir.Opcode.SELECT:
            return lambda condition, a, b: a if condition else b
        compute = FLOAT_OPERATIONS.get(each.opcode) or integer_operation(each.opcode, width)
        compute = compute or conversion(each.opcode, source_width, width)
        if compute is None:
            raise _invalid(f"an instruction is not supported: {str(each).strip()[:120]!r}")
        return compute

    def _address_function(self, each: pyqir.Instruction) -> Callable[..., int]:
        """Return the function of `getelementptr`: the strides are the words of the type that it names."""
        named = _GEP_TYPE.search(str(each))
        if named is None or named[1].endswith(" i8]") or named[1] == "i8":
            raise _invalid(f"an address is not supported: {str(each).strip()[:120]!r}")
        counts = [int(count) for count in _ARRAY.findall(named[1])]
        strides = [math.prod(counts[level:]) for level in range(len(counts) + 1)]
        if len(each.operands) - 1 > len(strides):
            raise _invalid(f"an address has too many indices: {str(each).strip()[:120]!r}")
        return lambda base, *indices: base + sum(i * s for i, s in zip(indices, strides, strict=False))

    def _call(
        self, call: pyqir.Call, defined: Mapping[str, pyqir.Function], records: list[OutputEntry]
    ) -> list[Operation]:
        name, arguments = call.callee.name, call.args
        if name in defined:
            self.features.add(Feature.FUNCTIONS)
            function = defined[name]
            target = None if call.type.is_void else self._target(call)
            first = self.block_numbers[function.basic_blocks[0]]
            parameters = tuple(self._target(parameter) for parameter in function.params)
            return [Call(first, tuple(map(self._operand, arguments)), parameters, target)]
        if name in READ_RESULT:
            return [ReadResult(self._target(call), self._operand(arguments[0]))]
        if name == "__quantum__rt__initialize":
            return []
        record = re.fullmatch(r"__quantum__rt__(\w+)_record_output", name)
        if record is not None and record[1] in ("array", "tuple") and isinstance(arguments[0], pyqir.IntConstant):
            records.append((record[1] == "tuple", arguments[0].value))
            return []
        if record is not None and record[1] in list(OutputKind):
            records.append(OutputKind(record[1]))
            return [Record(OutputKind(record[1]), self._operand(arguments[0]))]
        if name.startswith("__quantum__qis__"):
            return self._quantum(name.removeprefix("__quantum__qis__"), arguments)
        raise _invalid(f"the function {name} is not supported")

    def _quantum(self, name: str, arguments: list[pyqir.Value]) -> list[Operation]:
        if name == "barrier__body":
            return [Quantum(BARRIER, ())]
        if name in GATES:
            num_angles, num_qubits = GATE_SIZES[GATES[name]]
            expected = num_angles + num_qubits
        elif name in MEASUREMENTS or name == "reset__body":
            expected = 2 if name in MEASUREMENTS else 1
        else:
            raise _invalid(f"unknown quantum instruction {name!r}")
        if len(arguments) != expected:
            raise _invalid(f"the quantum instruction {name!r} has {len(arguments)} operands in place of {expected}")
        operands = tuple(map(self._operand, arguments))
        if name in GATES:
            qubits = operands[num_angles:]
            if len(set(qubits)) != len(qubits):
                raise _invalid(f"the quantum instruction {name!r} has the same qubit twice")
            return [Quantum(GATES[name], qubits, operands[:num_angles])]
        if name in MEASUREMENTS:
            measurement = Quantum(MEASURE, operands[:1], result=operands[1])
            return [measurement, Quantum(RESET, operands[:1])] if MEASUREMENTS[name] else [measurement]
        return [Quantum(RESET, operands)]

    def _required(self, blocks: tuple[Block, ...], entry: pyqir.Function) -> tuple[int, int]:
        """Return the numbers of qubits and results: what the attributes declare, or what constants name if more."""
        constants = set(self.constants.values())
        qubits, results = pyqir.required_num_qubits(entry) or 0, pyqir.required_num_results(entry) or 0
        if max(qubits, results) > MAX_INDEX:
            raise _invalid(f"it declares {max(qubits, results)} qubits or results, above {MAX_INDEX}")
        for operation in (operation for block in blocks for operation in block.operations):
            named = operation.qubits if isinstance(operation, Quantum) else ()
            qubits = max([qubits, *(int(self.registers[each]) + 1 for each in named if each in constants)])
            result = getattr(operation, "result", None)
            if isinstance(operation, Record) and operation.kind is OutputKind.RESULT:
                result = operation.operand
            if result is not None and result in constants:
                results = max(results, int(self.registers[result]) + 1)
        return qubits, results
