"""Public functions for circuits and programs in other languages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridloop.compiler.languages.from_qsharp import QsharpProgram
from hybridloop.errors import InputError
from hybridloop.inputs.circuits import ProgramOptions, read_circuit
from hybridloop.targets import DEFAULT_TARGET

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from hybridloop.tasks.primitives.backend import SessionBackend


def ansatz(
    program: str | Path | Any,
    *,
    operation: str | None = None,
    num_qubits: int | None = None,
    num_angles: int | None = None,
    symbols: Sequence[str] | None = None,
) -> QuantumCircuit:
    """Return a program with angles as a Qiskit circuit of gates, whose parameters are the angles in their order.

    Runs take it as their `ansatz`, and so do the primitives of a session. The program is one of these:

    - **Q#**: a source, a file `.qs`, or `hybridloop.qsharp(source)`, with an `operation` of qubits (`Qubit[]`, or
      several `Qubit`) and angles (`Double[]`, or several `Double`). It may be left out if there is only one. Arrays
      need `num_qubits` and `num_angles`. Also a callable of (Qubit[], Double[]), such as `qdk.code.Ansatz`, of an
      interpreter with the profile Base.
    - **Cirq**: a circuit with symbols, sorted by name, numbers in names by value; `symbols` gives another order.
    - **PennyLane**: a QNode or quantum function of one array of `num_angles` angles. What it returns is left out.
    - **OpenQASM 3**: a text or a file, with angles as `input float`.

    The program is compiled at a few points, and its gates' angles are found as affine functions of the angles; they
    agree with compilations at other points within 1e-9. Where the gates change with the angles, the circuit is one
    gate that is compiled at each point, with a warning (CompiledPerPoint). Angles are in radians. Qubit i is the i-th
    of the program: of the Q# array, in Cirq's order, of the device's wires. Raises InputError for measurements, angles
    without effect, and what does not compile.
    """
    return read_circuit(program, ProgramOptions(operation, num_qubits, num_angles, symbols))


def backend(target: str = DEFAULT_TARGET) -> SessionBackend:
    """Return Qiskit's `BackendV2` of a target, for transpilation without a session; `session.backend()` runs circuits.

    Raises InputError for a target that is not known.
    """
    from hybridloop.targets import find_target
    from hybridloop.tasks.primitives.backend import SessionBackend

    return SessionBackend(find_target(target))


def qsharp(source: str | Path, entry: str | None = None) -> QsharpProgram:
    """Return a Q# program for `session.run`: source text, or the path of a .qs file, and the expression to call.

    The entry may have arguments, such as `Tilted(0.25)`; by default it is the operation with `@EntryPoint()`, else
    `Main()`. The program is compiled for the profile of the session's
    target when it runs, and the compiler's errors are raised then. Raises InputError for a file that can't be read.
    """
    from hybridloop.compiler.languages.convert import names_a_file, read_text_file

    if isinstance(source, Path) or (isinstance(source, str) and names_a_file(source)):
        source = read_text_file(Path(source))
    if not isinstance(source, str):
        raise InputError("source", f"{type(source).__name__} is no Q# source", "Give its text, or the path of a file.")
    if entry is not None and (not isinstance(entry, str) or not entry.strip()):
        raise InputError("entry", f"{entry!r} calls no operation", "Give an expression such as 'Main()'.")
    return QsharpProgram(source, entry or "")
