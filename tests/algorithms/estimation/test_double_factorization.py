"""Double factorization: its fragments are the Hamiltonian, its circuits rotate orbitals, and it takes fewer shots."""

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit.quantum_info import Operator, Statevector
from scipy.stats import ortho_group

from benchmarks.accuracy_energies import fcidump
from benchmarks.double_factorization import (
    cisd_state,
    double_factorization,
    factorized_row,
    ground_state,
    groups_row,
    on_all_qubits,
    rotated_probabilities,
    rotation,
)
from benchmarks.measurement_fragments import Fragment
from hybridloop.algorithms.estimation.observable import Grouping
from hybridloop.algorithms.formats.fcidump import read_fcidump
from hybridloop.algorithms.problems.determinants import count_determinants, determinants_of, hamiltonian_matrix
from hybridloop.algorithms.problems.electronic import FermionMapping, electronic_problem
from hybridloop.algorithms.problems.exact import exact_ground_energy
from hybridloop.algorithms.problems.molecule import Molecule, with_multiplicity


def molecule(name: str) -> Molecule:
    return read_fcidump(fcidump(name), name)


def random_state(size: int) -> NDArray[np.complex128]:
    generator = np.random.default_rng(5)
    state = generator.normal(size=size) + 1j * generator.normal(size=size)
    return np.asarray(state / np.linalg.norm(state))


def mean_energy(fragment: Fragment, state: Statevector) -> float:
    outcomes = np.arange(state.dim)
    return float(state.evolve(fragment.basis_change).probabilities() @ fragment.energies(outcomes))


def test_fragments_and_constant_sum_to_the_hamiltonian_for_any_number_of_electrons() -> None:
    chain = molecule("H4_1.5")
    constant, fragments = double_factorization(chain)
    total = constant * np.eye(256, dtype=complex)
    for fragment in fragments:
        change = Operator(fragment.basis_change).data
        total += change.conj().T @ (fragment.energies(np.arange(256))[:, None] * change)
    hamiltonian = electronic_problem(chain, FermionMapping.JORDAN_WIGNER).hamiltonian
    assert np.abs(total - hamiltonian.to_matrix()).max() < 1e-10


def test_fragments_sum_to_the_energy_of_a_random_state_of_ten_qubits() -> None:
    hydride = molecule("LiH_1.595_fc")
    state = Statevector(random_state(2**10))
    constant, fragments = double_factorization(hydride)
    energy = constant + sum(mean_energy(fragment, state) for fragment in fragments)
    hamiltonian = electronic_problem(hydride, FermionMapping.JORDAN_WIGNER).hamiltonian
    assert energy == pytest.approx(state.expectation_value(hamiltonian).real, abs=1e-10)


def test_a_basis_change_shows_the_occupations_that_minors_of_the_orbitals_give() -> None:
    ion = with_multiplicity(molecule("H4_1.5"), 3)
    orbitals = ortho_group.rvs(4, random_state=np.random.default_rng(2))
    amplitudes = random_state(count_determinants(ion)).real
    amplitudes /= np.linalg.norm(amplitudes)
    state = Statevector(on_all_qubits(ion, FermionMapping.JORDAN_WIGNER, amplitudes))
    circuit = rotation(orbitals)
    measured = state.evolve(circuit).probabilities()[determinants_of(ion)]
    np.testing.assert_allclose(measured, rotated_probabilities(ion, orbitals, amplitudes), atol=1e-12)
    assert circuit.count_ops()["cx"] == circuit.num_nonlocal_gates() == 24  # 2 CX, 6 pairs of orbitals, 2 spins


def test_singles_and_doubles_are_exact_for_two_electrons_and_an_upper_bound_for_four() -> None:
    errors = []
    for name in ("LiH_1.595_fc", "H4_1.5"):
        system = molecule(name)
        state = cisd_state(system)
        energy = state @ (hamiltonian_matrix(system, determinants_of(system)) @ state)
        errors.append(energy - exact_ground_energy(system))
    assert errors[0] == pytest.approx(0.0, abs=1e-10)
    assert 1e-4 < errors[1] < 0.05


def test_double_factorization_takes_less_than_half_the_shots_of_commuting_groups_for_lithium_hydride() -> None:
    hydride = molecule("LiH_1.595_fc")
    state = ground_state(hydride)
    grouped = groups_row(hydride, FermionMapping.JORDAN_WIGNER, Grouping.FULLY_COMMUTING, state)
    factorized = factorized_row(hydride, cisd_state(hydride), state)
    assert factorized.shots < 0.5 * grouped.shots
    assert factorized.circuits < grouped.circuits
    assert grouped.most_gates < factorized.most_gates <= 40  # 2 CX, 10 pairs of orbitals, 2 spins
