"""QIR as an instruction of a Qiskit circuit, so that it takes the way of all circuits through a session."""

from __future__ import annotations

import functools
import hashlib

from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Instruction

from hybridloop.compiler.given_programs import INSTRUCTION, KEY, may_be_program
from hybridloop.compiler.languages.qir_output import OutputLayout, output_layout
from hybridloop.compiler.languages.qir_text import EntryPoint, entry_point
from hybridloop.errors import ProgramError


class QirProgram(Instruction):  # type: ignore[misc]  # Qiskit has no types
    """A whole program in QIR: all qubits in, and the bits of its output out, the first recorded value lowest.

    `payload` is what the service gets, text or bitcode; `text` is its text.
    """

    def __init__(self, payload: bytes, label: str) -> None:
        """Raises ProgramError for a program whose output is not known before it runs."""
        self.payload = payload
        self.text = qir_text(payload, label)
        self.entry: EntryPoint = entry_point(self.text, label)
        self.layout: OutputLayout = output_layout(self.text, label)
        super().__init__(INSTRUCTION, self.entry.num_qubits, self.layout.num_bits, [], label=label)

    @property
    def key(self) -> str:
        """The key under which the program is stored: its hash."""
        return f"{KEY}{hashlib.blake2b(self.payload, digest_size=16).hexdigest()}"

    def circuit(self) -> QuantumCircuit:
        """Return the circuit of this instruction alone, with a classical register for each part of the output."""
        circuit = QuantumCircuit(QuantumRegister(self.num_qubits, "q"), *self.registers(), name=self.label)
        circuit.append(self, circuit.qubits, circuit.clbits)
        return circuit

    def registers(self) -> list[ClassicalRegister]:
        """Return a classical register for each part of the output."""
        sizes = self.layout.registers
        names = ["output"] if len(sizes) == 1 else [f"item{number}" for number in range(1, len(sizes) + 1)]
        return [ClassicalRegister(size, name) for name, size in zip(names, sizes, strict=True)]


def program_of(circuit: QuantumCircuit) -> QirProgram | None:
    """Return the program of a circuit that has nothing else, else None."""
    operation = circuit.data[0].operation if may_be_program(circuit) else None
    return operation if isinstance(operation, QirProgram) else None


@functools.lru_cache(maxsize=64)
def read_stored(payload: bytes) -> QirProgram:
    """Return the program of a payload that was checked before it was stored."""
    return QirProgram(payload, "qir")


def is_bitcode(data: bytes) -> bool:
    """Return True for LLVM bitcode, also in its wrapper."""
    return data[:2] == b"BC" or data[:4] == b"\xde\xc0\x17\x0b"


def qir_text(payload: bytes, name: str) -> str:
    """Return the text of QIR, which may be bitcode. Raises ProgramError."""
    if is_bitcode(payload):
        import pyqir

        try:
            return str(pyqir.Module.from_bitcode(pyqir.Context(), payload))
        except (ValueError, RuntimeError) as error:
            raise ProgramError(name, f"it is no valid LLVM bitcode: {error}") from error
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise ProgramError(name, f"it is neither QIR text nor LLVM bitcode: {error}") from error
