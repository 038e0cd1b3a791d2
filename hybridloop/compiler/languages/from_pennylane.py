"""PennyLane's QNodes and tapes as Qiskit circuits, by `qml.to_openqasm`."""

from __future__ import annotations

import functools
import warnings
from typing import Any

from qiskit import ClassicalRegister, QuantumCircuit

from hybridloop.compiler.languages.from_openqasm import circuit_from_openqasm
from hybridloop.errors import InputError
from hybridloop.runtime.callers import level_of_caller

_REMEDY = "Return qml.counts(wires=[…]) or qml.sample(wires=[…]): session.run gives counts."


def circuit_from_pennylane(program: Any, name: str = "pennylane") -> QuantumCircuit:
    """Return the Qiskit circuit of a QNode without arguments, of a `functools.partial` of one, or of a tape.

    Qubits are the wires, in the device's order for a QNode that has one. Bit i is the i-th measured wire; a measurement
    without wires is one of all: those of the device, or those that a tape uses. Raises InputError for observables,
    mid-circuit measurements, and operations without OpenQASM.
    """
    import pennylane as qml

    tape, wires = _tape(program)
    name = getattr(getattr(program, "func", program), "__name__", name)
    measured = _measured_wires(tape, wires)
    if tape.batch_size is not None:
        problem = f"{name} is broadcast over {tape.batch_size} values of an angle, and a program is one circuit"
        raise InputError("program", problem, "Give a list: [functools.partial(qnode, each) for each in values].")
    if any(isinstance(operation, qml.ops.MidMeasure | qml.ops.Conditional) for operation in tape.operations):
        problem = f"{name} measures a wire before its end (qml.measure)"
        raise InputError("program", problem, "Measure at the end, or write the program in Qiskit, Cirq or Q#.")
    own: Any = program.func if isinstance(program, functools.partial) else program
    if stated := own.shots:
        what = f"the {stated.total_shots} shots that {name} states have no effect: session.run(…, shots=…) sets them"
        warnings.warn(what, stacklevel=level_of_caller())
    wires = list(dict.fromkeys([*wires, *measured]))
    gates = qml.tape.QuantumScript(tape.operations)
    try:
        text = qml.to_openqasm(gates, wires=qml.wires.Wires(wires), rotations=False, measure_all=False)
    except (ValueError, TypeError, NotImplementedError, qml.exceptions.DecompositionUndefinedError) as error:
        problem = f"{name} has no OpenQASM: {str(error).splitlines()[0][:200] if str(error) else type(error).__name__}"
        raise InputError("program", problem, "Use operations that decompose to PennyLane's OpenQASM gates.") from error
    # a global phase, which PennyLane writes though OpenQASM 2 has none, can't be measured
    lines = [line for line in text.splitlines() if not line.startswith("gphase(")]
    if not any(line.startswith("qreg ") for line in lines):  # a tape without operations
        lines.append(f"qreg q[{len(wires)}];")
    try:
        circuit = circuit_from_openqasm("\n".join(lines), name)
    except InputError as error:  # of a text that PennyLane wrote
        problem = f"{name} has an operation that its OpenQASM does not tell: {error.problem}"
        raise InputError("program", problem, "Use operations that decompose to PennyLane's OpenQASM gates.") from error
    circuit.add_register(ClassicalRegister(len(measured), "c"))
    circuit.measure([wires.index(wire) for wire in measured], range(len(measured)))
    return circuit


def _tape(program: Any) -> tuple[Any, list[Any]]:
    """Return the tape of a program and its wires. Raises InputError for a QNode that needs arguments."""
    import pennylane as qml

    if isinstance(program, qml.tape.QuantumScript):
        return program, list(program.wires)
    function: Any = program.func if isinstance(program, functools.partial) else program
    arguments = (program.args, program.keywords) if isinstance(program, functools.partial) else ((), {})
    try:
        tape = qml.workflow.construct_tape(function, level="user")(*arguments[0], **arguments[1])
    except TypeError as error:
        remedy = "Give its arguments: functools.partial(qnode, 0.3), or qml.workflow.construct_tape(qnode)(0.3)."
        raise InputError("program", f"the QNode can't be called without more: {error}", remedy) from error
    return tape, list(function.device.wires or tape.wires)


def _measured_wires(tape: Any, wires: list[Any]) -> list[Any]:
    """Return the wires that are measured, in order. Raises InputError for measurements that give no counts."""
    import pennylane as qml

    kinds = (qml.measurements.CountsMP, qml.measurements.SampleMP, qml.measurements.ProbabilityMP)
    if not tape.measurements:
        raise InputError("program", "the PennyLane program has no measurement", _REMEDY)
    measured: list[Any] = []
    for process in tape.measurements:
        what = type(process).__name__.removesuffix("MP").lower()
        if not isinstance(process, kinds):
            remedy = f"{_REMEDY} hl.vqe and session.estimator() measure observables."
            raise InputError("program", f"the PennyLane program returns {what}", remedy)
        if process.obs is not None or process.mv is not None:
            raise InputError("program", f"the PennyLane program measures {what} of an observable", _REMEDY)
        measured += list(process.wires) or wires
    return list(dict.fromkeys(measured))
