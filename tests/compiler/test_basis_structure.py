"""Constant angles merge, angles of parameters do not: the same unitary, one structure for all points, few gates."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter, ParameterVector
from qiskit.circuit.library import XXPlusYYGate, get_standard_gate_name_mapping
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Operator

from hybridloop.algorithms.circuits.basis import keep_gates, to_basis, two_qubit_gates
from hybridloop.algorithms.circuits.custom import circuit_ansatz
from hybridloop.algorithms.circuits.gate_names import BASIS
from hybridloop.compiler.basis_structure import merge_constants
from hybridloop.compiler.circuit_structure import AngleMap, CircuitStructure, extract_structure
from hybridloop.compiler.gate_counts import gate_counts
from hybridloop.compiler.one_qubit_runs import FreeRotation, merge_run
from hybridloop.compiler.programs import PubCompiler, describe_pub
from tests.long_form import long_form, short_or_long
from tests.paths import ROOT

NO_PARAMETERS = np.zeros((1, 0))
CONSTANTS = [0.3, -1.7, 0.0, 0.25 * math.pi, 0.5 * math.pi, -0.5 * math.pi, math.pi, 7.5]
GATES = [
    gate
    for gate in get_standard_gate_name_mapping().values()
    if isinstance(gate, Gate) and gate.name != "global_phase" and gate.num_qubits <= 3
]


def merged(circuit: QuantumCircuit) -> tuple[CircuitStructure, AngleMap]:
    return merge_constants(*extract_structure(circuit))


def one_qubit_gates(structure: CircuitStructure) -> int:
    return sum(len(bits) == 1 for name, bits, _ in structure.instructions if name != "reset")


@st.composite
def circuits(draw: st.DrawFn, gates: Sequence[Gate] = GATES) -> QuantumCircuit:
    """Circuits of these gates on three qubits, of which half have one qubit; angles are of all kinds."""
    theta = ParameterVector("theta", 2)
    expressions = [theta[0], theta[1], 0.5 * theta[1] - 1.0, theta[0] - 2 * theta[1], theta[0] * theta[1]]
    angles = st.sampled_from([*CONSTANTS, *expressions, theta[0].sin() + theta[1], 0.0 * theta[0] + 0.4])
    circuit = QuantumCircuit(3, global_phase=draw(angles))
    of_one = [gate for gate in gates if gate.num_qubits == 1]
    for gate in draw(st.lists(st.one_of(st.sampled_from(of_one), st.sampled_from(gates)), min_size=1, max_size=14)):
        where = draw(st.permutations(range(3)))[: gate.num_qubits]
        circuit.append(gate.base_class(*(draw(angles) for _ in gate.params)) if gate.params else gate, where)
    return circuit


VALUES = st.lists(st.one_of(st.floats(-7, 7), st.sampled_from([0.0, math.pi, -math.pi / 2])), min_size=2, max_size=2)


@long_form
@settings(max_examples=short_or_long(25, 500))
@given(circuits(), VALUES)
def test_the_unitary_stays_the_same_at_every_point(circuit: QuantumCircuit, values: list[float]) -> None:
    point = np.array([values[: circuit.num_parameters]])
    structure, angles = merged(circuit)
    assert {name for name, _, _ in structure.instructions} <= {*BASIS}
    rebuilt = structure.circuit(angles(point)[0].tolist())
    overlap = np.vdot(Operator(rebuilt).data, Operator(circuit.assign_parameters(point[0])).data) / 8
    assert abs(overlap) == pytest.approx(1.0, abs=1e-9)


@long_form
@settings(max_examples=short_or_long(15, 300))
@given(circuits(), VALUES)
def test_bound_circuits_have_one_structure_and_the_same_unitary(circuit: QuantumCircuit, values: list[float]) -> None:
    bound = [circuit.assign_parameters(point[: circuit.num_parameters]) for point in (values, [0.0, 0.0], [0.3, 2.0])]
    found = [merged(each) for each in bound]
    assert len({structure for structure, _ in found}) == 1
    structure, angles = found[0]
    rebuilt = structure.circuit(angles(NO_PARAMETERS)[0].tolist())
    overlap = np.vdot(Operator(rebuilt).data, Operator(bound[0]).data) / 8
    assert abs(overlap) == pytest.approx(1.0, abs=1e-9)


@long_form
@settings(max_examples=short_or_long(15, 300))
@given(circuits())
def test_no_circuit_has_more_gates_than_qiskits_translation_leaves(circuit: QuantumCircuit) -> None:
    circuit.rz(Parameter("last"), 0)  # one without parameters keeps its slots
    circuit.measure_all()
    structure, reference = merged(circuit)[0], to_basis(circuit)
    sent = to_basis(structure.circuit(list(ParameterVector("slot", structure.num_angles))))
    assert two_qubit_gates(sent) <= two_qubit_gates(reference)
    assert len(sent.data) <= len(reference.data)


@long_form
@settings(max_examples=short_or_long(15, 300))
@given(circuits([gate for gate in GATES if gate.name in BASIS]))
def test_one_rotation_stays_for_each_angle_that_depends_on_a_parameter(circuit: QuantumCircuit) -> None:
    (_, given_angles), (_, left) = extract_structure(circuit), merged(circuit)
    given_free, left_free = (
        np.count_nonzero(each.matrix.any(axis=0)) + len(each.nonaffine) for each in (given_angles, left)
    )
    assert left_free == (given_free if circuit.num_parameters else 0)


RUNS = st.lists(
    st.one_of(
        st.sampled_from([("h", None), ("x", None), ("s", None), ("tdg", None)]),
        st.tuples(st.sampled_from(["rx", "ry", "rz"]), st.one_of(st.none(), st.floats(-7, 7))),
    ),
    max_size=12,
)


@given(RUNS)
def test_a_run_has_at_most_one_constant_between_rotations_and_two_at_its_ends(
    run: list[tuple[str, float | None]],
) -> None:
    found = merge_run(tuple(run))
    free = [place for place, each in enumerate(found) if isinstance(each, FreeRotation)]
    assert len(free) == sum(name.startswith("r") and angle is None for name, angle in run)
    assert len(found) <= min(len(run), max(3, 2 * len(free) + 3))
    if len(found) < len(run):
        assert [after - before <= 2 for before, after in pairwise(free)] == [True] * max(len(free) - 1, 0)


def test_constants_beside_a_rotation_become_its_offset() -> None:
    theta = Parameter("theta")
    circuit = QuantumCircuit(2)
    circuit.rz(0.3, 0)
    circuit.rz(2 * theta, 0)
    circuit.rz(0.4, 0)
    circuit.h(1)
    circuit.rx(theta**2, 1)
    circuit.z(1)
    circuit.h(1)
    circuit.cx(0, 1)
    structure, angles = merged(circuit)
    assert structure.instructions == (("rz", (0,), 1), ("rz", (1,), 1), ("ry", (1,), 1), ("cx", (0, 1), 0))
    np.testing.assert_allclose(angles(np.array([[0.5]])), [[1.7, 0.25 + math.pi, math.pi]], atol=1e-12)


def test_a_rotation_by_a_parameter_at_zero_stays_and_constants_of_zero_go() -> None:
    circuit = QuantumCircuit(2)
    circuit.rx(Parameter("theta"), 0)
    circuit.rx(0.0, 1)
    circuit.cx(0, 1)
    circuit.ry(1.0, 1)
    circuit.ry(-1.0, 1)
    circuit.cx(0, 1)
    assert merged(circuit)[0].instructions == (("rx", (0,), 1),)


def test_circuits_that_differ_in_what_is_measured_begin_with_the_same_gates() -> None:
    theta = ParameterVector("theta", 3)
    structures = []
    for basis in ("zzz", "xyx", "yzx"):
        circuit = QuantumCircuit(3)
        for turn, angle in enumerate(theta):
            circuit.h(turn)
            circuit.rz(angle, turn)
            circuit.rzz(0.3 * angle, turn, (turn + 1) % 3)
        if basis == "yzx":
            circuit.rxx(0.4, 0, 1)
        for qubit, axis in enumerate(basis):
            circuit.s(qubit) if axis == "y" else None
            circuit.h(qubit) if axis != "z" else None
        circuit.measure_all()
        structures.append(merged(circuit)[0].instructions)
    last = max(place for place, (name, _, _) in enumerate(structures[0]) if name == "rzz")
    assert len({instructions[: last + 1] for instructions in structures}) == 1


def test_measured_bases_that_differ_in_constants_share_a_structure() -> None:
    def turned(angle: float) -> QuantumCircuit:
        circuit = QuantumCircuit(2)
        circuit.ry(Parameter("theta"), 0)
        circuit.rxx(angle, 0, 1)
        circuit.rz(2 * angle, 0)
        circuit.measure_all()
        return circuit

    (one, angles), (other, others) = (merged(turned(angle)) for angle in (0.3, 0.4))
    assert one == other
    assert angles(np.array([[0.1]])).tolist() == [[0.1, 0.3, 0.6]]
    assert others(np.array([[0.1]])).tolist() == [[0.1, 0.4, 0.8]]


def test_kept_gates_and_measurements_within_a_circuit_stay_in_place() -> None:
    theta = Parameter("theta")
    kept = QuantumCircuit(1)
    kept.rz(0.3, 0)
    kept.rz(theta, 0)
    kept.rz(0.3, 0)
    assert merged(keep_gates(kept.copy()))[0].instructions == (("rz", (0,), 1),) * 3
    parted = QuantumCircuit(1, 2)
    parted.compose(kept, inplace=True)
    parted.measure(0, 1)
    parted.rx(0.2, 0)
    parted.reset(0)
    parted.ry(0.2, 0)
    assert merged(parted)[0].instructions == (
        ("rz", (0,), 1),
        ("measure", (0, 1), 0),
        ("rx", (0,), 1),
        ("reset", (0,), 0),
        ("ry", (0,), 1),
    )


def exchanges() -> QuantumCircuit:
    """Return three exchanges between neighbours of four qubits, each with a parameter, on two excitations."""
    circuit = QuantumCircuit(4)
    circuit.x([0, 1])
    for angle, pair in zip(ParameterVector("theta", 3), [(1, 2), (0, 1), (2, 3)], strict=True):
        circuit.append(XXPlusYYGate(angle, 0.0), pair)
    return circuit


@pytest.mark.parametrize("given", ["gates", "translated", "bound"])
def test_three_exchanges_are_sent_with_few_gates(given: str) -> None:
    circuit = exchanges() if given != "translated" else circuit_ansatz(exchanges(), np.zeros(3)).circuit.copy()
    circuit.measure_all()
    points = np.array([0.1, 0.2, 0.3])
    pub = (circuit.assign_parameters(points),) if given == "bound" else (circuit, points)
    compiled = PubCompiler("Base").compile_pub(SamplerPub.coerce(pub, 10))
    sent = gate_counts(compiled.payloads[0].decode())
    assert sent.two_qubit == 6
    assert sent.one_qubit == {"gates": 2, "translated": 2, "bound": 8}[given]
    structure = compiled.description.structure
    assert structure is not None
    assert one_qubit_gates(structure) - sent.measurements <= sent.one_qubit


@pytest.mark.slow
def test_a_fingerprint_is_the_same_in_every_process() -> None:
    script = "from tests.compiler.test_basis_structure import fingerprints; print(fingerprints())"
    texts = set()
    for seed in ("0", "77"):
        environ = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environ, cwd=ROOT, capture_output=True, text=True, check=True
        )
        texts.add(done.stdout)
    assert texts == {f"{fingerprints()}\n"}


def fingerprints() -> list[object]:
    """Return fingerprints and angles of circuits with several parameters in an angle."""
    a, b, c = (Parameter(name) for name in "abc")
    mixed = QuantumCircuit(2)
    mixed.u(a + 0.3 * b, 0.1, c - a, 0)
    mixed.cu(a * b, 0.2, c, 0.4, 0, 1)
    mixed.rz(0.7, 1)
    mixed.append(XXPlusYYGate(a - c + 2 * b, 0.3), [0, 1])
    found: list[object] = []
    for circuit in (mixed, exchanges()):
        circuit.measure_all()
        described = describe_pub(SamplerPub.coerce((circuit, np.array([0.1, 0.2, 0.3])), 10))
        found.append((described.fingerprint, described.slots.tolist()))
    return found
