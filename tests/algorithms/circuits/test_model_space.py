"""Determinants of a model space, and the circuits that prepare them before an ansatz."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, pairwise

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator, Statevector

from hybridloop.algorithms.circuits import model_space as spaces
from hybridloop.algorithms.circuits.model_space import ModelState, model_space, preparation_circuit
from hybridloop.algorithms.circuits.uccsd import MAX_TRACKED_STATES, uccsd
from hybridloop.algorithms.formats.fcidump import read_fcidump
from hybridloop.algorithms.problems.electronic import ElectronicProblem, FermionMapping, electronic_problem
from hybridloop.errors import InputError
from tests.paths import DATA

Problems = Callable[..., ElectronicProblem]


@pytest.mark.parametrize("flip", [0b001, 0b101, 0b111])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_superposition_has_both_basis_states_with_its_sign(flip: int, sign: int) -> None:
    for first in range(8):
        state = ModelState(first, first ^ flip, sign)
        circuit = preparation_circuit(QuantumCircuit(3), state.flip)
        amplitudes = Statevector(circuit.assign_parameters(state.angles(3))).data
        wanted = np.zeros(8)
        wanted[first], wanted[first ^ flip] = 1.0, sign
        assert abs(wanted @ amplitudes) == pytest.approx(np.sqrt(2))


def test_a_basis_state_has_no_two_qubit_gate() -> None:
    for first in range(8):
        circuit = preparation_circuit(QuantumCircuit(3), 0)
        assert abs(Statevector(circuit.assign_parameters(ModelState(first, first, 0).angles(3))).data[first]) == 1.0
        assert circuit.num_nonlocal_gates() == 0


@pytest.mark.parametrize("mapping", list(FermionMapping))
def test_blocks_hold_all_determinants_and_no_element_of_the_hamiltonian_connects_them(
    problem_of: Problems, mapping: FermionMapping
) -> None:
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
def test_the_unshortened_circuit_keeps_every_block_and_agrees_from_hartree_fock(
    problem_of: Problems, mapping: FermionMapping
) -> None:
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


def test_above_the_limit_only_two_excitations_are_taken(problem_of: Problems, monkeypatch: pytest.MonkeyPatch) -> None:
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
