"""Parser for `ionq.circuit.v1` JSON, IonQ's native gates included (GPi, GPi2, MS, ZZ)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from hybridloop.emulator.model.program import MEASURE, Instruction, JobInputError, OutputList, Program

INVALID_INPUT = "InvalidInputData"
MAX_QUBITS = 4096
MAX_CONTROLS = 7  # of one gate, the limit of IonQ's API

ROTATIONS = {"rx": "rx", "ry": "ry", "rz": "rz"}
PAIR_ROTATIONS = {"xx": "rxx", "yy": "ryy", "zz": "rzz"}
CONTROLLABLE = {"x": "x", "y": "y", "z": "z", "h": "h", "not": "x"}
PHASES = {"s": "s", "si": "sdg", "t": "t", "ti": "tdg", "v": "sx", "vi": "sxdg", "id": "id"}
# IonQ's name -> Qiskit's name of the gate or, with controls, of the gate that they control; by the number of targets
GATES = {1: CONTROLLABLE | PHASES | ROTATIONS, 2: PAIR_ROTATIONS | {"swap": "swap"}}
CONTROLLED_GATES = {1: CONTROLLABLE | {"cnot": "x"} | ROTATIONS, 2: {"swap": "swap"}}
NATIVE_GATES = ("gpi", "gpi2", "ms", "zz")


def parse_ionq_circuit(data: bytes, gateset: object = None) -> Program:
    """Parse an IonQ circuit; every qubit is measured at the end, qubit q into result q.

    The `gateset` is the job's, else the document's; "native" allows native gates alone. Raises JobInputError if it is
    invalid or unsupported.
    """
    try:
        circuit = json.loads(data)
        num_qubits, gates = circuit["qubits"], circuit["circuit"]
        if isinstance(num_qubits, bool) or not isinstance(num_qubits, int) or not isinstance(gates, list):
            raise TypeError("`qubits` must be a whole number and `circuit` a list")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise JobInputError(INVALID_INPUT, f"the input is not an ionq.circuit.v1 document: {error}") from error
    if not 1 <= num_qubits <= MAX_QUBITS:
        raise JobInputError(INVALID_INPUT, f"`qubits` must be between 1 and {MAX_QUBITS}, not {num_qubits}")
    instructions = [_instruction(gate, number, num_qubits) for number, gate in enumerate(gates)]
    if (gateset or circuit.get("gateset")) == "native":
        others = [each.name for each in instructions if each.name not in NATIVE_GATES]
        if others:
            problem = f"the gateset is native, and {others[0]} is no native gate: they are {', '.join(NATIVE_GATES)}"
            raise JobInputError(INVALID_INPUT, problem)
    instructions += [Instruction(MEASURE, (qubit,), result=qubit) for qubit in range(num_qubits)]
    return Program(tuple(instructions), OutputList(tuple(range(num_qubits))), num_qubits, num_qubits)


def _instruction(gate: Any, index: int, num_qubits: int) -> Instruction:
    # name and qubits
    if not isinstance(gate, dict) or not isinstance(gate.get("gate"), str):
        raise JobInputError(INVALID_INPUT, f"gate {index} of the circuit has no name")
    name = gate["gate"].lower()
    targets = _qubits(gate, "target", "targets")
    controls = _qubits(gate, "control", "controls")
    qubits = (*controls, *targets)
    if len(set(qubits)) != len(qubits) or any(not 0 <= qubit < num_qubits for qubit in qubits):
        raise JobInputError(INVALID_INPUT, f"gate {index} ({name}) uses a qubit twice, or a qubit outside the circuit")
    if len(controls) > MAX_CONTROLS:
        raise JobInputError(INVALID_INPUT, f"gate {index} ({name}) has more than {MAX_CONTROLS} controls")
    # native gates; "zz" with a rotation is the abstract gate of that name
    if name in NATIVE_GATES and not controls and "rotation" not in gate:
        return _native_instruction(gate, name, targets, index)
    # abstract gates
    base = (CONTROLLED_GATES if controls else GATES).get(len(targets), {}).get(name)
    if base is None:
        operands = f"{len(controls)} controls and {len(targets)} targets"
        raise JobInputError(INVALID_INPUT, f"gate {index} ({name!r} with {operands}) is not an IonQ gate")
    is_rotation = name in ROTATIONS or name in PAIR_ROTATIONS
    angles = (_finite_number(gate, "rotation", index),) if is_rotation else ()
    return Instruction("c" * len(controls) + base, qubits, angles)


def _native_instruction(gate: Mapping[str, Any], name: str, targets: tuple[int, ...], index: int) -> Instruction:
    if name in ("gpi", "gpi2") and len(targets) == 1:
        return Instruction(name, targets, (math.tau * _finite_number(gate, "phase", index),))
    if name == "zz" and len(targets) == 2:
        return Instruction("zz", targets, (math.tau * _finite_number(gate, "angle", index),))
    phases = gate.get("phases")  # like all phases and angles of native gates in turns
    if name == "ms" and len(targets) == 2 and isinstance(phases, list) and len(phases) == 2:
        turns = [_finite_number({"phase": phase}, "phase", index) for phase in phases]
        angle = _finite_number(gate, "angle", index) if "angle" in gate else 0.25
        return Instruction("ms", targets, (math.tau * turns[0], math.tau * turns[1], math.tau * angle))
    problem = f"gate {index} ({name}) lacks its phases or angle, or has a wrong number of targets"
    raise JobInputError(INVALID_INPUT, problem)


def _qubits(gate: Mapping[str, Any], singular: str, plural: str) -> tuple[int, ...]:
    value = gate[plural] if plural in gate else [gate[singular]] if singular in gate else []
    if not isinstance(value, list) or any(isinstance(q, bool) or not isinstance(q, int) for q in value):
        raise JobInputError(INVALID_INPUT, f"`{singular}` and `{plural}` must be qubit numbers")
    return tuple(value)


def _finite_number(gate: Mapping[str, Any], key: str, index: int) -> float:
    value = gate.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise JobInputError(INVALID_INPUT, f"gate {index} ({gate.get('gate', 'ms')}) needs a finite `{key}`")
    return float(value)
