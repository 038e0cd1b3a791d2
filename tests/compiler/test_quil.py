"""Quil with parameters measures what QIR measures: at every point, in every basis, from the same seed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter, ParameterVector
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Statevector

from hybridloop.algorithms.circuits.basis import keep_gates, to_basis
from hybridloop.algorithms.qaoa.circuit import qaoa_circuit
from hybridloop.algorithms.rounds import Counts
from hybridloop.azure.job_document import QIR, QUIL, QUIL_RESULTS, RESULTS_V2
from hybridloop.compiler.gate_counts import gate_counts
from hybridloop.compiler.programs import PubCompiler, PubDescription, describe_pub
from hybridloop.compiler.quil import NoQuil, QuilCompiler
from hybridloop.emulator.model.targets import load_catalogue
from hybridloop.emulator.simulation.execute import JobRunner
from hybridloop.emulator.simulation.protocol import SimulationTask
from hybridloop.emulator.simulation.simulator import Simulator
from hybridloop.journal import Slice
from hybridloop.targets import find_target
from hybridloop.tasks.submission.batches import ParameterRows
from hybridloop.tasks.submission.results import read_quil_results, read_results_v2
from tests.algorithms.qaoa_helpers import max_cut_problem
from tests.long_form import long_form, short_or_long

SHOTS = 400
IONS, MACHINE = "ionq.qpu.forte-1", "rigetti.qpu.cepheus-1-108q"
STANDARD = get_standard_gate_name_mapping()
WITH_ANGLES = [gate for gate in STANDARD.values() if isinstance(gate, Gate) and gate.params and gate.num_qubits]
GATES = [
    gate for name, gate in STANDARD.items() if name in "x sx h s sdg t p rx ry rz u cx cz swap rxx rzz crx ccx".split()
]


def run(data: bytes, formats: tuple[str, str], params: Mapping[str, Any]) -> bytes:
    """Run a program as the local service's Rigetti simulator does."""
    target = load_catalogue().find("rigetti.sim.qvm")
    assert target is not None
    task = SimulationTask(target, *formats, params, service_seed=1, sampling_value="value")
    return JobRunner(Simulator()).run(task, data)[0]


def quil_counts(description: PubDescription) -> list[Counts]:
    """Return the counts of the description's points, each from a job of one row."""
    pub = QuilCompiler().compile(description)
    counts: list[Counts] = []
    for theta, basis in zip(pub.theta.tolist(), pub.basis.tolist(), strict=True):
        rows = ParameterRows(SHOTS, (0,), {"basis": [basis]} | ({"theta": [theta]} if theta else {}))
        data = run(pub.program.text.encode(), (QUIL, QUIL_RESULTS), json.loads(json.dumps(rows.input_params)))
        counts += read_quil_results(data, pub.bits, rows=rows, slices=[Slice(0, 0, 0, SHOTS)])
    return counts


def qir_counts(description: PubDescription) -> list[Counts]:
    bits = len(description.measured)
    return [
        read_results_v2(run(payload, (QIR, RESULTS_V2), {"shots": SHOTS}), bits, exact=False, shots=SHOTS)
        for payload in PubCompiler("Base").compile_description(description).payloads
    ]


def assert_drawn_from(circuit: QuantumCircuit, counts: Counts) -> None:
    """Check 400 shots within five standard deviations: a probability that is off by 0.13 at most passes."""
    measured = [circuit.find_bit(item.qubits[0]).index for item in circuit.data if item.name == "measure"]
    bits = [circuit.find_bit(item.clbits[0]).index for item in circuit.data if item.name == "measure"]
    state = Statevector(circuit.remove_final_measurements(inplace=False))
    probabilities = state.probabilities([measured[bits.index(bit)] for bit in range(len(bits))])
    for outcome, probability in enumerate(probabilities):
        drawn = counts.bitstrings().get(format(outcome, f"0{len(bits)}b"), 0)
        assert abs(drawn - SHOTS * probability) < 5 * np.sqrt(SHOTS * probability * (1 - probability) + 1)


@st.composite
def circuits(draw: st.DrawFn) -> QuantumCircuit:
    """Circuits of standard gates, with angles that are numbers, parameters or affine functions of these."""
    qubits = draw(st.integers(1, 3))
    circuit = QuantumCircuit(qubits, qubits)
    theta = ParameterVector("theta", 2)
    angles = st.one_of(
        st.floats(-7, 7),
        st.sampled_from([theta[0], 0.5 * theta[1] - 1.0, theta[0] - 2 * theta[1], 0.0 * theta[1] + 3.0]),
    )
    gates = st.sampled_from([gate for gate in GATES if gate.num_qubits <= qubits])
    for gate in draw(st.lists(gates, min_size=short_or_long(3, 0), max_size=12)):
        where = draw(st.permutations(range(qubits)))[: gate.num_qubits]
        circuit.append(type(gate)(*(draw(angles) for _ in gate.params)), where)
    circuit.measure(range(qubits), range(qubits))
    return circuit


@long_form
@settings(max_examples=short_or_long(3, 300))
@given(circuits(), st.lists(st.floats(-7, 7), min_size=4, max_size=4))
def test_random_circuits_give_the_same_counts_as_qir_from_the_same_seed(
    circuit: QuantumCircuit, values: list[float]
) -> None:
    values_of = np.array(values).reshape(2, 2)[:, : circuit.num_parameters]
    description = describe_pub(SamplerPub.coerce((circuit, values_of), SHOTS))
    for ours, reference in zip(quil_counts(description), qir_counts(description), strict=True):
        assert ours.bitstrings() == reference.bitstrings()


def measured_in(bases: str, *, layer: bool = False) -> QuantumCircuit:
    """Return a circuit of two parameters, measured in these bases; with a `layer` of rotations before them."""
    theta = ParameterVector("theta", 2)
    circuit = QuantumCircuit(2, 2)
    circuit.ry(theta[0], 0)
    circuit.rxx(theta[0] + 0.5 * theta[1], 0, 1)
    if layer:
        circuit.ry(theta[1], 0)
    for qubit, basis in enumerate(bases):
        if basis == "Y":
            circuit.sdg(qubit)
        if basis in "XY":
            circuit.h(qubit)
    circuit.measure([0, 1], [1, 0])
    return circuit


@pytest.mark.parametrize("layer", [False, True])
def test_all_bases_of_a_circuit_are_one_program_and_its_angles_are_not_written_out(*, layer: bool) -> None:
    compiler = QuilCompiler()
    points = np.array([[0.3, -1.2], [2.0, 0.7]])
    texts = set()
    for bases in ("ZZ", "XX", "YX", "ZY"):
        description = describe_pub(SamplerPub.coerce((measured_in(bases, layer=layer), points), SHOTS))
        pub = compiler.compile(description)
        assert pub.theta.tolist() == points.tolist()
        assert pub.basis.shape == (2, 4)
        texts.add(pub.program.text)
        for counts, point in zip(quil_counts(description), points, strict=True):
            assert_drawn_from(description.circuit.assign_parameters(point), counts)
    (text,) = texts
    assert "0.3" not in text
    assert "RX(theta[0] + 0.5*theta[1])" in text


def test_bases_that_differ_in_constant_angles_are_one_program() -> None:
    theta = ParameterVector("theta", 2)
    compiler, texts = QuilCompiler(), set()
    for turns in ((0.0, 0.0), (0.3, -1.1), (0.5 * np.pi, 0.5 * np.pi)):
        circuit = QuantumCircuit(2, 2)
        circuit.rx(0.2, 0)
        circuit.rz(theta[0], 0)
        circuit.rzz(0.4, 0, 1)
        circuit.rz(0.7, 1)
        circuit.rxx(theta[1], 0, 1)
        circuit.ry(theta[0], 1)
        for qubit, turn in enumerate(turns):
            circuit.rz(turn, qubit)
            circuit.rx(2 * turn, qubit)
        circuit.measure([0, 1], [0, 1])
        description = describe_pub(SamplerPub.coerce((circuit, [[0.3, -1.2]]), SHOTS))
        texts.add(compiler.compile(description).program.text)
        (counts,) = quil_counts(description)
        assert_drawn_from(circuit.assign_parameters([0.3, -1.2]), counts)
    assert len(texts) == 1


def test_a_circuit_whose_angles_are_bound_is_the_same_program_at_other_angles() -> None:
    compiler = QuilCompiler()
    bound = [measured_in("ZX").assign_parameters([0.1 * i, 0.4]) for i in range(1, 3)]
    pubs = [compiler.compile(describe_pub(SamplerPub.coerce((circuit,), SHOTS))) for circuit in bound]
    assert pubs[0].program is pubs[1].program
    assert pubs[0].theta.tolist() != pubs[1].theta.tolist()


def test_rigettis_programs_of_qaoa_have_two_cnots_for_each_coupling_and_no_rotation_of_pairs() -> None:
    circuit = qaoa_circuit(max_cut_problem("petersen"), layers=3).circuit
    circuit.measure_all()
    pub = SamplerPub.coerce((circuit, np.full((1, 6), 0.3), SHOTS))
    lines = QuilCompiler().compile(describe_pub(pub)).program.text.splitlines()
    names = Counter(line.split("(")[0].split()[0] for line in lines)
    assert {name: names[name] for name in ("CNOT", "RZ", "RX", "H")} == {"CNOT": 90, "RZ": 45 + 10, "RX": 20, "H": 10}
    assert set(names) == {"DECLARE", "CNOT", "RZ", "RX", "RY", "H", "MEASURE"}
    compilers = {name: PubCompiler("Base", gates=find_target(name).gates) for name in (IONS, MACHINE)}
    sent = {name: compiler.compile_pub(pub) for name, compiler in compilers.items()}
    counts = {name: gate_counts(program.payloads[0].decode()) for name, program in sent.items()}
    assert (counts[IONS].two_qubit, counts[MACHINE].two_qubit) == (45, 90)
    assert counts[MACHINE].one_qubit == counts[IONS].one_qubit + 45
    assert "rzz" not in sent[MACHINE].payloads[0].decode()
    assert sent[IONS].key != sent[MACHINE].key  # a journal may have runs on both


def mid_circuit() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 2)
    circuit.measure(0, 0)
    circuit.h(0)
    circuit.measure(0, 1)
    return circuit


def controlled() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], True)):
        circuit.x(0)
    return circuit


def kept() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.rx(0.4, 0)
    circuit.measure(0, 0)
    return keep_gates(to_basis(circuit))


@pytest.mark.parametrize(
    ("circuit", "reason"),
    [(mid_circuit(), "before its end"), (controlled(), "if_else"), (kept(), "sent as they are")],
    ids=["measures twice", "control flow", "kept gates"],
)
def test_what_quil_with_parameters_can_not_take_is_named(circuit: QuantumCircuit, reason: str) -> None:
    with pytest.raises(NoQuil, match=reason):
        QuilCompiler().compile(describe_pub(SamplerPub.coerce((circuit,), SHOTS)))


@pytest.mark.parametrize("gate", WITH_ANGLES, ids=lambda gate: gate.name)
def test_the_angles_of_every_standard_gate_are_affine_functions_in_quil(gate: Gate) -> None:
    circuit = QuantumCircuit(gate.num_qubits, 1)
    circuit.append(gate.base_class(*ParameterVector("angle", len(gate.params))), range(gate.num_qubits))
    circuit.cx(0, 1) if gate.num_qubits > 1 else circuit.reset(0)
    circuit.measure(0, 0)
    pub = QuilCompiler().compile(describe_pub(SamplerPub.coerce((circuit, np.full((1, len(gate.params)), 0.3)), 10)))
    assert "DECLARE theta" in pub.program.text


def test_functions_of_a_parameter_that_are_not_affine_are_numbers_of_their_own() -> None:
    theta = Parameter("theta")
    circuit = QuantumCircuit(2, 2)
    circuit.rx(theta**2, 0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    description = describe_pub(SamplerPub.coerce((circuit, [[1.5], [0.2]]), SHOTS))
    assert QuilCompiler().compile(description).theta.tolist() == [[2.25], [0.04]]
    for counts, point in zip(quil_counts(description), [[1.5], [0.2]], strict=True):
        assert_drawn_from(circuit.assign_parameters(point), counts)
