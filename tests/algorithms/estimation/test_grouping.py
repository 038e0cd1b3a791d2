"""Coefficient splitting: the same operator with fewer shots, at the exact ground state of reference molecules."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp, Statevector
from scipy.sparse.linalg import eigsh

from hybridloop.algorithms.circuits.ansatz import Ansatz, hardware_efficient
from hybridloop.algorithms.circuits.uccsd import uccsd
from hybridloop.algorithms.estimation.coefficient_splitting import expected_deviations, split_coefficients
from hybridloop.algorithms.estimation.commuting_groups import color_greedily
from hybridloop.algorithms.estimation.estimates import shot_energies
from hybridloop.algorithms.estimation.grouping import (
    GroupingChoice,
    MeasurementCosts,
    choose_grouping,
    group_hamiltonian,
    pauli_groupings,
)
from hybridloop.algorithms.estimation.observable import Grouping, Observable, observable
from hybridloop.algorithms.estimation.reference_state import ReferenceState
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.rounds import Counts
from tests.algorithms.estimation.test_observable import dense
from tests.algorithms.reference_helpers import problem_of
from tests.long_form import long_form, short_or_long

PAULI_GROUPINGS = (Grouping.QUBIT_WISE, Grouping.FULLY_COMMUTING)


@long_form
@settings(max_examples=short_or_long(12, 100))
@given(
    st.dictionaries(st.text("IXYZ", min_size=3, max_size=3), st.floats(-1, 1), min_size=1, max_size=20),
    st.integers(0, 7),
    st.sampled_from(list(Grouping)),
    st.sampled_from(["basis state", "perturbed"]),
)
def test_split_coefficients_add_up_to_the_operator(
    terms: dict[str, float], start: int, grouping: Grouping, kind: str
) -> None:
    operator = SparsePauliOp.from_list(list(terms.items()))
    reference = ReferenceState.of_basis_state(start)
    if kind == "perturbed":
        reference = ReferenceState.perturbed(operator, start)
    whole = observable(operator, grouping)
    shared = split_coefficients(whole, reference)
    together = shared.constant * np.eye(8) + sum(dense(group, 3) for group in shared.groups)
    np.testing.assert_allclose(together, whole.operator.to_matrix(), atol=1e-12)


@settings(max_examples=20)
@given(
    st.dictionaries(st.text("IXYZ", min_size=3, max_size=3), st.floats(-1, 1), min_size=1, max_size=20),
    st.integers(0, 7),
)
def test_shares_do_not_depend_on_the_place_of_the_qubits_in_a_wide_register(
    terms: dict[str, float], start: int
) -> None:
    operator = SparsePauliOp.from_list(list(terms.items()))
    places = [2, 63, 129]  # of the qubits 0, 1 and 2 in a register of 130
    wide = operator.apply_layout(places, num_qubits=130)
    wide_start = sum((start >> qubit & 1) << place for qubit, place in enumerate(places))
    near, wide_near = ReferenceState.perturbed(operator, start), ReferenceState.perturbed(wide, wide_start)
    spread = [sum((state >> qubit & 1) << place for qubit, place in enumerate(places)) for state in near.basis_states]
    assert list(wide_near.basis_states) == spread
    np.testing.assert_allclose(wide_near.amplitudes, near.amplitudes, atol=1e-12)
    split = split_coefficients(observable(operator), near)
    wide_split = split_coefficients(observable(wide), wide_near)
    for found, expected in zip(wide_split.groups, split.groups, strict=True):
        np.testing.assert_allclose(found.coefficients, expected.coefficients, atol=1e-9)


def distributions(measured: Observable, state: NDArray[np.complex128]) -> list[NDArray[np.float64]]:
    """Return the exact outcome distribution of each group's circuit in a state."""
    empty = QuantumCircuit(measured.num_qubits)
    circuits = [group.measurement_circuit(empty).remove_final_measurements(inplace=False) for group in measured.groups]
    return [Statevector(state).evolve(circuit).probabilities() for circuit in circuits]


def ground_state(problem: ElectronicProblem) -> tuple[float, NDArray[np.complex128]]:
    values, vectors = eigsh(
        problem.hamiltonian.to_matrix(sparse=True), k=1, which="SA", v0=np.ones(2**problem.encoding.num_qubits)
    )
    return float(values[0]), vectors[:, 0].astype(complex)


def neyman_cost(measured: Observable, state: NDArray[np.complex128]) -> float:
    """Return Σ_g σ_g in hartree from the exact distributions."""
    total = 0.0
    for group, probabilities in zip(measured.groups, distributions(measured, state), strict=True):
        outcomes = np.arange(len(probabilities), dtype=np.uint8)[:, None]
        energies = shot_energies(group, Counts(measured.num_qubits, outcomes, np.ones(len(outcomes), np.int64)))
        mean = float(probabilities @ energies)
        total += math.sqrt(float(probabilities @ (energies - mean) ** 2))
    return total


def hartree_fock(problem: ElectronicProblem) -> ReferenceState:
    return ReferenceState.of_basis_state(problem.reference_state)


def perturbed(problem: ElectronicProblem) -> ReferenceState:
    return ReferenceState.perturbed(problem.hamiltonian, problem.reference_state)


def test_splitting_saves_over_40_percent_of_the_shots_at_the_ground_state() -> None:
    problem = problem_of("H4_1")
    _, state = ground_state(problem)
    whole = observable(problem.hamiltonian)
    before, after = (
        neyman_cost(whole, state),
        neyman_cost(split_coefficients(whole, hartree_fock(problem)), state),
    )
    assert before == pytest.approx(1.31, abs=0.01)  # computed apart, for these groups
    assert (after / before) ** 2 < 0.6


@pytest.mark.parametrize(("name", "most"), [("H4_1", (0.70, 0.82)), ("LiH_1.595_fc", (0.76, 0.76))])
def test_covariances_of_the_perturbed_state_save_shots_and_tell_how_many_it_takes(
    name: str, most: tuple[float, float]
) -> None:
    problem = problem_of(name)
    _, state = ground_state(problem)
    for grouping, limit in zip(PAULI_GROUPINGS, most, strict=True):
        whole = observable(problem.hamiltonian, grouping)
        before, after = (split_coefficients(whole, make(problem)) for make in (hartree_fock, perturbed))
        cost = neyman_cost(after, state)
        assert (cost / neyman_cost(before, state)) ** 2 < limit
        assert cost <= neyman_cost(whole, state)
        assert float(expected_deviations(after, perturbed(problem)).sum()) == pytest.approx(cost, rel=0.2)
        assert len(after.groups) <= len(whole.groups)


def test_the_perturbed_state_is_nearer_to_the_ground_state_than_hartree_fock() -> None:
    problem = problem_of("LiH_1.595_fc")
    _, state = ground_state(problem)
    near = perturbed(problem)
    assert np.linalg.norm(near.amplitudes) == pytest.approx(1.0)
    assert abs(np.vdot(near.amplitudes, state[list(near.basis_states)])) > 0.998 > abs(state[problem.reference_state])
    fewer = near.truncate(3)
    assert len(fewer.amplitudes) == 3
    assert fewer.basis_states[0] == problem.reference_state
    assert fewer.extra_variance > near.extra_variance
    assert np.linalg.norm(fewer.amplitudes) == pytest.approx(1.0)


def test_rows_of_images_have_the_covariances_of_commuting_terms() -> None:
    problem = problem_of("H4_1")
    near = perturbed(problem)
    state = np.zeros(2**problem.encoding.num_qubits, complex)
    state[list(near.basis_states)] = near.amplitudes
    paulis = problem.hamiltonian.paulis
    terms = color_greedily(paulis, qubit_wise=False)[0]
    images = near.centered_images(paulis[terms]).toarray()
    applied = np.array([each.to_matrix() @ state for each in paulis[terms]])
    means = (applied @ state.conj()).real
    expected = (applied.conj() @ applied.T).real - np.outer(means, means)
    np.testing.assert_allclose((images.conj() @ images.T).real, expected, atol=1e-12)


@pytest.mark.parametrize("name", ["H4_1", "LiH_1.595_fc"])
def test_fully_commuting_groups_take_a_quarter_of_the_circuits_and_no_more_shots_at_the_ground_state(name: str) -> None:
    problem = problem_of(name)
    _, state = ground_state(problem)
    for make in (hartree_fock, perturbed):
        qubit_wise, commuting = (
            group_hamiltonian(problem.hamiltonian, grouping, make(problem)) for grouping in PAULI_GROUPINGS
        )
        assert len(commuting.groups) <= 0.28 * len(qubit_wise.groups)
        limit = 1.06 if make is hartree_fock else 1.18  # H4: both are below those of Hartree-Fock's covariances
        assert neyman_cost(commuting, state) <= limit * neyman_cost(qubit_wise, state)


def free(two_qubit_error: float) -> MeasurementCosts:
    """Return the costs of a target that bills no shots."""
    return MeasurementCosts(lambda _, shots: float(shots + 1000), "shots", two_qubit_error)


def test_the_choice_of_grouping_weighs_cost_and_noise_and_gives_its_reason() -> None:
    def chosen(name: str, costs: MeasurementCosts, ansatz: Ansatz | None = None) -> GroupingChoice:
        problem = problem_of(name)
        circuit = uccsd(problem) if ansatz is None else ansatz
        reference = perturbed(problem)
        of_paulis = pauli_groupings(problem.hamiltonian, reference)
        return choose_grouping(of_paulis, circuit, reference, costs, precision=0.7e-3)

    small, large = chosen("H2_0.735", free(0.0)), chosen("H4_1", free(0.0))
    assert small.grouping is Grouping.QUBIT_WISE  # there are two groups either way
    assert "save" in small.why
    assert large.grouping is Grouping.FULLY_COMMUTING
    assert "9 circuits per point, with" in large.why
    # noise counts against the gates of a short circuit, and hardly against those of a long one
    short = hardware_efficient(6, np.zeros(12))
    assert chosen("H4_1", free(0.0133)).grouping is Grouping.FULLY_COMMUTING
    assert chosen("H4_1", free(0.0), short).grouping is Grouping.FULLY_COMMUTING
    noisy = chosen("H4_1", free(0.0133), short)
    assert noisy.grouping is Grouping.QUBIT_WISE
    assert "two-qubit gates beside the 5 of the ansatz" in noisy.why
    assert all(group.diagonalization is None for group in noisy.observable.groups)
    # so does their price
    dear = MeasurementCosts(lambda group, shots: shots * (1 + 3.0 * group.two_qubit_gates), "USD", 0.0)
    assert "save nothing" in chosen("H4_1", dear, short).why


def test_one_group_is_not_split() -> None:
    whole = observable(SparsePauliOp(["ZZ", "IZ"], [1.0, 0.5]))
    assert split_coefficients(whole, ReferenceState.of_basis_state(0)) is whole


@pytest.mark.parametrize("grouping", PAULI_GROUPINGS)
def test_shares_do_not_change_with_the_last_digits_of_the_coefficients_in_which_machines_differ(
    grouping: Grouping,
) -> None:
    hamiltonian = problem_of("LiH_1.595_fc").hamiltonian
    state = problem_of("LiH_1.595_fc").reference_state
    rounding = 1.0 + 1e-14 * np.random.default_rng(1).normal(size=len(hamiltonian))
    rounded = SparsePauliOp(hamiltonian.paulis, hamiltonian.coeffs * rounding)
    one, two = (
        group_hamiltonian(each, grouping, ReferenceState.perturbed(each, state)) for each in (hamiltonian, rounded)
    )
    for group, same in zip(one.groups, two.groups, strict=True):
        assert (group.basis, group.masks) == (same.basis, same.masks)
        np.testing.assert_allclose(group.coefficients, same.coefficients, atol=1e-9)
