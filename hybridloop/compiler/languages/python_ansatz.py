"""Ansatz programs of Python libraries: Cirq circuits with symbols, PennyLane's functions of an array of angles."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from hybridloop.compiler.circuit_structure import extract_structure
from hybridloop.errors import InputError

CompilePoint = Callable[[list[float]], QuantumCircuit]
_PROBE = 0.7390851332151607  # an angle in radians at which programs are told apart


@dataclass(frozen=True, slots=True)
class FunctionAnsatz:
    """A function from angles in radians to a circuit of gates alone."""

    name: str
    num_qubits: int
    num_angles: int
    digest: str
    compile_point: CompilePoint

    @classmethod
    def of(cls, name: str, compile_point: CompilePoint, num_angles: int) -> FunctionAnsatz:
        """Make one of a function, which is called at a point. Raises InputError for what is no circuit of gates."""
        if num_angles < 0:
            raise InputError("num_angles", f"{name} can't have {num_angles} angles", "Give their number.")
        circuit = _gates(compile_point([_PROBE * (1 + place) for place in range(num_angles)]))
        structure, angles = extract_structure(circuit)
        text = repr((structure.key, np.round(angles.constant, 6).tolist()))
        return cls(name, circuit.num_qubits, num_angles, hashlib.blake2b(text.encode()).hexdigest()[:16], compile_point)

    @property
    def key(self) -> str:
        """The function's name with a hash of its circuit at one point."""
        return f"{self.name}_{self.digest}"

    def circuits(self, points: NDArray[np.float64]) -> list[QuantumCircuit]:
        """Return the circuit at each point, shape (points, angles)."""
        return [_gates(self.compile_point(point)) for point in points.tolist()]


def cirq_ansatz(circuit: Any, symbols: Sequence[str] | None = None) -> FunctionAnsatz:
    """Return the ansatz of a `cirq.Circuit` with SymPy symbols; measurements at its end are left out.

    The angles are the symbols sorted by name, numbers in names by their value (t2 before t10), or as `symbols` has
    them. Qubit i is the i-th in Cirq's order. Raises InputError for other symbols than the circuit's.
    """
    import cirq

    from hybridloop.compiler.languages.from_cirq import circuit_from_cirq

    names = cirq.parameter_names(circuit)
    order = sorted(names, key=_by_number) if symbols is None else list(symbols)
    if sorted(order) != sorted(names):
        problem = f"the Cirq circuit has the symbols {', '.join(sorted(names, key=_by_number)) or '(none)'}"
        raise InputError("symbols", problem, "Name each of them once, in the order of the angles.")
    qubits = sorted(circuit.all_qubits())
    if not circuit.are_all_measurements_terminal():
        raise InputError("ansatz", "the program measures a qubit before its end", "Give gates alone.")
    kept = cirq.drop_terminal_measurements(circuit)
    exact = cirq.Circuit(
        [cirq.I(qubit) for qubit in qubits],  # so that a qubit without gates is one of the circuit's
        cirq.decompose(kept, intercepting_decomposer=_by_rotations, keep=_is_exact, on_stuck_raise=None),
    )

    def compile_point(point: list[float]) -> QuantumCircuit:
        return circuit_from_cirq(cirq.resolve_parameters(exact, dict(zip(order, point, strict=True))))

    return FunctionAnsatz.of("cirq", compile_point, len(order))


def pennylane_ansatz(function: Any, num_angles: int, num_qubits: int | None = None) -> FunctionAnsatz:
    """Return the ansatz of a QNode or a quantum function of one array of angles; what it returns is left out.

    Qubits are the wires of a QNode's device in their order; without these, wires 0 to `num_qubits` - 1, or the wires
    in use, sorted where they are numbers. Raises InputError for a function that can't be called so.
    """
    try:
        import pennylane as qml
    except ImportError as error:
        problem = "a function of angles is read by PennyLane, which is not installed"
        raise InputError("ansatz", problem, "pip install pennylane, or give a circuit of Qiskit or Cirq.") from error

    from hybridloop.compiler.languages.from_pennylane import circuit_from_pennylane

    name = getattr(function, "__name__", "pennylane")
    is_qnode = isinstance(function, qml.QNode)
    declared = list(function.device.wires or ()) if is_qnode else []
    declared = declared or list(range(num_qubits or 0))

    def compile_point(point: list[float]) -> QuantumCircuit:
        angles = np.array(point)
        make = qml.workflow.construct_tape(function, level="user") if is_qnode else qml.tape.make_qscript(function)
        try:
            tape = make(angles)
        except (TypeError, IndexError, ValueError) as error:
            problem = f"{name} can't be called with an array of {num_angles} angle(s): {error}"
            raise InputError("ansatz", problem, "Give a function of one array of angles, and num_angles.") from error
        if tape.batch_size is not None:
            problem = f"{name} turns a gate by its whole array of {num_angles} angle(s)"
            raise InputError("ansatz", problem, "Take each angle from the array: qml.RY(angles[0], wires=0).")
        wires = declared or _sorted_wires(tape.wires)
        circuit = circuit_from_pennylane(qml.tape.QuantumScript(tape.operations, [qml.counts(wires=wires)]), name)
        places = list(dict.fromkeys([*tape.wires, *wires]))  # the converter's order of the qubits
        return circuit if places == wires else _reordered(circuit, [places.index(wire) for wire in wires])

    return FunctionAnsatz.of(name, compile_point, num_angles)


def _by_number(name: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", name)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]


def _sorted_wires(wires: Any) -> list[Any]:
    found = list(wires)
    return sorted(found) if all(isinstance(wire, int) for wire in found) else found


def _reordered(circuit: QuantumCircuit, order: list[int]) -> QuantumCircuit:
    """Return the circuit with qubit order[i] as qubit i."""
    places = {old: new for new, old in enumerate(order)}
    reordered = circuit.copy_empty_like()
    reordered.compose(circuit, [places[old] for old in range(circuit.num_qubits)], circuit.clbits, inplace=True)
    return reordered


def _is_exact(operation: Any) -> bool:
    """Return whether Cirq writes an operation in OpenQASM without a numerical decomposition."""
    import cirq

    gate = operation.gate
    if isinstance(gate, cirq.CZPowGate | cirq.CXPowGate | cirq.SwapPowGate):
        return bool(gate.exponent == 1)
    if isinstance(gate, cirq.CCZPowGate | cirq.CCXPowGate):
        return bool(gate.exponent == 1)
    return len(operation.qubits) == 1 or cirq.is_measurement(operation)


def _by_rotations(operation: Any, _context: Any = None) -> Any:
    """Decompose powers of gates on two qubits, up to a global phase; NotImplemented for other operations."""
    import cirq

    if _is_exact(operation) or len(operation.qubits) != 2:
        return NotImplemented
    (a, b), gate = operation.qubits, operation.gate
    match gate:
        case cirq.CZPowGate():
            half = gate.exponent / 2
            return [cirq.Z(a) ** half, cirq.Z(b) ** half, *_zz(a, b, -half)]
        case cirq.CXPowGate():
            return [cirq.H(b), cirq.CZ(a, b) ** gate.exponent, cirq.H(b)]
        case cirq.ZZPowGate():
            return _zz(a, b, gate.exponent)
        case cirq.XXPowGate():
            return _conjugated(cirq.H, cirq.H, a, b, gate.exponent)
        case cirq.YYPowGate():
            return _conjugated(cirq.X**0.5, cirq.X**-0.5, a, b, gate.exponent)
        case cirq.ControlledGate(sub_gate=cirq.XPowGate() | cirq.YPowGate() | cirq.ZPowGate() as power):
            if gate.control_values != cirq.ProductOfSums([1]):
                return NotImplemented
            is_x, is_y = isinstance(power, cirq.XPowGate), isinstance(power, cirq.YPowGate)
            before, after = (cirq.H, cirq.H) if is_x else (cirq.X**0.5, cirq.X**-0.5) if is_y else (cirq.I, cirq.I)
            phase = cirq.Z(a) ** (power.global_shift * power.exponent)  # of the power, seen by its control
            return [before(b), cirq.CZ(a, b) ** power.exponent, after(b), phase]
    return NotImplemented


def _zz(a: Any, b: Any, exponent: Any) -> list[Any]:
    import cirq

    return [cirq.CNOT(a, b), cirq.Z(b) ** exponent, cirq.CNOT(a, b)]


def _conjugated(before: Any, after: Any, a: Any, b: Any, exponent: Any) -> list[Any]:
    return [before(a), before(b), *_zz(a, b, exponent), after(a), after(b)]


def _gates(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit without its final measurements. Raises InputError for a measurement before the end."""
    bare: QuantumCircuit = circuit.remove_final_measurements(inplace=False)
    if bare.num_clbits or any(item.name in ("measure", "reset") for item in bare.data):
        raise InputError("ansatz", "the program measures or resets a qubit", "Give gates alone.")
    gates = bare.copy_empty_like()
    for item in bare.data:
        if item.name != "id":
            gates.append(item)
    return gates
