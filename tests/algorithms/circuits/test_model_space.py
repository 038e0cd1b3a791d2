"""Determinants of a model space, and the circuits that prepare them before an ansatz."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector

from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.circuits import model_space as spaces
from hybridloop.algorithms.circuits.model_space import ModelState, basis_space, model_space, preparation_circuit
from hybridloop.algorithms.circuits.uccsd import MAX_TRACKED_STATES, uccsd
from hybridloop.algorithms.problems.electronic import electronic_problem
from hybridloop.errors import InputError
from hybridloop.inputs.formats.fcidump import read_fcidump
from tests.algorithms.reference_helpers import problem_of
from tests.paths import DATA
from tests.spin_models import HEISENBERG, MORIYA, chain, ring, spin_model


@pytest.mark.parametrize("flip", [0b001, 0b101, 0b111])
@pytest.mark.parametrize("phase", [1, -1, 1j])
def test_a_superposition_has_both_basis_states_with_its_phase(flip: int, phase: complex) -> None:
    for first in range(8):
        state = ModelState(first, first ^ flip, phase)
        circuit = preparation_circuit(QuantumCircuit(3), state.flip, is_real=state.is_real)
        amplitudes = Statevector(circuit.assign_parameters(state.angles(3))).data
        wanted = np.zeros(8, complex)
        wanted[first], wanted[first ^ flip] = 1.0, phase
        assert abs(wanted.conj() @ amplitudes) == pytest.approx(np.sqrt(2))


def test_a_basis_state_has_no_two_qubit_gate() -> None:
    for first in range(8):
        circuit = preparation_circuit(QuantumCircuit(3), 0)
        assert abs(Statevector(circuit.assign_parameters(ModelState(first, first, 0).angles(3))).data[first]) == 1.0
        assert circuit.num_nonlocal_gates() == 0


@pytest.mark.parametrize("mapping", list(FermionMapping))
def test_blocks_hold_all_determinants_and_no_element_of_the_hamiltonian_connects_them(mapping: FermionMapping) -> None:
    problem = problem_of("H4_1", mapping)
    space = model_space(problem)
    assert space.is_complete
    assert space.size == 36
    assert len(space.blocks) > 1
    assert space.blocks[0][0] == problem.encoding.hartree_fock_occupation()
    matrix = problem.hamiltonian.to_matrix(sparse=True)
    indices = [[problem.encoding.basis_state(each) for each in block] for block in space.blocks]
    for one, other in combinations(indices, 2):
        assert abs(matrix[np.ix_(one, other)]).max() == 0.0


@pytest.mark.parametrize("mapping", list(FermionMapping))
def test_the_unshortened_circuit_keeps_every_block_and_agrees_from_hartree_fock(mapping: FermionMapping) -> None:
    problem = problem_of("H2_0.735", mapping)
    angles = [0.3] * uccsd(problem).num_parameters
    whole, short = (
        uccsd(problem, max_tracked_states=limit).circuit.assign_parameters(angles) for limit in (0, MAX_TRACKED_STATES)
    )
    assert Statevector(whole).equiv(Statevector(short))
    unitary = Operator(whole).data
    for block in model_space(problem).blocks:
        inside = [problem.encoding.basis_state(each) for each in block]
        start = [each ^ problem.reference_state for each in inside]  # the circuit begins with the reference's X gates
        reached = unitary[np.ix_(inside, start)]
        assert reached @ reached.conj().T == pytest.approx(np.eye(len(block)), abs=1e-9)


def test_above_the_limit_only_two_excitations_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spaces, "MAX_STATES", 20**2 + 16**2 - 1)
    space = model_space(problem_of("H4_1"))
    assert not space.is_complete
    assert space.size == 1 + 8 + 18  # single excitations of either spin, then double ones: 16 mixed, 1 of each spin
    reference = space.blocks[0][0]
    assert max((reference ^ each).bit_count() for block in space.blocks for each in block) == 4
    assert all(one != other for block in space.blocks for one, other in pairwise(sorted(block)))


def test_too_many_determinants_are_refused_by_the_problem() -> None:
    text = (DATA / "fcidump" / "H2O_0.9572.fcidump").read_text()
    with pytest.raises(InputError) as refused:
        model_space(electronic_problem(read_fcidump(text, "water")))
    assert refused.value.field == "problem"


MODELS = {
    "ising": spin_model(4, chain(4), {"ZZ": -1.0}, "X"),
    "heisenberg": spin_model(4, ring(4), HEISENBERG),
    "moriya": spin_model(4, chain(4), MORIYA),
    "three spins": {"XYZI": 0.4, "IZXX": -0.3, "YIIY": 0.7, "ZIII": 0.2},
    "diagonal": {"ZZII": 1.0, "IIZZ": -0.5},
    "constant": {"III": 2.0},
}


@pytest.mark.parametrize("model", MODELS)
def test_basis_states_are_coupled_only_as_their_space_says(model: str) -> None:
    hamiltonian = SparsePauliOp.from_list(list(MODELS[model].items()))
    space, ansatz = basis_space(hamiltonian)
    assert sorted(state for block in space.blocks for state in block) == list(range(2**hamiltonian.num_qubits))
    unitary = Operator(ansatz.circuit).data
    matrix = unitary.conj().T @ hamiltonian.to_matrix() @ unitary
    coupled = np.zeros(matrix.shape, bool)
    for block in space.blocks:
        for i, j in [*((i, i) for i in range(len(block))), *space.pairs(block)]:
            coupled[block[i], block[j]] = coupled[block[j], block[i]] = True
    assert abs(matrix[~coupled]).max(initial=0.0) <= 1e-12
    assert space.is_real == (abs(matrix.imag).max() <= 1e-12) == (model != "moriya")
    assert space.states == len(matrix) * (1 + len(space.flips or ()))


def test_a_heisenberg_ring_has_its_states_in_few_blocks_of_which_the_first_begins_with_singlets() -> None:
    hamiltonian = SparsePauliOp.from_list(list(MODELS["heisenberg"].items()))
    space, ansatz = basis_space(hamiltonian)
    assert [len(block) for block in space.blocks] == [4, 4, 4, 4]
    prepared = QuantumCircuit(4)
    for qubit in range(4):
        if space.blocks[0][0] >> qubit & 1:
            prepared.x(qubit)
    state = Statevector(prepared.compose(ansatz.circuit))
    assert state.expectation_value(hamiltonian).real == pytest.approx(-6.0)  # two singlets of −3 each


def test_a_pauli_sum_of_too_many_states_is_refused() -> None:
    with pytest.raises(InputError, match="22,528 states") as refused:
        basis_space(SparsePauliOp.from_list(list(spin_model(11, chain(11), {"ZZ": -1.0}, "X").items())))
    assert refused.value.field == "problem"
