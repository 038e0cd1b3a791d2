"""Gates of a stored program are those of the circuit that was sent, in each form in which a run stores one."""

from __future__ import annotations

import math

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit.library import efficient_su2
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.circuits.basis import to_basis
from hybridloop.compiler.gate_counts import GateCounts
from hybridloop.compiler.programs import PubCompiler, describe_pub
from hybridloop.compiler.quil import QuilCompiler
from hybridloop.compiler.stored_gates import stored_gate_counts


def circuit_of(qubits: int, layers: int) -> QuantumCircuit:
    circuit = efficient_su2(qubits, reps=layers)
    circuit.measure_all()
    return circuit


@pytest.mark.parametrize(("qubits", "layers"), [(2, 1), (4, 3)])
def test_templates_and_programs_have_the_gates_of_the_circuit(qubits: int, layers: int) -> None:
    circuit = circuit_of(qubits, layers)
    compiled = PubCompiler("Base").compile_description(
        describe_pub(SamplerPub.coerce((circuit, [[0.3] * circuit.num_parameters], 10)))
    )
    sent = to_basis(circuit)
    two = int(sent.num_nonlocal_gates())
    expected = GateCounts(qubits, int(sent.size()) - two - qubits, two, qubits)
    assert compiled.key
    (body,) = compiled.bodies.values()
    assert stored_gate_counts(compiled.key, body) == expected
    assert stored_gate_counts("own", compiled.payloads[0]) == expected


def test_quil_has_a_change_of_basis_of_two_gates_on_each_qubit() -> None:
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.rz(0.3, 1)
    circuit.cx(1, 2)
    circuit.rx(math.pi / 3, 2)
    circuit.measure_all()
    pub = QuilCompiler().compile(describe_pub(SamplerPub.coerce((circuit, None, 10))))
    (body,) = pub.bodies.values()
    counts = stored_gate_counts(pub.key, body)
    assert (counts.two_qubit, counts.qubits, counts.measurements) == (2, 3, 3)
    assert counts.one_qubit == body.decode().count("basis[") + sum(
        line.startswith(("H ", "RZ(0", "RZ(theta")) for line in body.decode().splitlines()
    )
