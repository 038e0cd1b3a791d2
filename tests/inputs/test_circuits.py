"""Circuits of a caller as stored text: files relative to a sweep, programs of other languages, and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from qiskit.quantum_info import Operator

import hybridloop as hl
from hybridloop.algorithms.circuits.custom import read_qasm3
from hybridloop.api.sweep_input import read_sweep
from hybridloop.compiler.languages.qsharp_ansatz import QsharpAnsatz
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError
from hybridloop.inputs.circuits import circuit_text

SOURCE = "operation Mine(a : Qubit, b : Qubit, t : Double) : Unit {\n X(a); Ry(t / 3.0, b); CNOT(b, a);\n}\n"


def test_the_text_of_a_cirq_circuit_is_the_same_circuit_to_all_digits() -> None:
    import cirq  # each worker of a test run collects all tests, and this takes 60 MB
    import sympy

    a, b = sympy.symbols("a b")
    first, second = cirq.LineQubit.range(2)
    circuit = cirq.Circuit(cirq.rx(b / 3 - 0.1)(first), cirq.CNOT(first, second), cirq.rz(-2 * a + b)(second))
    text = str(circuit_text(circuit))
    assert text == circuit_text(hl.ansatz(circuit)) == circuit_text(text)  # a run started again stores the same
    assert VqeSettings(ansatz=text).ansatz == text
    read, lifted = read_qasm3(text, "circuit"), hl.ansatz(circuit)
    for point in np.random.default_rng(2).uniform(-6.0, 6.0, (3, 2)):
        ours, theirs = (Operator(each.assign_parameters(point)) for each in (read, lifted))
        assert np.abs(np.vdot(ours.data, theirs.data)) / 4 == pytest.approx(1.0, abs=1e-12)


def test_a_sweep_reads_the_operation_of_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "mine.qs").write_text(SOURCE)
    (tmp_path / "s.yaml").write_text(
        'algorithm: vqe\nproblems: h2\ngrid:\n  ansatz: [uccsd, "mine.qs,operation=Mine"]\n'
    )
    built_in, own = read_sweep(tmp_path / "s.yaml").grid["ansatz"]
    assert built_in == "uccsd"
    assert own.startswith("OPENQASM 3")
    assert read_qasm3(own, "circuit").num_parameters == 1


def test_a_q_sharp_text_is_stored_only_with_its_operation_named() -> None:
    text = QsharpAnsatz.find(SOURCE).to_text()
    assert circuit_text(text) == text
    assert VqeSettings(ansatz=text).ansatz == text
    with pytest.raises(InputError, match=r"its operation is not named.*hl\.ansatz\(source"):
        circuit_text(SOURCE)
    with pytest.raises(InputError, match="has no operation named Yours"):
        circuit_text(text.replace("operation Mine,", "operation Yours,"))
