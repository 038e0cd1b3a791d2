"""QIR to circuits: the same states and bits as the program, and refusals of what is no circuit."""

from __future__ import annotations

import numpy as np
import pyqir
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import Statevector

from hybridloop.algorithms.circuits.gate_names import BASIS
from hybridloop.compiler.languages.qir_circuit import circuit_from_qir
from hybridloop.compiler.qir_template import compile_qir
from hybridloop.errors import ProgramError

GATES = get_standard_gate_name_mapping()

PROGRAM = """
define void @main() #0 {
entry:
  call void @__quantum__qis__x__body(%Qubit* null)
  call void @__quantum__qis__rz__body(double 0x3FE7AE147AE147AE, %Qubit* inttoptr (i64 1 to %Qubit*))
  br label %measurements
measurements:
  call void @__quantum__qis__mz__body(%Qubit* null, %Result* inttoptr (i64 1 to %Result*))
  call void @__quantum__qis__mz__body(%Qubit* inttoptr (i64 2 to %Qubit*), %Result* null)
  call void @__quantum__rt__array_record_output(i64 2, i8* null)
  call void @__quantum__rt__result_record_output(%Result* inttoptr (i64 1 to %Result*), i8* null)
  call void @__quantum__rt__result_record_output(%Result* null, i8* null)
  ret void
}
%Result = type opaque
%Qubit = type opaque
declare void @__quantum__qis__x__body(%Qubit*)
declare void @__quantum__qis__rz__body(double, %Qubit*)
declare void @__quantum__rt__array_record_output(i64, i8*)
declare void @__quantum__rt__result_record_output(%Result*, i8*)
declare void @__quantum__qis__mz__body(%Qubit*, %Result*)
declare i1 @__quantum__qis__read_result__body(%Result*)
attributes #0 = { "entry_point" "required_num_qubits"="4" "required_num_results"="2" }
"""


def test_a_compiled_circuit_of_all_gates_is_read_back_as_the_same_unitary() -> None:
    generator = np.random.default_rng(0)
    circuit = QuantumCircuit(3)
    for name in generator.permutation(2 * BASIS):
        gate = GATES[name]
        angles = generator.uniform(-7.0, 7.0, len(gate.params)).tolist()
        circuit.append(
            type(gate)(*angles) if gate.params else gate, generator.permutation(3)[: gate.num_qubits].tolist()
        )
    measured = circuit.copy()
    measured.measure_all()
    read = circuit_from_qir(compile_qir(measured, "Base"))  # one compilation, of 0.3 s
    assert [read.find_bit(item.qubits[0]).index for item in read.get_instructions("measure")] == [0, 1, 2]
    read.remove_final_measurements()
    fidelity = abs(np.vdot(Statevector(read).data, Statevector(circuit).data))
    assert fidelity == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("program", [PROGRAM, PROGRAM.replace("%Qubit*", "ptr").replace("%Result*", "ptr")])
def test_classical_bits_are_the_recorded_results_in_their_order(program: str) -> None:
    circuit = circuit_from_qir(program)
    wires = {
        (circuit.find_bit(item.qubits[0]).index, circuit.find_bit(item.clbits[0]).index)
        for item in circuit.get_instructions("measure")
    }
    assert (circuit.num_qubits, circuit.num_clbits, wires) == (4, 2, {(0, 0), (2, 1)})
    assert circuit.data[1].params == [0.74]


def test_bitcode_is_read_as_its_text_is() -> None:
    bitcode = pyqir.Module.from_ir(pyqir.Context(), PROGRAM).bitcode
    assert circuit_from_qir(bitcode) == circuit_from_qir(PROGRAM)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("label %measurements\nmeasurements:", "label %again\nagain:\n br label %again\nrest:", "loop"),
        ("qis__x__body", "qis__mine__body", "no instruction"),
        ("0x3FE7AE147AE147AE", "0x7FF0000000000000", "finite"),
        ("0x3FE7AE147AE147AE", "undef", "constant"),
        ("@main()", "@main(", "not valid QIR"),
        ("entry_point", "other", "0 entry points"),
        (
            "mz__body(%Qubit* null, %Result* inttoptr (i64 1 to",
            "mz__body(%Qubit* null, %Result* inttoptr (i64 0 to",
            "no",
        ),
        ("br label", "%b = call i1 @__quantum__qis__read_result__body(%Result* null)\n  br label", "no instruction"),
        ("br label %m", "br i1 true, label %entry, label %m", "branches"),
    ],
)
def test_what_is_no_circuit_is_refused_with_the_reason(old: str, new: str, problem: str) -> None:
    assert old in PROGRAM
    with pytest.raises(ProgramError, match=problem):
        circuit_from_qir(PROGRAM.replace(old, new))


def test_a_result_that_is_not_recorded_is_dropped_unless_its_qubit_goes_on() -> None:
    unread = PROGRAM.replace("  call void @__quantum__rt__result_record_output(%Result* null, i8* null)\n", "")
    assert circuit_from_qir(unread).num_clbits == 1
    gate = "  call void @__quantum__qis__x__body(%Qubit* inttoptr (i64 2 to %Qubit*))\n"
    used = unread.replace("  call void @__quantum__rt__array", gate + "  call void @__quantum__rt__array")
    with pytest.raises(ProgramError, match="not recorded"):
        circuit_from_qir(used)
