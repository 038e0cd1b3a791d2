"""Reads `ionq.circuit.v1` JSON into a program, with IonQ's native gates as matrices' parameters."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from hybridloop.emulator.program import MEASURE, Operation, Program, Recorded, RecordedList, Unrunnable

INVALID_INPUT = "InvalidInputData"
MAX_QUBITS = 4096
MAX_CONTROLS = 7  # of one gate, as IonQ's API has it

PLAIN = {
    "x": "x",
    "y": "y",
    "z": "z",
    "h": "h",
    "s": "s",
    "si": "sdg",
    "t": "t",
    "ti": "tdg",
    "v": "sx",
    "vi": "sxdg",
    "not": "x",
    "id": "id",
}
ROTATIONS = frozenset(("rx", "ry", "rz"))
PAIR_ROTATIONS = {"xx": "rxx", "yy": "ryy", "zz": "rzz"}
CONTROLLED = {
    "cnot": "x",
    "x": "x",
    "y": "y",
    "z": "z",
    "h": "h",
    "not": "x",
}
NATIVE = ("gpi", "gpi2", "ms", "zz")  # phases and angles in turns


def program_of_ionq(data: bytes) -> Program:
    """The program of an IonQ circuit; every qubit is measured at the end, qubit q into result q."""
    try:
        circuit = json.loads(data)
        num_qubits, gates = circuit["qubits"], circuit["circuit"]
        if isinstance(num_qubits, bool) or not isinstance(num_qubits, int) or not isinstance(gates, list):
            raise TypeError("`qubits` must be a whole number and `circuit` a list")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Unrunnable(INVALID_INPUT, f"the input is not an ionq.circuit.v1 document: {error}") from error
    if not 1 <= num_qubits <= MAX_QUBITS:
        raise Unrunnable(INVALID_INPUT, f"`qubits` must be between 1 and {MAX_QUBITS}, not {num_qubits}")
    operations = [_operation(gate, number, num_qubits) for number, gate in enumerate(gates)]
    operations += [Operation(MEASURE, (qubit,), result=qubit) for qubit in range(num_qubits)]
    output = RecordedList(tuple(Recorded(qubit) for qubit in range(num_qubits)))
    return Program(tuple(operations), output, num_qubits, num_qubits)


def _operation(gate: Any, number: int, num_qubits: int) -> Operation:
    if not isinstance(gate, dict) or not isinstance(gate.get("gate"), str):
        raise Unrunnable(INVALID_INPUT, f"gate {number} of the circuit has no name")
    name = gate["gate"].lower()
    targets = _qubits(gate, "target", "targets")
    controls = _qubits(gate, "control", "controls")
    qubits = (*controls, *targets)
    if len(set(qubits)) != len(qubits) or any(not 0 <= qubit < num_qubits for qubit in qubits):
        raise Unrunnable(INVALID_INPUT, f"gate {number} ({name}) names a qubit twice or one that is not there")
    if len(controls) > MAX_CONTROLS:
        raise Unrunnable(INVALID_INPUT, f"gate {number} ({name}) has more than {MAX_CONTROLS} controls")
    if name in NATIVE and not controls and "rotation" not in gate:  # a rotation makes zz the other gate of that name
        return _native(gate, name, targets, number)
    if controls and len(targets) == 1 and name in CONTROLLED:
        return Operation("c" * len(controls) + CONTROLLED[name], qubits)
    if controls and len(targets) == 1 and name in ROTATIONS:
        return Operation("c" * len(controls) + name, qubits, (_number(gate, "rotation", number),))
    if not controls and len(targets) == 1 and name in ROTATIONS:
        return Operation(name, targets, (_number(gate, "rotation", number),))
    if not controls and len(targets) == 1 and name in PLAIN:
        return Operation(PLAIN[name], targets)
    if len(targets) == 2 and name == "swap":
        return Operation("c" * len(controls) + "swap", qubits)
    if not controls and len(targets) == 2 and name in PAIR_ROTATIONS:
        return Operation(PAIR_ROTATIONS[name], targets, (_number(gate, "rotation", number),))
    raise Unrunnable(
        INVALID_INPUT,
        f"gate {number} ({name!r} with {len(controls)} controls and {len(targets)} targets) is not an IonQ gate",
    )


def _native(gate: Mapping[str, Any], name: str, targets: tuple[int, ...], number: int) -> Operation:
    if name in ("gpi", "gpi2") and len(targets) == 1:
        return Operation(name, targets, (math.tau * _number(gate, "phase", number),))
    if name == "zz" and len(targets) == 2:
        return Operation("zz", targets, (math.tau * _number(gate, "angle", number),))
    phases = gate.get("phases")
    if name == "ms" and len(targets) == 2 and isinstance(phases, list) and len(phases) == 2:
        turns = [_number({"phase": phase}, "phase", number) for phase in phases]
        angle = _number(gate, "angle", number) if "angle" in gate else 0.25
        return Operation("ms", targets, (math.tau * turns[0], math.tau * turns[1], math.tau * angle))
    raise Unrunnable(
        INVALID_INPUT, f"gate {number} ({name}) lacks its phases or angle, or has a wrong number of targets"
    )


def _qubits(gate: Mapping[str, Any], one: str, many: str) -> tuple[int, ...]:
    value = gate[many] if many in gate else [gate[one]] if one in gate else []
    if not isinstance(value, list) or any(isinstance(q, bool) or not isinstance(q, int) for q in value):
        raise Unrunnable(INVALID_INPUT, f"`{one}` and `{many}` must be qubit numbers")
    return tuple(value)


def _number(gate: Mapping[str, Any], key: str, number: int) -> float:
    value = gate.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Unrunnable(INVALID_INPUT, f"gate {number} ({gate.get('gate', 'ms')}) needs a finite `{key}`")
    return float(value)
