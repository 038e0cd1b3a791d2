"""Circuits from QIR: a straight-line program, as a base-profile compiler writes it, as a Qiskit circuit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import CircuitError

from hybridloop.compiler.circuit_structure import gate_of
from hybridloop.errors import ProgramError

_GATES = {
    **{f"{name}__body": name for name in "h x y z id s t sx rx ry rz cx cy cz swap rxx ryy rzz ccx".split()},
    **{f"{name}__adj": f"{name}dg" for name in ("s", "t", "sx")},
    **{"i__body": "id", "cnot__body": "cx"},
}
_MEASUREMENTS = {"m__body": False, "mz__body": False, "mresetz__body": True}  # name -> whether a reset follows
_WITHOUT_EFFECT = frozenset({"initialize", "array_record_output", "tuple_record_output"})
_MAX_QUBITS = 4096  # far above any target, and small enough for memory
_QUANTUM, _RUNTIME = "__quantum__qis__", "__quantum__rt__"


def circuit_from_qir(program: str | bytes, name: str = "QIR program") -> QuantumCircuit:
    """Return the circuit of QIR text or LLVM bitcode without branches.

    Qubit i of the circuit is qubit i of the program. Classical bit j is the j-th result that the program records, so
    the first result is the rightmost bit of Qiskit's bitstrings; a program without records has its results in the order
    of their numbers. Raises ProgramError for what is no circuit: branches, loops, classical values and other outputs.
    """
    reader = _Reader(name)
    try:
        required, calls = _entry_calls(_module(program, name), name)
    except (ValueError, RuntimeError) as error:
        raise ProgramError(name, f"it is not valid QIR ({str(error).splitlines()[0][:200]})") from error
    for call in calls:
        reader.read(call)
    return reader.circuit(required)


def _module(program: str | bytes, name: str) -> Any:
    import pyqir

    if isinstance(program, str):
        return pyqir.Module.from_ir(pyqir.Context(), program, name)
    return pyqir.Module.from_bitcode(pyqir.Context(), program, name)


def _entry_calls(module: Any, name: str) -> tuple[int, Iterator[Any]]:
    """Return the qubits that the entry point declares, and its calls in the order of execution."""
    import pyqir

    entries = [function for function in module.functions if pyqir.is_entry_point(function)]
    if len(entries) != 1:
        raise ProgramError(name, f"it has {len(entries)} entry points, and one is needed")
    return pyqir.required_num_qubits(entries[0]) or 0, _calls(entries[0].basic_blocks, name)


def _calls(blocks: list[Any], name: str) -> Iterator[Any]:
    import pyqir

    block, left = blocks[0] if blocks else None, len(blocks)
    while block is not None:
        if not left:
            raise ProgramError(name, "it has a loop, which no circuit has")
        left -= 1
        following = None
        for instruction in block.instructions:
            if isinstance(instruction, pyqir.Call):
                yield instruction
            elif instruction.opcode == pyqir.Opcode.BR and len(instruction.successors) == 1:
                following = instruction.successors[0]
            elif instruction.opcode != pyqir.Opcode.RET:
                what = "branches" if instruction.opcode == pyqir.Opcode.BR else "computes with classical values"
                raise ProgramError(name, f"it {what}, which no circuit does: {str(instruction).strip()[:120]}")
        block = following


@dataclass(slots=True)
class _Reader:
    """Instructions read so far: gates with angles and qubits, measurements with a result, and recorded results."""

    name: str
    instructions: list[tuple[str, tuple[float, ...], tuple[int, ...]]] = field(default_factory=list)
    records: list[int] = field(default_factory=list)

    def read(self, call: Any) -> None:
        """Read one call. Raises ProgramError for one that is no instruction of a circuit."""
        import pyqir

        function = call.callee.name
        if function.startswith(_RUNTIME):
            runtime = function.removeprefix(_RUNTIME)
            if runtime == "result_record_output":
                self.records.append(self._number(call.args[0]))
            elif runtime not in _WITHOUT_EFFECT:
                raise ProgramError(self.name, f"it calls {function}, for which a circuit has no instruction")
            return
        quantum = function.removeprefix(_QUANTUM)
        if quantum == "barrier__body":
            return
        if not (function.startswith(_QUANTUM) and (quantum in _GATES or quantum in _MEASUREMENTS)):
            if quantum != "reset__body":
                raise ProgramError(self.name, f"it calls {function}, for which a circuit has no instruction")
            self.instructions.append(("reset", (), (self._number(call.args[0]),)))
            return
        angles = tuple(float(value.value) for value in call.args if isinstance(value, pyqir.FloatConstant))
        if not all(map(math.isfinite, angles)):
            raise ProgramError(self.name, f"an angle is not a finite number: {str(call).strip()[:120]}")
        numbers = tuple(self._number(value) for value in call.args[len(angles) :])
        self.instructions.append((_GATES.get(quantum, "measure"), angles, numbers))
        if _MEASUREMENTS.get(quantum):
            self.instructions.append(("reset", (), numbers[:1]))

    def _number(self, value: Any) -> int:
        import pyqir

        number: int | None = pyqir.ptr_id(value)
        if number is None or number >= _MAX_QUBITS:
            raise ProgramError(self.name, f"an operand is no constant qubit, result or angle: {str(value)[:120]}")
        return number

    def circuit(self, required: int) -> QuantumCircuit:
        """Return the circuit with at least the required qubits."""
        measured = [bits[1] for name, _, bits in self.instructions if name == "measure"]
        records = self.records or sorted(measured)
        if len(set(records)) < len(records) or not set(records) <= set(measured):
            raise ProgramError(self.name, "it records a result twice, or one that was not measured")
        if len(set(measured)) < len(measured):
            raise ProgramError(self.name, "it measures twice into one result")
        clbits = {result: bit for bit, result in enumerate(records)}
        qubits = (bits[:1] if name == "measure" else bits for name, _, bits in self.instructions)
        width = max(min(required, _MAX_QUBITS), 1 + max((qubit for used in qubits for qubit in used), default=-1))
        circuit = QuantumCircuit(width, len(records), name=self.name)
        unread = set[int]()
        for name, angles, bits in self.instructions:
            used = bits[:1] if name == "measure" else bits
            if not unread.isdisjoint(used) and name != "reset":
                raise ProgramError(self.name, "a qubit is used after a measurement whose result is not recorded")
            if name == "reset":
                circuit.reset(bits[0])
                unread.discard(bits[0])
            elif name != "measure":
                self._append(circuit, name, angles, bits)
            elif bits[1] in clbits:
                circuit.measure(bits[0], clbits[bits[1]])
            else:
                unread.add(bits[0])
        return circuit

    def _append(self, circuit: QuantumCircuit, name: str, angles: tuple[float, ...], qubits: tuple[int, ...]) -> None:
        try:
            circuit.append(gate_of(name, angles), qubits)
        except (CircuitError, TypeError) as error:
            raise ProgramError(self.name, f"the gate {name} has wrong operands: {angles} on {qubits}") from error
