"""Double factorization: its groups are the Hamiltonian, its circuits rotate orbitals, and it takes fewer shots."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator, PauliList, Statevector
from scipy.stats import ortho_group

from benchmarks.accuracy_energies import fcidump
from benchmarks.shot_molecules import ground_state, on_all_qubits
from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.circuits.orbital_rotation import rotate
from hybridloop.algorithms.estimation.coefficient_splitting import expected_deviations
from hybridloop.algorithms.estimation.compressed_factorization import (
    _angle_slopes,
    filled_orbitals,
    orbitals_of,
    rotated_amplitudes,
)
from hybridloop.algorithms.estimation.double_factorization import (
    _fragments,
    double_factorization,
)
from hybridloop.algorithms.estimation.group_coefficients import RotatedGroups, _Shares
from hybridloop.algorithms.estimation.grouping import group_hamiltonian
from hybridloop.algorithms.estimation.observable import Grouping, MeasurementGroup, Observable
from hybridloop.algorithms.estimation.reference_state import ReferenceState
from hybridloop.algorithms.problems.determinants import count_determinants, determinants_of
from hybridloop.algorithms.problems.electronic import ElectronicProblem, electronic_problem
from hybridloop.algorithms.problems.molecule import Molecule, with_multiplicity
from hybridloop.errors import InputError
from hybridloop.inputs.formats.fcidump import read_fcidump


def molecule(name: str) -> Molecule:
    return read_fcidump(fcidump(name), name)


def perturbed(problem: ElectronicProblem) -> ReferenceState:
    return ReferenceState.perturbed(problem.hamiltonian, problem.reference_state)


def factorize(problem: ElectronicProblem, rotations: str | None = "") -> RotatedGroups:
    factorization = double_factorization(problem, perturbed(problem), rotations)
    assert factorization is not None
    return factorization


def basis_change(group: MeasurementGroup, num_qubits: int) -> QuantumCircuit:
    circuit = group.measurement_circuit(QuantumCircuit(num_qubits))
    circuit.remove_final_measurements()
    return circuit


def shot_energies(group: MeasurementGroup, num_qubits: int) -> NDArray[np.float64]:
    outcomes = np.arange(2**num_qubits)[:, None]
    return np.asarray((1.0 - 2.0 * (np.bitwise_count(outcomes & np.array(group.masks)) & 1)) @ group.coefficients)


def mean_energy(group: MeasurementGroup, state: Statevector) -> float:
    probabilities = state.evolve(basis_change(group, state.num_qubits)).probabilities()
    return float(probabilities @ shot_energies(group, state.num_qubits))


def deviations(observable: Observable, state: Statevector) -> list[float]:
    """Return the standard deviation of each group's shots in hartree."""
    found = []
    for group in observable.groups:
        probabilities = state.evolve(basis_change(group, state.num_qubits)).probabilities()
        energies = shot_energies(group, state.num_qubits)
        found.append(float(np.sqrt(probabilities @ (energies - probabilities @ energies) ** 2)))
    return found


@pytest.mark.parametrize("rotations", ["", None], ids=["eigenvectors", "fitted"])
@pytest.mark.parametrize("mapping", FermionMapping)
def test_groups_and_constant_sum_to_the_hamiltonian_for_any_number_of_electrons(
    mapping: FermionMapping, rotations: str | None
) -> None:
    problem = electronic_problem(molecule("H4_1.5"), mapping)
    observable, qubits = factorize(problem, rotations).observable, problem.encoding.num_qubits
    total = observable.constant * np.eye(2**qubits, dtype=complex)
    for group in observable.groups:
        change = Operator(basis_change(group, qubits)).data
        total += change.conj().T @ (shot_energies(group, qubits)[:, None] * change)
    assert np.abs(total - problem.hamiltonian.to_matrix()).max() < 1e-8


@pytest.mark.parametrize(("mapping", "gates"), [("jordan-wigner", 24), ("parity", 16)])
def test_a_rotation_shows_the_occupations_that_minors_of_the_orbitals_give(mapping: str, gates: int) -> None:
    ion = with_multiplicity(molecule("H4_1.5"), 3)
    encoding = electronic_problem(ion, FermionMapping(mapping)).encoding
    orbitals = ortho_group.rvs(4, random_state=np.random.default_rng(2))
    amplitudes = np.random.default_rng(5).normal(size=count_determinants(ion))
    amplitudes /= np.linalg.norm(amplitudes)
    rotation, rotated = rotate(encoding, orbitals)
    circuit = QuantumCircuit(encoding.num_qubits)
    rotation.append_to(circuit)
    states = [encoding.basis_state(int(state)) for state in determinants_of(ion)]
    measured = Statevector(on_all_qubits(ion, encoding, amplitudes)).evolve(circuit).probabilities()[states]
    filled = filled_orbitals(ion)
    expected = rotated_amplitudes(filled, amplitudes.reshape(len(filled[1]), len(filled[0])), orbitals[None]) ** 2
    np.testing.assert_allclose(measured, expected.reshape(-1), atol=1e-9)
    np.testing.assert_allclose(np.abs(rotated.T @ orbitals), np.eye(4), atol=1e-9)
    # 6 pairs of orbitals, 2 spins; under parity mapping the pairs at the ends of a spin have a constant neighbour
    assert circuit.num_nonlocal_gates() == rotation.two_qubit_gates == gates
    assert circuit.size() == len(rotation.gates)


def test_a_rotated_group_measures_the_parity_of_each_spin_and_no_single_orbital() -> None:
    problem = electronic_problem(molecule("H4_1.5"), FermionMapping.JORDAN_WIGNER)
    rotated = next(group for group in factorize(problem).observable.groups if group.two_qubit_gates == 24)
    is_measured, masks, signs = rotated.measurable_terms(PauliList(["IIIIZZZZ", "ZZZZIIII", "IIIIIIIZ", "IIIIIIXX"]))
    assert is_measured.tolist() == [True, True, False, False]
    assert (masks, signs.tolist()) == ([0b1111, 0b11110000], [1.0, 1.0])


@pytest.mark.parametrize("name", ["LiH_1.595_fc", "H2O_eq_fc"])
def test_it_takes_three_fifths_of_the_shots_of_commuting_groups_as_it_expects(name: str) -> None:
    problem = electronic_problem(molecule(name), FermionMapping.PARITY)
    state = Statevector(on_all_qubits(problem.molecule, problem.encoding, ground_state(problem.molecule)))
    factorization = factorize(problem)
    grouped = group_hamiltonian(problem.hamiltonian, Grouping.FULLY_COMMUTING, perturbed(problem))
    factorized, commuting = deviations(factorization.observable, state), deviations(grouped, state)
    assert sum(factorized) ** 2 < 0.6 * sum(commuting) ** 2
    assert len(factorized) < len(commuting)
    for measured, expected in (
        (factorized, factorization.deviations),
        (commuting, expected_deviations(grouped, perturbed(problem))),
    ):
        assert sum(expected) == pytest.approx(sum(measured), rel=0.2)
        assert sum(expected) > sum(measured)


@pytest.mark.parametrize(
    ("name", "share"), [("LiH_1.595_fc", 0.1), pytest.param("H2O_eq_fc", 0.4, marks=pytest.mark.slow)]
)
def test_fitted_orbitals_take_a_part_of_the_shots_of_eigenvectors(name: str, share: float) -> None:
    problem = electronic_problem(molecule(name), FermionMapping.PARITY)
    state = Statevector(on_all_qubits(problem.molecule, problem.encoding, ground_state(problem.molecule)))
    plain, fitted = (sum(deviations(factorize(problem, text).observable, state)) for text in ("", None))
    assert fitted**2 < share * plain**2


def test_recorded_orbitals_have_the_circuits_of_the_fit() -> None:
    problem = electronic_problem(molecule("H4_1.5"))
    fitted = factorize(problem, None)
    again = factorize(problem, fitted.rotations)
    assert again.rotations == fitted.rotations != ""
    for group, same in zip(fitted.observable.groups, again.observable.groups, strict=True):
        assert group.coefficients.tolist() == same.coefficients.tolist()
        assert (group.masks, group.diagonalization) == (same.masks, same.diagonalization)


@pytest.mark.parametrize("text", ["not base64", "AAA=", "AAAAAA=="])
def test_damaged_orbitals_of_a_record_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="damaged"):
        factorize(electronic_problem(molecule("H4_1.5")), text)


def test_slopes_of_a_fit_are_those_of_its_value() -> None:
    problem = electronic_problem(with_multiplicity(molecule("H4_1.5"), 3))
    fragments = _fragments(problem, perturbed(problem))
    angles = np.random.default_rng(0).normal(size=(7, 6))
    weights = np.full(8, 0.3)

    def value(turned: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        rotations = np.concatenate([np.eye(4)[None], orbitals_of(turned)])
        found, tangents, _ = fragments._value(rotations, weights)
        return found, _angle_slopes(turned, tangents[1:])

    _, slopes = value(angles)
    for group, rotation in ((0, 0), (3, 2), (6, 5)):
        shift = np.zeros_like(angles)
        shift[group, rotation] = 1e-5
        expected = (value(angles + shift)[0] - value(angles - shift)[0]) / 2e-5
        assert slopes[group, rotation] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_a_shot_is_off_the_mean_by_at_most_the_range_of_its_energies() -> None:
    problem = electronic_problem(molecule("H4_1.5"))
    states = np.array([problem.encoding.basis_state(int(each)) for each in determinants_of(problem.molecule)])
    for group in factorize(problem, None).observable.groups:
        energies = shot_energies(group, problem.encoding.num_qubits)[states]
        assert np.ptp(energies) == pytest.approx(group.energy_range, abs=1e-8)
        assert group.reach(float(energies.min()), problem.encoding.num_qubits) <= group.energy_range + 1e-8


def test_integrals_with_other_rounding_have_the_same_circuits_also_where_eigenvalues_are_equal() -> None:
    """Machines differ in eigenvectors of equal eigenvalues, as they do where integrals are rounded otherwise."""
    hydride = molecule("LiH_1.595_fc")
    noise = 1e-13 * np.random.default_rng(3).normal(size=hydride.two_body.shape)
    for axes in ((1, 0, 2, 3), (0, 1, 3, 2), (2, 3, 0, 1)):
        noise = noise + noise.transpose(axes)
    other = replace(hydride, two_body=hydride.two_body + noise)
    one, two = (factorize(electronic_problem(each)).observable for each in (hydride, other))
    for group, same in zip(one.groups, two.groups, strict=True):
        assert group.masks == same.masks
        np.testing.assert_allclose(group.coefficients, same.coefficients, atol=1e-7)
        first, second = (basis_change(each, one.num_qubits) for each in (group, same))
        assert first.count_ops() == second.count_ops()
        angles = [[item.operation.params for item in each.data] for each in (first, second)]
        for one_gate, other_gate in zip(*angles, strict=True):
            assert one_gate == pytest.approx(other_gate, abs=1e-8)


def test_large_molecules_have_none() -> None:
    norb = 9
    chain = Molecule(np.eye(norb), np.zeros((norb,) * 4), (1, 1), 0.0, "a chain")
    problem = electronic_problem(chain)
    assert double_factorization(problem, ReferenceState.of_basis_state(problem.reference_state)) is None


@pytest.mark.parametrize("mapping", FermionMapping)
def test_a_hubbard_chain_of_sites_takes_two_circuits(mapping: FermionMapping) -> None:
    """The repulsion is diagonal at the sites, and hopping in the orbitals of free electrons."""
    sites = 4
    hopping = -np.eye(sites, k=1) - np.eye(sites, k=-1)
    repulsion = np.zeros((sites,) * 4)
    repulsion[(np.arange(sites),) * 4] = 4.0
    problem = electronic_problem(Molecule(hopping, repulsion, (2, 2), 0.0, "a chain"), mapping)
    observable, qubits = factorize(problem).observable, problem.encoding.num_qubits
    assert len(observable.groups) == 2
    state = Statevector(np.eye(2**qubits)[problem.reference_state])
    energy = observable.constant + sum(mean_energy(group, state) for group in observable.groups)
    assert energy == pytest.approx(state.expectation_value(problem.hamiltonian).real, abs=1e-8)


def test_one_orbital_and_one_spin_have_groups() -> None:
    atom = Molecule(np.full((1, 1), -0.5), np.full((1,) * 4, 0.7), (1, 1), 0.0, "an atom")
    (group,) = factorize(electronic_problem(atom, FermionMapping.JORDAN_WIGNER)).observable.groups
    assert (group.basis, sorted(group.masks)) == ("ZZ", [1, 2, 3])
    quintet = electronic_problem(with_multiplicity(molecule("H4_1.5"), 5))
    observable, qubits = factorize(quintet).observable, quintet.encoding.num_qubits
    state = Statevector(np.eye(2**qubits)[quintet.reference_state])
    energy = observable.constant + sum(mean_energy(group, state) for group in observable.groups)
    assert energy == pytest.approx(quintet.molecule.hartree_fock_energy, abs=1e-8)


def test_groups_that_others_can_replace_are_left_out_at_no_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are as many rotations as pairs of orbitals, which give more coefficients than there are equations."""
    problem = electronic_problem(molecule("LiH_1.595_fc"))
    few = factorize(problem)
    monkeypatch.setattr(_Shares, "without_spare_groups", lambda _, weights: weights)
    all_groups = factorize(problem)
    assert len(few.observable.groups) <= 0.7 * len(all_groups.observable.groups)
    assert few.deviations.sum() < 1.011 * all_groups.deviations.sum()
