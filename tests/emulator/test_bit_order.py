"""Bit order: an asymmetric circuit gives the right bits in every format, through the unmodified SDK."""

from __future__ import annotations

import warnings

import pytest
from azure.quantum.qiskit import AzureQuantumProvider
from azure.quantum.target.ionq import IonQ
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister

from tests.conftest import Emulator
from tests.emulator.http_helpers import ASYMMETRIC_QIR, Caller, blob_call, sdk_job

TARGETS = ("ionq.simulator", "quantinuum.sim.h2-1e", "rigetti.sim.qvm")
# qubit 0 is never 1, qubit 1 always, qubit 2 never, qubit 3 always: 1010 in Qiskit's order
PATTERN = "1010"


def asymmetric() -> QuantumCircuit:
    circuit = QuantumCircuit(4, 4)
    circuit.x(1)
    circuit.x(3)
    circuit.measure(range(4), range(4))
    return circuit


@pytest.mark.parametrize("target", TARGETS)
def test_qir_from_qiskit_gives_qiskits_bit_string(emulator: Emulator, target: str) -> None:
    backend = AzureQuantumProvider(emulator.workspace()).get_backend(target)
    counts = backend.run(asymmetric(), shots=20).result().get_counts()
    if target.startswith("quantinuum."):
        # noisy: 4 flips of 0.16 % in 20 shots make 0.13 wrong ones on average, and more than 5 once in 10^8 runs
        assert counts[PATTERN] >= 15
    else:
        assert counts == {PATTERN: 20}


def test_two_registers_come_back_as_a_tuple_that_qiskit_reads_in_its_own_order(emulator: Emulator) -> None:
    circuit = QuantumCircuit(QuantumRegister(3), ClassicalRegister(1, "low"), ClassicalRegister(2, "high"))
    circuit.x(0)
    circuit.x(2)
    circuit.measure([0, 1, 2], [0, 1, 2])
    job = AzureQuantumProvider(emulator.workspace()).get_backend("rigetti.sim.qvm").run(circuit, shots=20)
    assert job.result().get_counts() == {"10 1": 20}


def test_ionq_json_gives_decimal_outcomes_with_qubit_0_least_significant(emulator: Emulator) -> None:
    workspace = emulator.workspace()
    circuit = {
        "qubits": 4,
        "circuit": [
            {"gate": "x", "target": 1},
            {"gate": "cnot", "control": 1, "target": 3},
            {"gate": "ry", "target": 0, "rotation": 2.498091544796509},
        ],
    }
    job = IonQ(workspace).submit(circuit=circuit, name="native order", shots=100)
    histogram = job.get_results()["histogram"]
    # sin²(2.498…/2) = 0.9
    assert histogram == pytest.approx({str(0b1010): 0.1, str(0b1011): 0.9})
    assert workspace.get_job(job.id).details.output_data_uri.partition("?")[0].endswith("/rawOutputData")


def test_ionqs_own_qiskit_format_gives_qiskits_bit_string(emulator: Emulator) -> None:
    provider = AzureQuantumProvider(emulator.workspace())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        backend = provider.get_backend("ionq.simulator", input_data_format="ionq.circuit.v1", gateset="qis")
        counts = backend.run(asymmetric(), shots=20).result().get_counts()
    assert {key: count for key, count in counts.items() if count} == {PATTERN: 20}


def test_results_list_outcomes_in_the_order_of_the_programs_output_with_one_entry_a_shot(emulator: Emulator) -> None:
    job = sdk_job(emulator.workspace(), ASYMMETRIC_QIR, "ionq.simulator")
    assert job.get_results_histogram() == {
        "[0, 1, 0]": {"outcome": [0, 1, 0], "count": 10},
        "[0, 1, 1]": {"outcome": [0, 1, 1], "count": 90},
    }
    shots = job.get_results_shots()
    assert (len(shots), shots.count([0, 1, 0])) == (100, 10)


def test_an_echo_target_returns_its_input(emulator: Emulator) -> None:
    caller = Caller(emulator)
    log = "microsoft.quantum-log.v1"
    job = caller.submit(
        b"any bytes \x00\xff",
        target="echo-output",
        providerId="Microsoft.Test.FirstParty",
        inputDataFormat=log,
        outputDataFormat=log,
    )
    assert blob_call(caller.ended(job)["outputDataUri"], "GET").body == b"any bytes \x00\xff"
