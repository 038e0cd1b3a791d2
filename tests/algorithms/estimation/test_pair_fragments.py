"""Groups of electron pairs: rotations of disjoint pairs of orbitals whose sum is the Hamiltonian, in few shots."""

from __future__ import annotations

import base64
import functools

import numpy as np
import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator, PauliList

from hybridloop.algorithms.circuits.pair_rotation import PairRotation
from hybridloop.algorithms.circuits.puccd import pair_excitations, puccd
from hybridloop.algorithms.estimation.group_coefficients import RotatedGroups
from hybridloop.algorithms.estimation.observable import MeasurementGroup
from hybridloop.algorithms.estimation.pair_fragments import (
    ANGLE_DECIMALS,
    EXTRA_VARIANCE,
    FAULT_SHOTS,
    MAX_STATES,
    _Fragments,
    matchings,
    pair_groups,
)
from hybridloop.algorithms.problems.pairs import PairedElectrons
from hybridloop.errors import InputError
from tests.algorithms.pair_helpers import Array, natural_pairs, pair_hop, random_molecule

NAMES = ("h2", "H3+_0.9", "lih-frozen-core", "H2_0.74_6-31g", "h2o-4,4")
SLOW = ("H2_0.74_6-31g", "h2o-4,4")
EVERY = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in NAMES]
)
FAULT = 0.02


def grouped(problem: PairedElectrons, *, fault: float = 0.0, text: str = "") -> RotatedGroups:
    found = pair_groups(problem, fault=fault, text=text)
    assert found is not None
    return found


@functools.cache
def groups_of(name: str, fault: float = 0.0) -> RotatedGroups:
    return grouped(natural_pairs(name), fault=fault)


def givens_of(group: MeasurementGroup) -> tuple[tuple[int, int, float], ...]:
    if group.diagonalization is None:
        return ()
    assert isinstance(group.diagonalization, PairRotation)
    return group.diagonalization.givens


def rotation_of(group: MeasurementGroup, problem: PairedElectrons) -> Array:
    """Return the group's rotations (states, states) as exponentials of dense pair excitations."""
    matrix = np.eye(2**problem.num_qubits)
    for p, q, angle in givens_of(group):
        matrix = scipy.linalg.expm(angle * pair_hop(p, q, problem.num_qubits)) @ matrix
    return np.asarray(matrix[np.ix_(problem.states, problem.states)])


def energies_of(group: MeasurementGroup, problem: PairedElectrons) -> Array:
    """Return the energy of each state's outcome (states,), by the signs of its products of Z."""
    signs = [[(-1.0) ** (state & mask).bit_count() for mask in group.masks] for state in problem.states]
    return np.array(signs) @ group.coefficients


def sum_of(found: RotatedGroups, problem: PairedElectrons) -> Array:
    """Return the constant and the groups' sum (states, states)."""
    total = found.observable.constant * np.eye(len(problem.states))
    for group in found.observable.groups:
        rotation = rotation_of(group, problem)
        total += rotation.T @ (energies_of(group, problem)[:, None] * rotation)
    return np.asarray(total)


def angles_to_text(angles: Array) -> str:
    return base64.b64encode(np.round(angles * 10.0**ANGLE_DECIMALS).astype("<i4").tobytes()).decode()


def ground_state(problem: PairedElectrons) -> Array:
    return np.asarray(np.linalg.eigh(problem.matrix())[1][:, 0])


def variances(found: RotatedGroups, problem: PairedElectrons) -> tuple[Array, Array]:
    """Return the variances (groups,) of one shot in the ground state, and in the uniform mixture of all states."""
    exact, uniform, state = [], [], ground_state(problem)
    for group in found.observable.groups:
        chances, energies = (rotation_of(group, problem) @ state) ** 2, energies_of(group, problem)
        exact.append(float(chances @ energies**2 - (chances @ energies) ** 2))
        uniform.append(float(energies.var()))
    return np.array(exact), np.array(uniform)


def pauli_basis_deviations(problem: PairedElectrons) -> Array:
    """Return the standard deviations (3,) of the terms of Z, of X and of Y, each measured by one circuit."""
    operator, state = problem.hamiltonian, np.zeros(2**problem.num_qubits)
    state[list(problem.states)] = ground_state(problem)
    found = []
    for letter in "ZXY":
        is_part = [set(label) <= {"I", letter} and letter in label for label in operator.paulis.to_labels()]
        part = operator[is_part].to_matrix() @ state
        found.append(np.sqrt(np.vdot(part, part).real - np.vdot(state, part).real ** 2))
    return np.array(found)


@pytest.mark.parametrize("fault", [0.0, FAULT])
@EVERY
def test_groups_and_constant_sum_to_the_hamiltonian_of_the_pairs(name: str, fault: float) -> None:
    problem = natural_pairs(name)
    np.testing.assert_allclose(sum_of(groups_of(name, fault), problem), problem.matrix(), rtol=0, atol=1e-6)


@EVERY
def test_the_circuit_of_a_group_rotates_disjoint_pairs_of_orbitals_and_keeps_the_number_of_pairs(name: str) -> None:
    problem, found = natural_pairs(name), groups_of(name)
    states = list(problem.states)
    for group in found.observable.groups:
        turned = [qubit for p, q, _ in givens_of(group) for qubit in (p, q)]
        assert len(turned) == len(set(turned))
        circuit = group.measurement_circuit(QuantumCircuit(problem.num_qubits))
        circuit.remove_final_measurements()
        unitary = Operator(circuit).data
        np.testing.assert_allclose(unitary[np.ix_(states, states)], rotation_of(group, problem), atol=1e-10)
        assert np.abs(np.delete(unitary, states, axis=0)[:, states]).max() < 1e-12
        assert group.ones == problem.pairs
        assert group.two_qubit_gates == circuit.num_nonlocal_gates()


@EVERY
def test_a_measured_circuit_has_at_most_fourteen_gates_on_two_qubits(name: str) -> None:
    problem = natural_pairs(name)
    ansatz = puccd(problem, pair_excitations(problem))
    assert ansatz.circuit.num_nonlocal_gates() + groups_of(name).observable.two_qubit_gates <= 14


@pytest.mark.parametrize("fault", [0.0, FAULT])
@EVERY
def test_expected_deviations_are_exact_with_the_stated_extra_variance(name: str, fault: float) -> None:
    found = groups_of(name, fault)
    exact, uniform = variances(found, natural_pairs(name))
    extra = max(EXTRA_VARIANCE, fault)
    np.testing.assert_allclose(found.deviations, np.sqrt(exact + extra * uniform), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("fault", "shots"), [(0.0, 0.0), (FAULT, FAULT_SHOTS * FAULT)])
@EVERY
def test_faults_count_as_the_expected_number_of_random_shots_and_there_are_none_without_noise(
    name: str, fault: float, shots: float
) -> None:
    problem, found = natural_pairs(name), groups_of(name, fault)
    for group in found.observable.groups:
        energies = energies_of(group, problem)
        assert group.fault_deviation == pytest.approx(np.sqrt(shots * energies.var()), rel=1e-6, abs=1e-8)
        assert group.energy_range == pytest.approx(np.ptp(energies), abs=1e-7)


@EVERY
def test_the_groups_take_at_most_a_fifth_of_the_shots_of_pauli_bases(name: str) -> None:
    problem = natural_pairs(name)
    of_groups = np.sqrt(np.maximum(0.0, variances(groups_of(name), problem)[0])).sum()
    of_bases = pauli_basis_deviations(problem).sum()
    assert (of_groups / 0.7e-3) ** 2 <= (of_bases / 0.7e-3) ** 2 / 5.0


@pytest.mark.parametrize("fault", [0.0, FAULT])
@EVERY
def test_recorded_rotations_have_the_same_groups_to_the_last_bit(name: str, fault: float) -> None:
    # a resumed run has the same integrals, but no fit, and does not know the fault of the record
    fitted, problem = groups_of(name, fault), PairedElectrons(natural_pairs(name).molecule)
    again = grouped(problem, text=fitted.rotations)
    assert again.rotations == fitted.rotations
    assert again.observable.constant == fitted.observable.constant
    np.testing.assert_array_equal(again.deviations, fitted.deviations)
    assert len(again.observable.groups) == len(fitted.observable.groups)
    for group, same in zip(fitted.observable.groups, again.observable.groups, strict=True):
        np.testing.assert_array_equal(group.coefficients, same.coefficients)
        assert (group.masks, group.basis, group.diagonalization) == (same.masks, same.basis, same.diagonalization)
        assert group.fault_deviation == same.fault_deviation


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-4],
        lambda text: text + "AAAA",
        lambda text: text[1 + text.index(":") :],
        lambda text: "x" + text,
        lambda text: text.replace(":", ""),
        lambda text: text[: text.index(":") + 1],
        lambda text: text[: text.index(":") + 1] + "no base64",
        lambda text: "nan" + text[text.index(":") :],
        lambda text: "inf" + text[text.index(":") :],
        lambda text: "-" + text,
    ],
    ids=[
        "cut",
        "long",
        "no variance",
        "no number",
        "no colon",
        "no angles",
        "no base64",
        "nan",
        "infinite",
        "negative",
    ],
)
def test_a_damaged_record_is_refused(change: object) -> None:
    assert callable(change)
    text = groups_of("H3+_0.9").rotations
    with pytest.raises(InputError, match="damaged"):
        pair_groups(natural_pairs("H3+_0.9"), text=change(text))


@EVERY
def test_slopes_of_a_fit_are_those_of_its_value(name: str) -> None:
    fragments = _Fragments(natural_pairs(name), FAULT)
    angles = np.random.default_rng(1).uniform(-0.7, 0.7, sum(map(len, fragments.matchings)))
    point = np.concatenate([angles, np.log(np.full(len(fragments.matchings), 0.02))])
    slopes = fragments._objective(point)[1]

    def difference(step: NDArray[np.float64]) -> float:
        """Return the slope by differences of fourth order."""
        far, near = (
            fragments._objective(point + k * step)[0] - fragments._objective(point - k * step)[0] for k in (2, 1)
        )
        return (8.0 * near - far) / 12e-4

    expected = [difference(step) for step in 1e-4 * np.eye(len(point))]
    np.testing.assert_allclose(slopes, expected, rtol=1e-5, atol=1e-6 * np.abs(slopes).max())


@given(st.integers(2, 12))
def test_matchings_have_each_two_qubits_once(count: int) -> None:
    found = matchings(count)
    assert len(found) == count - 1 + count % 2
    pairs = [pair for matching in found for pair in matching]
    assert sorted(pairs) == [(p, q) for p in range(count) for q in range(p + 1, count)]
    for matching in found:
        qubits = [qubit for pair in matching for qubit in pair]
        assert len(set(qubits)) == len(qubits) == count - count % 2


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([(3, 1, 1), (4, 1, 1), (4, 2, 2), (4, 3, 3), (5, 3, 1), (5, 2, 3)]), st.integers(0, 2**32))
def test_any_angles_and_integrals_have_groups_that_sum_to_the_hamiltonian(
    sizes: tuple[int, int, int], seed: int
) -> None:
    norb, alpha, beta = sizes
    problem = PairedElectrons(random_molecule(norb, (alpha, beta), seed))
    count = problem.num_qubits * (problem.num_qubits - 1) // 2
    generator = np.random.default_rng(seed)
    # a vanishing rotation does not measure the exchange of its orbitals, and one near it only with large coefficients
    angles = generator.choice([-1.0, 1.0], count) * generator.uniform(0.1, 0.7, count)
    found = grouped(problem, text="0.001:" + angles_to_text(angles))
    np.testing.assert_allclose(sum_of(found, problem), problem.matrix(), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_high_spin_state_of_a_molecule_is_measured_in_groups_too() -> None:
    problem = natural_pairs("o2-cas86")
    assert (problem.num_qubits, problem.pairs) == (4, 3)
    np.testing.assert_allclose(sum_of(groups_of("o2-cas86"), problem), problem.matrix(), rtol=0, atol=1e-6)


def test_more_states_than_a_fit_has_time_for_are_not_split() -> None:
    problem = PairedElectrons(random_molecule(10, (4, 4), 0))
    assert len(problem.states) > MAX_STATES
    assert pair_groups(problem) is None


def test_a_rotation_measures_terms_of_z_on_the_qubits_that_it_does_not_turn() -> None:
    group = MeasurementGroup("", (1,), np.array([1.0]), PairRotation(((0, 1, 0.3),)))
    is_measured, masks, signs = group.measurable_terms(PauliList(["ZIII", "ZZII", "IIIZ", "IIZZ", "IXXI", "XXII"]))
    assert is_measured.tolist() == [True, True, False, False, False, False]
    assert (masks, signs.tolist()) == ([0b1000, 0b1100], [1.0, 1.0])


def test_two_orbitals_with_one_pair_take_one_gate() -> None:
    assert groups_of("h2").observable.two_qubit_gates == 1
