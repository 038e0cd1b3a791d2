"""Ansatz pUCCD: its gates are exponentials of pair excitations, and it keeps pairs and spin."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator, Statevector

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.pair_rotation import PairRotation, givens_gates
from hybridloop.algorithms.circuits.puccd import PairExcitation, pair_excitations, puccd
from hybridloop.algorithms.problems.determinants import determinants_of, hamiltonian_matrix, spin_squared_matrix
from hybridloop.algorithms.problems.pairs import PairedElectrons
from hybridloop.errors import InputError
from tests.algorithms.pair_helpers import Array, molecule, pair_hop, paired_determinants, random_molecule

ANGLES = st.floats(-7.0, 7.0)
PROBLEMS = {
    "one pair": PairedElectrons(random_molecule(4, (1, 1), 1)),
    "two pairs": PairedElectrons(random_molecule(4, (2, 2), 2)),
    "two pairs in five": PairedElectrons(random_molecule(5, (2, 2), 3)),
    "triplet": PairedElectrons(random_molecule(5, (3, 1), 4)),
    "doublet": PairedElectrons(random_molecule(5, (2, 3), 5)),
}
EVERY = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS.keys())


def of_gates(p: int, q: int, angle: float, count: int, *, is_one_pair: bool) -> NDArray[np.complex128]:
    circuit = QuantumCircuit(count)
    PairRotation(((p, q, angle),), is_one_pair=is_one_pair).append_to(circuit)
    return np.asarray(Operator(circuit).data)


@functools.cache
def ansatz_of(problem: PairedElectrons) -> Ansatz:
    return puccd(problem, pair_excitations(problem))


def state_at(ansatz: Ansatz, point: Array) -> NDArray[np.complex128]:
    return np.asarray(Statevector(ansatz.circuit.assign_parameters(point)).data)


def product_state(problem: PairedElectrons, selected: Sequence[PairExcitation], point: Array) -> Array:
    """Return the product of exponentials of dense pair excitations, applied to the reference (2^qubits,)."""
    state = np.zeros(2**problem.num_qubits)
    state[problem.reference_state] = 1.0
    for angle, (p, q) in zip(point, selected, strict=True):
        state = scipy.linalg.expm(angle * pair_hop(p, q, problem.num_qubits)) @ state
    return state


def random_point(ansatz: Ansatz, seed: int) -> Array:
    return np.random.default_rng(seed).uniform(-np.pi, np.pi, ansatz.num_parameters)


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(3)), ANGLES)
def test_two_gates_are_the_exponential_of_a_pair_excitation(qubits: list[int], angle: float) -> None:
    p, q, _ = qubits
    exact = scipy.linalg.expm(angle * pair_hop(p, q, 3))
    np.testing.assert_allclose(of_gates(p, q, angle, 3, is_one_pair=False), exact, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(3)), ANGLES)
def test_one_gate_is_the_exponential_where_two_qubits_have_one_pair(qubits: list[int], angle: float) -> None:
    p, q, _ = qubits
    exact = scipy.linalg.expm(angle * pair_hop(p, q, 3))
    one_pair = [state for state in range(8) if (state >> p ^ state >> q) & 1]
    gates = of_gates(p, q, angle, 3, is_one_pair=True)
    np.testing.assert_allclose(gates[:, one_pair], exact[:, one_pair], atol=1e-12)
    assert [
        sum(len(each) == 2 for _, each, _ in givens_gates(p, q, is_one_pair=is_one)) for is_one in (True, False)
    ] == [
        1,
        2,
    ]


@EVERY
def test_the_state_is_the_product_of_exponentials_on_the_reference(problem: PairedElectrons) -> None:
    ansatz = ansatz_of(problem)
    assert not ansatz.initial_point.any()
    for point in (ansatz.initial_point, *(random_point(ansatz, seed) for seed in range(3))):
        expected = product_state(problem, pair_excitations(problem), point)
        np.testing.assert_allclose(state_at(ansatz, point), expected, atol=1e-12)


@EVERY
def test_electrons_spin_and_energy_are_those_of_the_state_of_all_electrons(problem: PairedElectrons) -> None:
    ansatz, chemist = ansatz_of(problem), problem.molecule
    state = state_at(ansatz, random_point(ansatz, 2)).real[list(problem.states)]
    every = determinants_of(chemist)
    chosen, signs = paired_determinants(problem)
    amplitudes = np.zeros(len(every))
    amplitudes[np.searchsorted(every, chosen)] = signs * state
    assert np.linalg.norm(amplitudes) == pytest.approx(1.0, abs=1e-12)
    assert ansatz.conserves_electrons
    for shift, count in zip((0, chemist.norb), chemist.electrons, strict=True):
        numbers = np.bitwise_count(every >> shift & (1 << chemist.norb) - 1)
        assert amplitudes**2 @ numbers == pytest.approx(count, abs=1e-12)
    spin = abs(chemist.electrons[0] - chemist.electrons[1]) / 2
    squared = spin_squared_matrix(chemist.norb, every) @ amplitudes
    np.testing.assert_allclose(squared, spin * (spin + 1) * amplitudes, atol=1e-12)
    energy = amplitudes @ (hamiltonian_matrix(chemist, every) @ amplitudes)
    assert state @ problem.matrix() @ state == pytest.approx(energy, abs=1e-10)


@EVERY
def test_the_energy_has_no_other_frequencies_in_an_angle_than_the_stated(problem: PairedElectrons) -> None:
    ansatz, hamiltonian = ansatz_of(problem), problem.hamiltonian.to_matrix()
    samples, point = 16, random_point(ansatz, 3)
    for index, frequencies in enumerate(ansatz.frequencies):
        energies = []
        for turn in 2.0 * np.pi * np.arange(samples) / samples:
            state = state_at(ansatz, np.where(np.arange(len(point)) == index, turn, point))
            energies.append(float((state.conj() @ hamiltonian @ state).real))
        seen = np.flatnonzero(np.abs(np.fft.rfft(energies)) > 1e-9)
        assert set(seen.tolist()) <= {0, *frequencies}
    assert ansatz.frequencies[0] == (2,)  # it acts on the reference alone
    assert set(ansatz.frequencies[1:]) == {(1, 2)}


@EVERY
def test_only_the_first_excitation_takes_one_gate_where_all_share_orbitals(problem: PairedElectrons) -> None:
    ansatz = ansatz_of(problem)
    assert ansatz.num_parameters == problem.pairs * (problem.num_qubits - problem.pairs)
    assert ansatz.circuit.num_nonlocal_gates() == 2 * ansatz.num_parameters - 1


@pytest.mark.parametrize(
    ("selected", "gates"),
    [(((1, 2),), 1), (((1, 2), (0, 3)), 2), (((1, 2), (1, 3)), 3), (((0, 2), (1, 2)), 3)],
    ids=str,
)
def test_excitations_of_disjoint_orbitals_take_one_gate_each(selected: tuple[PairExcitation, ...], gates: int) -> None:
    problem = PROBLEMS["two pairs"]
    ansatz = puccd(problem, selected)
    point = random_point(ansatz, 5)
    np.testing.assert_allclose(state_at(ansatz, point), product_state(problem, selected, point), atol=1e-12)
    assert ansatz.circuit.num_nonlocal_gates() == gates
    assert sum(1 if frequencies == (2,) else 2 for frequencies in ansatz.frequencies) == gates


def test_states_beyond_those_tracked_take_two_gates_a_rotation() -> None:
    problem = PairedElectrons(random_molecule(16, (5, 5), 0))  # 4,368 states
    ansatz = ansatz_of(problem)
    assert ansatz.circuit.num_nonlocal_gates() == 2 * ansatz.num_parameters - 1
    assert ansatz.num_parameters == 55


def test_excitations_begin_at_the_highest_filled_orbital_and_leave_out_those_without_an_integral() -> None:
    assert pair_excitations(PROBLEMS["two pairs"]) == ((1, 2), (1, 3), (0, 2), (0, 3))
    ion = PairedElectrons(molecule("H3+_0.9"))
    coupled = [(p, q) for p, q in ((0, 1), (0, 2)) if abs(ion.molecule.two_body[p, q, p, q]) > 1e-9]
    assert pair_excitations(ion) == tuple(coupled)


@pytest.mark.parametrize("electrons", [(2, 0), (2, 2), (0, 0)], ids=str)
def test_a_molecule_without_an_excitation_of_a_pair_is_refused(electrons: tuple[int, int]) -> None:
    problem = PairedElectrons(random_molecule(2, electrons, 0))
    with pytest.raises(InputError, match="no pair of electrons"):
        puccd(problem, pair_excitations(problem))
