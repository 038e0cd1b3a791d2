"""Parser of OpenQASM 2: circuits exported by Qiskit, Quantinuum's gates, and the SDK's Quantinuum target."""

from __future__ import annotations

import numpy as np
import pytest
from azure.quantum.target import Quantinuum
from qiskit import QuantumCircuit, qasm2
from qiskit.circuit.library import UnitaryGate
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Statevector

from hybridloop.emulator.formats.gates import append_gate
from hybridloop.emulator.formats.openqasm import parse_openqasm
from hybridloop.emulator.formats.results import openqasm_results
from hybridloop.emulator.model.program import MEASURE, Instruction, JobInputError, Program, ShotOutcomes
from hybridloop.emulator.simulation.simulator import Simulator
from tests.conftest import Emulator
from tests.emulator.http_helpers import Caller

HEADER = 'OPENQASM 2.0;\ninclude "qelib1.inc";\n'
DOUBLING = "gate g0 a { x a; } gate n0 a { } " + "".join(
    f"gate {kind}{n + 1} a {{ {kind}{n} a; {kind}{n} a; }} " for kind in "gn" for n in range(60)
)
DOUBLING += "qreg q[1]; n60 q[0]; g60 q[0];"
HONEYWELL = {
    "target": "quantinuum.sim.h2-1e",
    "inputDataFormat": "honeywell.openqasm.v1",
    "outputDataFormat": "honeywell.quantum-results.v1",
}


def build_circuit(program: Program, num_qubits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(num_qubits)
    for instruction in program.instructions:
        if instruction.name != MEASURE:
            append_gate(circuit, instruction, instruction.qubits)
    return circuit


@pytest.mark.parametrize("seed", range(12))
def test_a_random_circuit_exported_by_qiskit_gives_the_same_state(seed: int) -> None:
    circuit = random_circuit(4, 6, max_operands=3, seed=seed)
    program = parse_openqasm(qasm2.dumps(circuit).encode())
    assert Statevector(build_circuit(program, 4)).equiv(Statevector(circuit))


def test_quantinuums_gates_have_the_matrices_of_its_library() -> None:
    text = (
        'OPENQASM 2.0;\ninclude "hqslib1.inc";\nqreg q[2];\nU1q(0.7,0.3) q[0];\nZZ q[0],q[1];\nRZZ(0.9) q[0],q[1];\n'
        "Rxxyyzz(0.3,0.5,0.7) q[0],q[1];\nRz(0.2) q[0];\ncs q[0],q[1];\n"
    )
    program = parse_openqasm(text.encode())
    x, y, z = (np.array(m) for m in ([[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]))
    axis = np.cos(0.3) * x + np.sin(0.3) * y
    zz = np.diag(np.kron(z, z))
    expected = QuantumCircuit(2)
    expected.append(UnitaryGate(np.cos(0.35) * np.eye(2) - 1j * np.sin(0.35) * axis), [0])
    expected.append(UnitaryGate(np.diag(np.exp(-1j * np.pi / 4 * zz) * np.exp(-0.45j * zz))), [0, 1])
    pauli_sum = 0.3 * np.kron(x, x) + 0.5 * np.kron(y, y).real + 0.7 * np.kron(z, z)
    values, vectors = np.linalg.eigh(pauli_sum)
    expected.append(UnitaryGate(vectors * np.exp(-0.5j * values) @ vectors.T), [0, 1])
    expected.append(UnitaryGate(np.diag([np.exp(-0.1j), np.exp(0.1j)])), [0])
    expected.append(UnitaryGate(np.diag([1, 1, 1, 1j])), [0, 1])
    assert Statevector(build_circuit(program, 2)).equiv(Statevector(expected))


def test_a_gate_that_the_program_defines_replaces_the_standard_gate_of_that_name() -> None:
    text = "OPENQASM 2.0; gate h a { U(pi,0,pi) a; } qreg q[1]; creg c[1]; h q[0]; measure q[0]->c[0];"
    measured = Simulator().run(parse_openqasm(text.encode()), shots=20, seed=1, exact=False)
    assert (measured.outcomes, measured.counts) == ((1,), (20,))


def test_results_have_one_string_a_shot_for_each_register_with_bit_0_last() -> None:
    text = HEADER + "qreg q[3]; creg low[2]; creg high[1]; x q[0]; x q[2]; measure q[0]->low[0]; measure q[2]->high[0];"
    program = parse_openqasm(text.encode())
    measured = Simulator().run(program, shots=2, seed=1, exact=False)
    assert openqasm_results([(program, measured)]) == b'{"low": ["01", "01"], "high": ["1", "1"]}'
    assert openqasm_results([(program, ShotOutcomes((0b100,), (1,), (0,)))]) == b'{"low": ["00"], "high": ["1"]}'


def test_the_sdks_quantinuum_target_runs_openqasm_in_a_session(emulator: Emulator) -> None:
    workspace = emulator.workspace()
    target = Quantinuum(workspace, "quantinuum.sim.h2-1e")
    text = HEADER + "qreg q[2]; creg c[2]; x q[0]; measure q -> c;"
    with target.open_session(name="OpenQASM") as session:
        job = target.submit(text, name="one", shots=50, input_params={"error-model": False})
        results = job.get_results()
    assert results == {"c": ["01"] * 50}
    assert workspace.get_job(job.id).details.output_data_uri.partition("?")[0].endswith("/rawOutputData")
    assert [item.id for item in workspace.list_session_jobs(session.id)] == [job.id]
    # one gate, two preparations, two measurements: 5 + 50·(1 + 5·4)/5000 = 5.21
    assert workspace.get_job(job.id).details.cost_estimate.events[0].amount_billed == 5.21


@pytest.mark.parametrize("kind", ["h", "t"])
def test_a_condition_compares_a_whole_register_and_applies_to_gates_and_measurements(kind: str) -> None:
    text = HEADER + (
        f"gate both a, b {{ x a; x b; }} qreg q[4]; creg c[2]; creg d[2]; {kind} q[3]; h q[0]; h q[1];"
        "measure q[0]->c[0]; measure q[1]->c[1]; if(c==2) both q[2],q[3]; if(c==4) x q[2]; if(c==2) measure q[2]->d[0];"
    )
    measured = Simulator().run(parse_openqasm(text.encode()), shots=400, seed=1, exact=False)
    assert set(measured.outcomes) == {0b0000, 0b0001, 0b0011, 0b0110}
    # five standard deviations: 5·sqrt(400·1/4·3/4) = 43
    assert max(abs(count - 100) for count in measured.counts) <= 43


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("OPENQASM 3.0;\nqubit q;", "OpenQASM 2"),
        (HEADER + "qreg q[1]; warp q[0];", "warp"),
        (HEADER + "qreg q[5000];", "4096"),
        (HEADER + "opaque mystery a; qreg q[1]; mystery q[0];", "mystery"),
        (HEADER + DOUBLING, "more than 500000"),
        ('OPENQASM 2.0;\ninclude "/etc/passwd";\nqreg q[1];', "not an OpenQASM 2"),
    ],
)
def test_unsupported_input_is_refused_by_name(text: str, words: str) -> None:
    with pytest.raises(JobInputError, match=words) as refused:
        parse_openqasm(text.encode())
    assert refused.value.code == "CompilationError"


def test_a_job_fails_on_a_target_without_openqasm_and_without_measurements(emulator: Emulator) -> None:
    caller = Caller(emulator)
    wrong = caller.ended(caller.submit(b"", **{**HONEYWELL, "target": "rigetti.sim.qvm"}))
    assert wrong["errorData"]["code"] == "CannotTranslateInputData"
    nothing = caller.ended(caller.submit((HEADER + "qreg q[1]; x q[0];").encode(), **HONEYWELL))
    assert (nothing["errorData"]["code"], "measures nothing" in nothing["errorData"]["message"]) == (
        "InvalidInputData",
        True,
    )


def test_a_gate_keeps_its_name_so_that_it_is_billed_as_one() -> None:
    program = parse_openqasm((HEADER + "qreg q[2]; cu1(0.5) q[0],q[1]; u3(1,2,3) q[0];").encode())
    assert program.instructions == (Instruction("cu1", (0, 1), (0.5,)), Instruction("u3", (0,), (1.0, 2.0, 3.0)))


def test_gates_on_whole_registers_are_counted_before_the_circuit_is_built() -> None:
    text = (
        'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[4000];\ncreg c[1];\n' + "h q;\n" * 200 + "measure q[0] -> c[0];\n"
    )
    with pytest.raises(JobInputError, match="stand for more than 500000 gates"):
        parse_openqasm(text.encode())
