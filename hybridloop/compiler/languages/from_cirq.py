"""Cirq circuits as Qiskit circuits, by Cirq's own export to OpenQASM 2."""

from __future__ import annotations

import re
import warnings
from typing import Any

from qiskit import ClassicalRegister, QuantumCircuit

from hybridloop.compiler.languages.from_openqasm import circuit_from_openqasm
from hybridloop.errors import InputError

_PRECISION = 17  # digits of an angle: all of a double
_REGISTER = re.compile(r"creg (\w+)\[\d+\];(?:  // Measurement: ([^\n]*))?")
_PREFIX = "m_"  # of the register of a key, in Cirq's export


def circuit_from_cirq(circuit: Any, name: str = "cirq") -> QuantumCircuit:
    """Return the Qiskit circuit of a `cirq.Circuit` or `cirq.FrozenCircuit`.

    Qubits are in Cirq's order. Each measurement key is a classical register whose bit 0 is the key's first qubit; the
    registers are in the order of these first qubits. Raises InputError for what OpenQASM 2 has not, such as symbols
    without values, noise, and keys that are measured more than once.
    """
    import cirq

    if cirq.is_parameterized(circuit):
        names = ", ".join(sorted(cirq.parameter_names(circuit))[:3])
        problem = f"the Cirq circuit has symbols without a value ({names})"
        raise InputError("program", problem, "Give cirq.resolve_parameters(circuit, {…}).")
    circuit = cirq.unroll_circuit_op(circuit.unfreeze(), deep=True, tags_to_check=None)
    keys = _measured_keys(circuit)
    if circuit.are_all_measurements_terminal():
        circuit = circuit.map_operations(_without_mask)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a global phase is left out
            text = circuit.to_qasm(precision=_PRECISION)
    except (ValueError, TypeError, KeyError) as error:
        remedy = "Use gates that Cirq writes in OpenQASM (or that have a unitary), and leave noise to the target."
        raise InputError("program", f"the Cirq circuit has no OpenQASM: {_first_line(error)}", remedy) from error
    converted = circuit_from_openqasm(text, name)
    return _with_registers(converted, text, keys)


def _measured_keys(circuit: Any) -> list[str]:
    """Return the measurement keys in the order of their first qubits. Raises InputError for one that comes twice."""
    import cirq

    first_qubits: dict[str, Any] = {}
    for operation in circuit.all_operations():
        if any(dimension != 2 for dimension in cirq.qid_shape(operation)):
            raise InputError("program", f"{operation} acts on a qudit", "Use qubits.")
        for key in cirq.measurement_key_names(operation) if cirq.is_measurement(operation) else ():
            if key in first_qubits:
                problem = f"the Cirq circuit measures the key {key!r} more than once"
                raise InputError("program", problem, "Give each measurement a key of its own.")
            first_qubits[key] = operation.qubits[0]
    return sorted(first_qubits, key=lambda key: (first_qubits[key], key))


def _without_mask(operation: Any) -> Any:
    """Return a measurement with gates in place of inverted bits; the export adds some after it, too."""
    import cirq

    if not isinstance(operation.gate, cirq.MeasurementGate) or not any(operation.gate.full_invert_mask()):
        return operation
    flips = [
        cirq.X(qubit) for qubit, flip in zip(operation.qubits, operation.gate.full_invert_mask(), strict=True) if flip
    ]
    return [*flips, cirq.measure(*operation.qubits, key=operation.gate.mkey)]


def _with_registers(circuit: QuantumCircuit, text: str, keys: list[str]) -> QuantumCircuit:
    """Return the circuit with its registers in the order of the keys and named by them; the export sorts them."""
    exported = {key or name.removeprefix(_PREFIX): name for name, key in _REGISTER.findall(text)}
    by_name = {register.name: register for register in circuit.cregs}
    ordered = QuantumCircuit(*circuit.qregs, name=circuit.name)
    bits: dict[Any, Any] = {}
    for key in keys:
        register = by_name[exported[key]]
        named = ClassicalRegister(register.size, key)
        ordered.add_register(named)
        bits |= dict(zip(register, named, strict=True))
    ordered.compose(circuit, circuit.qubits, [bits[bit] for bit in circuit.clbits], inplace=True)
    return ordered


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
