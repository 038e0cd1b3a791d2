"""Parser of IonQ's JSON, with Qiskit's gates as the oracle."""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit.library import HGate, RXGate, RYGate, RZGate, SwapGate, XGate, YGate, ZGate
from qiskit.quantum_info import Statevector

from hybridloop.emulator.formats.ionq import parse_ionq_circuit
from hybridloop.emulator.model.program import JobInputError
from hybridloop.emulator.simulation.simulator import Simulator

Build = Callable[[QuantumCircuit], object]
CASES: list[tuple[dict[str, Any], Build]] = [
    *(
        ({"gate": ionq, "target": 2}, lambda c, name=qiskit: getattr(c, name)(2))
        for ionq, qiskit in {
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
        }.items()
    ),
    ({"gate": "rx", "target": 1, "rotation": 0.7}, lambda c: c.rx(0.7, 1)),
    ({"gate": "ry", "target": 1, "rotation": 0.7}, lambda c: c.ry(0.7, 1)),
    ({"gate": "rz", "target": 1, "rotation": 0.7}, lambda c: c.rz(0.7, 1)),
    ({"gate": "xx", "targets": [2, 0], "rotation": 0.7}, lambda c: c.rxx(0.7, 2, 0)),
    ({"gate": "yy", "targets": [2, 0], "rotation": 0.7}, lambda c: c.ryy(0.7, 2, 0)),
    ({"gate": "zz", "targets": [2, 0], "rotation": 0.7}, lambda c: c.rzz(0.7, 2, 0)),
    ({"gate": "swap", "targets": [2, 0]}, lambda c: c.swap(2, 0)),
    ({"gate": "cnot", "control": 2, "target": 0}, lambda c: c.cx(2, 0)),
    ({"gate": "x", "controls": [3, 0], "target": 1}, lambda c: c.ccx(3, 0, 1)),
    (
        {"gate": "x", "controls": [3, 0, 2], "target": 1},
        lambda c: c.append(XGate().control(3, annotated=False), [3, 0, 2, 1]),
    ),
    (
        {"gate": "y", "controls": [3, 0], "target": 1},
        lambda c: c.append(YGate().control(2, annotated=False), [3, 0, 1]),
    ),
    (
        {"gate": "z", "controls": [3, 0, 2], "target": 1},
        lambda c: c.append(ZGate().control(3, annotated=False), [3, 0, 2, 1]),
    ),
    ({"gate": "h", "control": 3, "target": 1}, lambda c: c.append(HGate().control(1, annotated=False), [3, 1])),
    (
        {"gate": "rx", "controls": [3, 0], "target": 1, "rotation": 0.7},
        lambda c: c.append(RXGate(0.7).control(2, annotated=False), [3, 0, 1]),
    ),
    (
        {"gate": "ry", "control": 3, "target": 1, "rotation": 0.7},
        lambda c: c.append(RYGate(0.7).control(1, annotated=False), [3, 1]),
    ),
    (
        {"gate": "rz", "controls": [3, 0], "target": 1, "rotation": 0.7},
        lambda c: c.append(RZGate(0.7).control(2, annotated=False), [3, 0, 1]),
    ),
    (
        {"gate": "swap", "controls": [3, 2], "targets": [0, 1]},
        lambda c: c.append(SwapGate().control(2, annotated=False), [3, 2, 0, 1]),
    ),
    # GPi is a rotation by π and GPi2 one by π/2 about the axis (cos φ, sin φ, 0); MS with φ = 0 is XX of its angle
    ({"gate": "gpi", "target": 1, "phase": 0.1}, lambda c: c.r(math.pi, math.tau * 0.1, 1)),
    ({"gate": "gpi2", "target": 1, "phase": 0.1}, lambda c: c.r(math.pi / 2, math.tau * 0.1, 1)),
    ({"gate": "zz", "targets": [2, 0], "angle": 0.1}, lambda c: c.rzz(math.tau * 0.1, 2, 0)),
    ({"gate": "ms", "targets": [2, 0], "phases": [0, 0]}, lambda c: c.rxx(math.pi / 2, 2, 0)),
    ({"gate": "ms", "targets": [2, 0], "phases": [0.25, 0.25], "angle": 0.1}, lambda c: c.ryy(math.tau * 0.1, 2, 0)),
    (
        {"gate": "ms", "targets": [2, 0], "phases": [0, 0.25], "angle": 0.1},
        lambda c: (c.rz(math.pi / 2, 2), c.ryy(math.tau * 0.1, 2, 0), c.rz(-math.pi / 2, 2)),
    ),
]


@pytest.mark.parametrize(("gate", "build"), CASES, ids=[json.dumps(gate) for gate, _ in CASES])
def test_every_gate_acts_as_qiskits_gate(gate: dict[str, Any], build: Build) -> None:
    circuit = QuantumCircuit(4)
    before: list[dict[str, Any]] = []
    after: list[dict[str, Any]] = []
    for qubit in range(4):  # a state without symmetries, and other axes after the gate, so that phases show
        before += [{"gate": "ry", "target": qubit, "rotation": 0.4 + qubit}]
        before += [{"gate": "rz", "target": qubit, "rotation": 0.2 + qubit}]
        after += [{"gate": "rx", "target": qubit, "rotation": 1.1 + qubit}]
        circuit.ry(0.4 + qubit, qubit)
        circuit.rz(0.2 + qubit, qubit)
    build(circuit)
    for qubit in range(4):
        circuit.rx(1.1 + qubit, qubit)
    data = json.dumps({"qubits": 4, "circuit": [*before, gate, *after]}).encode()
    outcomes, chances = Simulator().distribution(parse_ionq_circuit(data))
    np.testing.assert_allclose(chances, Statevector(circuit).probabilities()[outcomes], atol=1e-10)
    assert sum(chances) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "gate",
    [
        7,
        {},
        {"gate": "warp", "target": 0},
        {"gate": "x"},
        {"gate": "x", "target": 4},
        {"gate": "x", "target": -1},
        {"gate": "x", "target": "0"},
        {"gate": "x", "target": True},
        {"gate": "rx", "target": 0},
        {"gate": "rx", "target": 0, "rotation": "pi"},
        {"gate": "cnot", "target": 0},
        {"gate": "cnot", "control": 1, "target": 1},
        {"gate": "swap", "targets": [0]},
        {"gate": "gpi", "target": 0},
        {"gate": "ms", "targets": [0, 1]},
        {"gate": "zz", "targets": [0, 1]},
        {"gate": "zz", "target": 0, "angle": 0.1},
        {"gate": "ms", "targets": [0, 1], "phases": [0]},
        {"gate": "gpi", "control": 1, "target": 0, "phase": 0},
    ],
)
def test_an_invalid_ionq_gate_is_refused(gate: object) -> None:
    with pytest.raises(JobInputError) as refusal:
        parse_ionq_circuit(json.dumps({"qubits": 4, "circuit": [gate]}).encode())
    assert refusal.value.code == "InvalidInputData"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"qubits": 0, "circuit": []}',
        b'{"qubits": 1.5, "circuit": []}',
        b'{"qubits": 1}',
        b"[" * 9999,
    ],
)
def test_an_invalid_ionq_document_is_refused(data: bytes) -> None:
    gc.collect()  # garbage of other tests can't be reported where the recursion of a deep document is at its limit
    with pytest.raises(JobInputError) as refusal:
        parse_ionq_circuit(data)
    assert refusal.value.code == "InvalidInputData"


def test_more_than_seven_controls_are_refused() -> None:
    gate = {"gate": "x", "controls": list(range(8)), "target": 8}
    with pytest.raises(JobInputError, match="more than 7 controls"):
        parse_ionq_circuit(json.dumps({"qubits": 9, "circuit": [gate]}).encode())


NATIVE = {"gate": "gpi", "target": 0, "phase": 0.1}


@pytest.mark.parametrize("other", [{"gate": "h", "target": 0}, {"gate": "zz", "targets": [0, 1], "rotation": 0.3}])
def test_a_native_gate_set_refuses_other_gates(other: dict[str, Any]) -> None:
    def parse(*gates: object, gateset: str | None = None, in_document: str = "qis") -> None:
        parse_ionq_circuit(json.dumps({"qubits": 2, "circuit": gates, "gateset": in_document}).encode(), gateset)

    parse(NATIVE, gateset="native")
    parse(NATIVE, other)
    parse(NATIVE, other, gateset="qis")
    for in_job, in_document in (("native", "qis"), (None, "native")):
        with pytest.raises(JobInputError, match="is no native gate: they are gpi, gpi2, ms, zz"):
            parse(NATIVE, other, gateset=in_job, in_document=in_document)
