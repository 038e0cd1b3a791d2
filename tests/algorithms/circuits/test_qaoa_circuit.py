"""Gates of QAOA circuits: the exponentials of CNOTs and one-qubit rotations, with fewer gates on two qubits."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit.library import XXPlusYYGate
from qiskit.quantum_info import Operator, Statevector

from hybridloop.algorithms.binary.ising import Ising, Spins
from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.binary.problem_kinds import portfolio, spin_glass
from hybridloop.algorithms.circuits.ansatz import BASIS_GATES
from hybridloop.algorithms.circuits.basis import to_basis, two_qubit_gates
from hybridloop.algorithms.circuits.gate_names import CNOT_BASIS
from hybridloop.algorithms.qaoa.circuit import Mixer, qaoa_circuit, ring_pairs
from tests.algorithms.qaoa_helpers import max_cut_problem

QUBITS = 5


@st.composite
def costs(draw: st.DrawFn, most: int) -> Ising:
    """Ising costs of five spins, with products of at most so many."""
    spins = st.sets(st.integers(0, QUBITS - 1), min_size=1, max_size=most).map(lambda found: tuple(sorted(found)))
    values = st.floats(-2.0, 2.0).filter(lambda value: abs(value) > 0.01)
    return Ising.of(QUBITS, draw(st.dictionaries(spins, values, min_size=1, max_size=12)).items())


def append_term(circuit: QuantumCircuit, spins: Spins, angle: float) -> None:
    """Append the rotation of a product by a ladder of its own: a parity on the last spin, rz, and back."""
    for control, target in pairwise(spins):
        circuit.cx(control, target)
    circuit.rz(angle, spins[-1])
    for control, target in reversed([*pairwise(spins)]):
        circuit.cx(control, target)


def ladders(cost: Ising, beta: float, gamma: float) -> QuantumCircuit:
    """Return one layer with the standard mixer, a ladder for each term."""
    circuit = QuantumCircuit(cost.num_variables)
    circuit.h(circuit.qubits)
    for spins, value in cost.terms.items():
        append_term(circuit, spins, -2.0 * value * gamma)
    circuit.rx(2.0 * beta, circuit.qubits)
    return circuit


@settings(max_examples=40, deadline=None)
@given(st.one_of(costs(2), costs(QUBITS)), st.floats(-3.0, 3.0), st.floats(-3.0, 3.0))
def test_a_layer_is_the_unitary_of_a_ladder_for_each_term_with_no_more_gates(
    cost: Ising, beta: float, gamma: float
) -> None:
    circuit = qaoa_circuit(spin_glass(cost), layers=1).circuit
    assert set(circuit.count_ops()) <= set(BASIS_GATES)
    expected = ladders(cost, beta, gamma)
    assert Operator(circuit.assign_parameters([beta, gamma])).equiv(Operator(expected))
    coupled = [spins for spins in cost.terms if len(spins) > 1]
    if cost.is_quadratic:
        assert (circuit.count_ops().get("rzz", 0), two_qubit_gates(circuit)) == (len(coupled), len(coupled))
    assert two_qubit_gates(circuit) <= two_qubit_gates(expected) - bool(coupled)


@pytest.mark.parametrize("spins", range(2, 6))
def test_a_product_alone_takes_one_gate_less_than_its_ladder(spins: int) -> None:
    circuit = qaoa_circuit(spin_glass(Ising.of(spins, [(tuple(range(spins)), 1.0)])), layers=1).circuit
    assert two_qubit_gates(circuit) == 2 * (spins - 1) - 1


def test_petersens_graph_has_one_gate_for_each_edge_and_layer_and_two_cnots_where_there_is_no_such_gate() -> None:
    circuit = qaoa_circuit(max_cut_problem("petersen"), layers=3).circuit
    assert to_basis(circuit).count_ops() == {"rzz": 45, "rx": 30, "h": 10}
    assert to_basis(circuit, CNOT_BASIS).count_ops() == {"cx": 90, "rz": 45, "rx": 30, "h": 10}


def budgeted(count: int, ones: int) -> BinaryProblem:
    rng = np.random.default_rng(count * 10 + ones)
    return portfolio(rng.normal(size=count), np.diag(rng.uniform(0.5, 1.0, count)), risk_aversion=0.3, budget=ones)


def dicke(count: int, ones: int) -> NDArray[np.complex128]:
    """Return the amplitudes (2^count,) of the uniform superposition of all strings with so many ones."""
    share = 1.0 / math.sqrt(math.comb(count, ones))
    return np.where(np.bitwise_count(np.arange(2**count)) == ones, share + 0j, 0.0)


@pytest.mark.parametrize(("count", "ones"), [(count, ones) for count in range(2, 8) for ones in range(count + 1)])
def test_the_xy_mixer_starts_in_the_dicke_state_on_every_kind_of_gates(count: int, ones: int) -> None:
    circuit = qaoa_circuit(budgeted(count, ones), layers=1, mixer=Mixer.XY).circuit.assign_parameters([0.0, 0.0])
    for translated in (circuit, to_basis(circuit), to_basis(circuit, CNOT_BASIS)):
        overlap = np.vdot(dicke(count, ones), Statevector(translated).data)
        assert abs(overlap) == pytest.approx(1.0, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 5), st.data(), st.floats(-3.0, 3.0), st.floats(-3.0, 3.0))
def test_the_xy_mixer_is_qiskits_gate_on_each_pair_of_the_ring(
    count: int, data: st.DataObject, beta: float, gamma: float
) -> None:
    ones = data.draw(st.integers(1, count - 1))
    ansatz = qaoa_circuit(budgeted(count, ones), layers=1, mixer=Mixer.XY)
    mixer = QuantumCircuit(count)
    for pair in ring_pairs(range(count)):
        mixer.append(XXPlusYYGate(2.0 * beta), pair)
    expected = Statevector(np.exp(1j * gamma * ansatz.cost.all_energies()) * dicke(count, ones)).evolve(mixer)
    assert Statevector(ansatz.circuit.assign_parameters([beta, gamma])).equiv(expected)


@pytest.mark.parametrize(
    ("count", "ones", "ions", "cnots"), [(2, 1, 1, 2), (4, 1, 5, 6), (4, 2, 9, 14), (6, 3, 25, 42), (8, 4, 49, 86)]
)
def test_a_dicke_state_takes_two_gates_for_a_rotation_and_four_for_a_controlled_one(
    count: int, ones: int, ions: int, cnots: int
) -> None:
    """Of the rotations of a size one has no control; the first one of all acts on a single basis state."""
    sizes = [len(range(max(1, ones - count + size), min(ones, size - 1) + 1)) for size in range(count - 1, 1, -1)]
    assert ions == 1 + sum(2 + 4 * (rotations - 1) for rotations in sizes)
    assert cnots == 2 + sum(2 + 8 * (rotations - 1) for rotations in sizes)
    problem = budgeted(count, ones)
    circuit = qaoa_circuit(problem, layers=1, mixer=Mixer.XY).circuit
    layer = 2 * len(ring_pairs(range(count))) + len(problem.objective.couplings)
    assert two_qubit_gates(circuit) == ions + layer
    assert two_qubit_gates(to_basis(circuit, CNOT_BASIS)) == cnots + layer + len(problem.objective.couplings)
