"""Two-qubit rotations for targets without such gates: the same unitary, of CNOTs and rotations of one qubit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import Operator

from hybridloop.algorithms.circuits.basis import to_basis, without_two_qubit_rotations
from hybridloop.algorithms.circuits.gate_names import CNOT_BASIS, TWO_QUBIT_ROTATIONS

QUBITS = 3
PAIRS = st.permutations(range(QUBITS)).map(lambda order: tuple(order[:2]))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(TWO_QUBIT_ROTATIONS), PAIRS),
        st.tuples(st.sampled_from(["cx", "swap"]), PAIRS),
        st.tuples(st.sampled_from(["h", "s", "t"]), st.integers(0, QUBITS - 1).map(lambda qubit: (qubit,))),
    ),
    max_size=10,
)


def circuit_of(steps: list[tuple[str, tuple[int, ...]]]) -> QuantumCircuit:
    """Return a circuit whose rotations have a parameter each."""
    circuit = QuantumCircuit(QUBITS)
    angles = iter(ParameterVector("t", sum(name in TWO_QUBIT_ROTATIONS for name, _ in steps)))
    for name, qubits in steps:
        getattr(circuit, name)(*((next(angles),) if name in TWO_QUBIT_ROTATIONS else ()), *qubits)
    return circuit


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(0, 2**32))
def test_cnots_for_rotations_of_pairs_leave_the_unitary(steps: list[tuple[str, tuple[int, ...]]], seed: int) -> None:
    circuit = circuit_of(steps)
    point = np.random.default_rng(seed).uniform(-7.0, 7.0, circuit.num_parameters)
    for translated in (without_two_qubit_rotations(circuit), to_basis(circuit, CNOT_BASIS)):
        assert not set(translated.count_ops()) & set(TWO_QUBIT_ROTATIONS)
        assert Operator(translated.assign_parameters(point)).equiv(Operator(circuit.assign_parameters(point)))


@pytest.mark.parametrize(
    ("steps", "cnots"),
    [
        ([("rzz", (0, 1))], 2),
        ([("rxx", (0, 1)), ("ryy", (0, 1))], 2),
        ([("ryy", (0, 1)), ("rxx", (1, 0))], 2),
        ([("rxx", (0, 1)), ("h", (2,)), ("ryy", (0, 1))], 2),
        ([("rxx", (0, 1)), ("t", (1,)), ("ryy", (0, 1))], 4),
        ([("rxx", (0, 1)), ("ryy", (1, 2))], 4),
        ([("rxx", (0, 1)), ("ryy", (0, 1)), ("rxx", (0, 1))], 4),
    ],
)
def test_rotations_about_xx_and_yy_share_their_cnots(steps: list[tuple[str, tuple[int, ...]]], cnots: int) -> None:
    assert to_basis(circuit_of(steps), CNOT_BASIS).count_ops()["cx"] == cnots
