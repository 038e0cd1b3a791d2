"""Fermion-to-qubit mappings agree with reference operators and with independently built dense ladder matrices."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.problems.determinants import determinants_of, hamiltonian_matrix, spin_squared_matrix
from hybridloop.algorithms.problems.electronic import (
    Encoding,
    electronic_problem,
    excitation,
    to_pauli_sum,
)
from hybridloop.algorithms.problems.exact import exact_energy_of_spin, exact_ground_energy
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.errors import InputError
from tests.algorithms.conftest import annihilator
from tests.algorithms.reference_helpers import MOLECULES, problem_of

MAPPINGS = list(FermionMapping)


def dense_hamiltonian(molecule: Molecule) -> NDArray[np.float64]:
    """Return Σ h_pq a†_p a_q + ½ Σ (pq|rs) a†_p a†_r a_s a_q + core, summed term by term."""
    norb = molecule.norb
    a = [annihilator(p, 2 * norb) for p in range(2 * norb)]
    total = molecule.core_energy * np.eye(4**norb)
    for p, q in np.ndindex(norb, norb):
        for spin in (0, norb):
            total += molecule.one_body[p, q] * a[p + spin].T @ a[q + spin]
    for p, q, r, s in np.ndindex(norb, norb, norb, norb):
        for one in (0, norb):
            for two in (0, norb):
                total += 0.5 * molecule.two_body[p, q, r, s] * a[p + one].T @ a[r + two].T @ a[s + two] @ a[q + one]
    return total


@st.composite
def molecules(draw: st.DrawFn) -> Molecule:
    norb = draw(st.integers(2, 3))
    electrons = draw(st.tuples(st.integers(0, norb), st.integers(0, norb)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    one = rng.normal(size=(norb, norb))
    factors = rng.normal(size=(2, norb, norb))
    factors += factors.transpose(0, 2, 1)
    two = np.einsum("kpq,krs->pqrs", factors, factors)
    return Molecule(one + one.T, two, electrons, float(rng.normal()), "random")


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_every_term_agrees_with_the_reference(mapping: FermionMapping) -> None:
    for name, known in MOLECULES.items():
        problem = problem_of(name, mapping)
        assert problem.encoding.num_qubits == known[mapping]["num_qubits"]
        assert len(problem.hamiltonian) == known[mapping]["num_terms"]
        bits = format(problem.reference_state, f"0{problem.encoding.num_qubits}b")
        assert bits == known[mapping]["hf_bitstring"]
        if "paulis" in known[mapping]:
            ours = dict(problem.hamiltonian.to_list())
            theirs = dict(known[mapping]["paulis"])
            assert ours.keys() == theirs.keys()
            # 2e-12: the MOLECULES's integrals were rotated once more than the file's
            assert max(abs(ours[label] - theirs[label]) for label in theirs) < 2e-12


@settings(max_examples=15)
@given(molecules())
def test_jordan_wigner_is_the_sum_of_ladder_matrices(molecule: Molecule) -> None:
    ours = electronic_problem(molecule, FermionMapping.JORDAN_WIGNER).hamiltonian.to_matrix()
    np.testing.assert_allclose(ours, dense_hamiltonian(molecule), atol=1e-10)


@settings(max_examples=15)
@given(molecules())
def test_parity_mapping_is_jordan_wigner_restricted_to_the_right_parities(molecule: Molecule) -> None:
    norb, (alpha, beta) = molecule.norb, molecule.electrons
    problem = electronic_problem(molecule, FermionMapping.PARITY)
    states = [
        state
        for state in range(4**norb)
        if (state & ((1 << norb) - 1)).bit_count() % 2 == alpha % 2 and state.bit_count() % 2 == (alpha + beta) % 2
    ]
    places = [problem.encoding.basis_state(state) for state in states]
    assert sorted(places) == list(range(4 ** (norb - 1)))
    block = dense_hamiltonian(molecule)[np.ix_(states, states)]
    np.testing.assert_allclose(problem.hamiltonian.to_matrix()[np.ix_(places, places)], block, atol=1e-10)


@settings(max_examples=15)
@given(molecules())
def test_the_exact_energy_is_the_lowest_with_the_right_electrons(molecule: Molecule) -> None:
    norb, (alpha, beta) = molecule.norb, molecule.electrons
    low = (1 << norb) - 1
    states = [s for s in range(4**norb) if ((s & low).bit_count(), (s >> norb).bit_count()) == (alpha, beta)]
    lowest = np.linalg.eigvalsh(dense_hamiltonian(molecule)[np.ix_(states, states)])[0]
    assert exact_ground_energy(molecule) == pytest.approx(lowest, abs=1e-9)


@settings(max_examples=15)
@given(molecules())
def test_the_energy_of_a_spin_is_the_lowest_among_its_states(molecule: Molecule) -> None:
    states = determinants_of(molecule)
    hamiltonian, squared = (
        hamiltonian_matrix(molecule, states).toarray(),
        spin_squared_matrix(molecule.norb, states).toarray(),
    )
    np.testing.assert_allclose(hamiltonian @ squared, squared @ hamiltonian, atol=1e-9)
    spins = np.linalg.eigvalsh(squared)
    numbers = (np.sqrt(1.0 + 4.0 * np.maximum(spins, 0.0)) - 1.0) / 2.0
    np.testing.assert_allclose(2.0 * numbers, np.round(2.0 * numbers), atol=1e-7)
    spin = abs(molecule.electrons[0] - molecule.electrons[1]) / 2
    kept = np.linalg.eigh(squared)[1][:, np.isclose(spins, spin * (spin + 1.0))]
    lowest = np.linalg.eigvalsh(kept.T @ hamiltonian @ kept)[0]
    assert exact_energy_of_spin(molecule) == pytest.approx(lowest, abs=1e-8)


def test_the_exact_energy_agrees_with_the_reference() -> None:
    for name, known in MOLECULES.items():
        assert exact_ground_energy(problem_of(name).molecule) == pytest.approx(known["exact_energy"], abs=1e-9)


def test_noninteracting_electrons_fill_the_lowest_orbitals() -> None:
    # 1225 determinants: enough for the sparse solver, and known without one
    one = np.random.default_rng(0).normal(size=(7, 7))
    molecule = Molecule(one + one.T, np.zeros((7,) * 4), (3, 3), 0.25, "free")
    levels = np.linalg.eigvalsh(one + one.T)
    assert exact_ground_energy(molecule) == pytest.approx(0.25 + 2 * levels[:3].sum(), abs=1e-9)


def test_a_molecule_too_large_for_an_exact_energy_is_refused() -> None:
    molecule = Molecule(np.diag(np.arange(10.0)), np.zeros((10,) * 4), (5, 5), 0.0, "large")
    with pytest.raises(InputError, match="63504 determinants"):
        exact_ground_energy(molecule)


def test_a_molecule_with_too_many_orbitals_for_64_bits_has_no_exact_energy() -> None:
    molecule = Molecule(np.diag(np.arange(32.0)), np.zeros((32,) * 4), (1, 1), 0.0, "wide")
    with pytest.raises(InputError, match="32 orbitals"):
        exact_ground_energy(molecule)


def test_helium_hydride_has_a_lower_energy_with_other_electrons_under_jordan_wigner() -> None:
    exact = MOLECULES["HeH+_0.7743"]["exact_energy"]
    lowest = {
        mapping: np.linalg.eigvalsh(problem_of("HeH+_0.7743", mapping).hamiltonian.to_matrix())[0]
        for mapping in MAPPINGS
    }
    assert lowest[FermionMapping.JORDAN_WIGNER] < exact - 0.1
    assert lowest[FermionMapping.PARITY] == pytest.approx(exact, abs=1e-9)


@given(st.permutations(range(4)), st.booleans())
def test_excitations_are_products_of_ladder_operators(orbitals: list[int], single: bool) -> None:  # noqa: FBT001 (drawn)
    emptied, filled = (orbitals[:1], orbitals[1:2]) if single else (orbitals[:2], orbitals[2:])
    a = [annihilator(p, 4) for p in range(4)]
    product = functools.reduce(np.matmul, [a[p].T for p in filled] + [a[p] for p in reversed(emptied)])
    ours = to_pauli_sum(excitation(emptied, filled), 4).to_matrix()
    np.testing.assert_allclose(ours, product - product.T, atol=1e-12)


def test_an_operator_that_breaks_the_removed_parities_is_refused() -> None:
    encoding = Encoding(FermionMapping.PARITY, 2, (1, 1))
    with pytest.raises(ValueError, match="parities"):
        encoding.encode(excitation([0], [2]))


def test_one_orbital_is_refused_under_parity_mapping() -> None:
    molecule = Molecule(np.array([[-1.0]]), np.zeros((1,) * 4), (1, 0), 0.0, "atom")
    with pytest.raises(InputError) as caught:
        electronic_problem(molecule)
    assert caught.value.field == "mapping"
