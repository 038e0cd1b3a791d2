"""Ansatz circuits: the states they prepare, conserved electrons, stated frequencies, refused input."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp, Statevector
from scipy.linalg import expm
from scipy.optimize import minimize

from hybridloop.algorithms.choices import FermionMapping, Rotations
from hybridloop.algorithms.circuits.ansatz import Ansatz, hardware_efficient
from hybridloop.algorithms.circuits.uccsd import excitation_ansatz, excitations, uccsd
from hybridloop.algorithms.optimizers.trigonometric_model import fit_trigonometric, sample_offsets
from hybridloop.algorithms.problems.electronic import ElectronicProblem, electronic_problem
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.errors import InputError
from tests.algorithms.conftest import annihilator
from tests.algorithms.reference_helpers import MOLECULES, problem_of
from tests.long_form import long_form, short_or_long
from tests.value_helpers import known

MAPPINGS = list(FermionMapping)
STANDARD = {"x", "h", "s", "sdg", "cx", "rx", "ry", "rz"}


def state_at(ansatz: Ansatz, point: NDArray[np.float64]) -> NDArray[np.complex128]:
    state: NDArray[np.complex128] = Statevector(ansatz.circuit.assign_parameters(point)).data
    return state


def energy_at(problem: ElectronicProblem, ansatz: Ansatz, point: NDArray[np.float64]) -> float:
    state = state_at(ansatz, point)
    return float(np.vdot(state, problem.hamiltonian.to_matrix(sparse=True) @ state).real)


@settings(max_examples=6)
@given(st.integers(0, 2**32), st.sampled_from(["LiH_1.595_cas(2,3)", "LiH_3_cas(2,2)"]))
def test_uccsd_is_the_product_of_exact_exponentials(seed: int, name: str) -> None:
    problem = problem_of(name, FermionMapping.JORDAN_WIGNER)
    chosen = list(excitations(problem))
    ansatz = excitation_ansatz(problem, chosen, "all")
    point = np.random.default_rng(seed).uniform(-np.pi, np.pi, ansatz.num_parameters)
    count = problem.encoding.num_qubits
    state = np.zeros(2**count)
    state[problem.reference_state] = 1.0
    for angle, (emptied, filled) in zip(point, chosen, strict=True):
        ladder = [annihilator(p, count).T for p in filled] + [annihilator(p, count) for p in reversed(emptied)]
        excite = functools.reduce(np.matmul, ladder)
        state = expm(angle * (excite - excite.T)) @ state
    overlap = np.vdot(state, state_at(ansatz, point))
    assert abs(overlap) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("name", ["H2_0.735", "HeH+_0.7743", "LiH_1.595_cas(2,3)", "H4_1"])
def test_both_mappings_give_the_same_energy_at_random_angles(name: str) -> None:
    problems = [problem_of(name, mapping) for mapping in MAPPINGS]
    ansaetze = [uccsd(problem) for problem in problems]
    point = np.random.default_rng(3).uniform(-1, 1, ansaetze[0].num_parameters)
    one, other = (energy_at(*pair, point) for pair in zip(problems, ansaetze, strict=True))
    assert one == pytest.approx(other, abs=1e-9)


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_zero_angles_are_hartree_fock(mapping: FermionMapping) -> None:
    for name in ("H2_0.3", "H2_2.5", "HeH+_0.7743", "LiH_1.595_fc", "H4_1"):
        problem = problem_of(name, mapping)
        ansatz = uccsd(problem)
        assert not ansatz.initial_point.any()
        energy = energy_at(problem, ansatz, ansatz.initial_point)
        assert energy == pytest.approx(MOLECULES[name]["hf_energy"], abs=1e-9)


@long_form
@settings(max_examples=short_or_long(5, 60))
@given(st.integers(0, 2**32), st.sampled_from(["H2_0.735", "LiH_3_cas(2,2)", "LiH_1.595_cas(2,3)", "H4_1"]))
def test_stated_frequencies_predict_the_energy_along_any_angle(seed: int, name: str) -> None:
    rng = np.random.default_rng(seed)
    problem = problem_of(name)
    ansatz = uccsd(problem)
    point = rng.uniform(-1, 1, ansatz.num_parameters)
    which = int(rng.integers(ansatz.num_parameters))

    def energy(angle: float) -> float:
        moved = point.copy()
        moved[which] = angle
        return energy_at(problem, ansatz, moved)

    rows = [(float(t), energy(float(t)), 0.0) for t in sample_offsets(ansatz.frequencies[which])]
    fitted = known(fit_trigonometric(ansatz.frequencies[which], rows, 0.0))
    for angle in rng.uniform(-4, 4, 3):
        assert fitted.value(float(angle)) == pytest.approx(energy(float(angle)), abs=1e-9)


@pytest.mark.parametrize(
    ("name", "angles"), [("H2_0.735", 1), ("H2_0.3", 1), ("HeH+_0.7743", 3), ("LiH_3_cas(2,2)", 3)]
)
@pytest.mark.parametrize("mapping", MAPPINGS)
def test_uccsd_reaches_the_exact_energy_of_two_electrons_in_two_orbitals(
    name: str, angles: int, mapping: FermionMapping
) -> None:
    problem = problem_of(name, mapping)
    ansatz = uccsd(problem)
    assert ansatz.num_parameters == angles

    def energy(point: NDArray[np.float64]) -> float:
        return energy_at(problem, ansatz, point)

    lowest = float(minimize(energy, ansatz.initial_point, method="BFGS").fun)
    assert lowest == pytest.approx(MOLECULES[name]["exact_energy"], abs=1e-7)


def test_excitations_left_out_by_symmetry_have_no_gradient() -> None:
    problem = problem_of("LiH_1.595_fc")
    everything = list(excitations(problem))
    kept = uccsd(problem)
    ansatz = excitation_ansatz(problem, everything, "all")
    forbidden = [
        index
        for index, (emptied, filled) in enumerate(everything)
        if not problem.conserves_symmetry(sum(1 << orbital for orbital in emptied + filled))
    ]
    assert len(everything) - len(forbidden) == kept.num_parameters
    assert len(forbidden) >= 4
    point = np.random.default_rng(0).uniform(-1, 1, len(everything))
    point[forbidden] = 0.0
    for index in forbidden[:4]:
        step = np.zeros(len(everything))
        step[index] = 0.1
        slope = energy_at(problem, ansatz, point + step) - energy_at(problem, ansatz, point - step)
        assert slope == pytest.approx(0.0, abs=1e-10)


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_circuits_have_standard_gates_with_angles_in_rotations_only(mapping: FermionMapping) -> None:
    circuits = [uccsd(problem_of("H4_1", mapping)).circuit]
    circuits += [hardware_efficient(4, np.random.default_rng(0), rotations=each).circuit for each in Rotations]
    for circuit in circuits:
        for gate in circuit.data:
            assert gate.operation.name in STANDARD
            assert not gate.operation.params or gate.operation.name in {"rx", "ry", "rz"}


def test_h2_takes_one_rotation() -> None:
    molecule = Molecule(np.diag([-1.2, -0.5]), _exchange(), (1, 1), 0.7, "h2-like")
    operations = uccsd(electronic_problem(molecule)).circuit.count_ops()
    assert (operations["rz"], operations["cx"]) == (1, 2)


def _exchange() -> NDArray[np.float64]:
    two = np.zeros((2, 2, 2, 2))
    two[0, 1, 0, 1] = two[1, 0, 0, 1] = two[0, 1, 1, 0] = two[1, 0, 1, 0] = 0.2
    return two


@pytest.mark.parametrize(
    ("norb", "electrons", "words"),
    [
        (2, (0, 0), "there are no electrons"),
        (2, (2, 2), "no orbital is empty"),
        (2, (2, 0), "no orbital is empty"),
        (2, (1, 1), "symmetries forbid"),
    ],
)
def test_molecules_without_uccsd_excitations_are_refused(norb: int, electrons: tuple[int, int], words: str) -> None:
    molecule = Molecule(np.diag([-1.2, -0.5]), np.zeros((norb,) * 4), electrons, 0.0, "odd.fcidump")
    with pytest.raises(InputError, match=words) as caught:
        uccsd(electronic_problem(molecule))
    assert caught.value.field == "ansatz"
    assert "odd.fcidump" in str(caught.value)


def test_uccsd_starts_at_hartree_fock_of_open_shells() -> None:
    closed = problem_of("LiH_1.595_cas(2,3)").molecule
    problem = electronic_problem(Molecule(closed.one_body, closed.two_body, (2, 1), 0.0, "anion"))
    ansatz = uccsd(problem)
    energy = energy_at(problem, ansatz, ansatz.initial_point)
    assert energy == pytest.approx(problem.molecule.hartree_fock_energy, abs=1e-9)


def test_the_hardware_efficient_initial_point_is_drawn_from_a_seed_or_given() -> None:
    drawn = [hardware_efficient(2, np.random.default_rng(4)).initial_point for _ in range(2)]
    assert np.array_equal(drawn[0], drawn[1])
    assert drawn[0].shape == (4,)
    assert np.array_equal(hardware_efficient(2, [1, 2, 3, 4]).initial_point, [1.0, 2.0, 3.0, 4.0])
    assert hardware_efficient(2, np.zeros(12), reps=2, rotations=Rotations.COMPLEX).num_parameters == 12


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: hardware_efficient(2, [1.0, 2.0]), "initial_point"),
        (lambda: hardware_efficient(2, [1.0, 2.0, 3.0, np.nan]), "initial_point"),
        (lambda: hardware_efficient(0, []), "ansatz"),
        (lambda: hardware_efficient(2, np.zeros(4), reps=-1), "reps"),
        (lambda: Ansatz("none", QuantumCircuit(1), np.zeros(0), ((1,),)), "ansatz"),
    ],
)
def test_invalid_hardware_efficient_and_ansatz_arguments_are_refused(make: Callable[[], Ansatz], field: str) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert caught.value.field == field


def test_an_ansatz_copies_its_initial_point_and_makes_it_read_only() -> None:
    start = np.zeros(4)
    ansatz = Ansatz("mine", hardware_efficient(2, start).circuit, start, ((1,),) * 4)
    start[0] = 7.0
    assert not ansatz.initial_point.any()
    with pytest.raises(ValueError, match="read-only"):
        ansatz.initial_point[0] = 7.0


def test_stated_frequencies_hold_for_hardware_efficient_circuits() -> None:
    operator = SparsePauliOp(["XXI", "IZZ", "ZIX"], [1.0, 0.5, 0.3]).to_matrix()
    for rotations in Rotations:
        ansatz = hardware_efficient(3, np.random.default_rng(1), rotations=rotations)
        for which in range(ansatz.num_parameters):
            rows = []
            for angle in (0.0, 1.0, 2.0, 3.0):
                point = ansatz.initial_point.copy()
                point[which] = angle
                state = state_at(ansatz, point)
                rows.append((angle, float(np.vdot(state, operator @ state).real), 0.0))
            fitted = known(fit_trigonometric(ansatz.frequencies[which], rows[:3], 0.0))
            assert fitted.value(3.0) == pytest.approx(rows[3][1], abs=1e-9)


def test_a_circuit_with_untracked_states_prepares_the_same_state_with_more_gates() -> None:
    problem = problem_of("LiH_1.595_cas(2,3)")
    chosen = list(excitations(problem))
    tracked, untracked = (excitation_ansatz(problem, chosen, "all", max_tracked_states=limit) for limit in (100, 1))
    point = np.random.default_rng(2).uniform(-np.pi, np.pi, tracked.num_parameters)
    assert abs(np.vdot(state_at(tracked, point), state_at(untracked, point))) == pytest.approx(1.0, abs=1e-9)
    assert untracked.circuit.count_ops()["rz"] > tracked.circuit.count_ops()["rz"]
    assert set(untracked.frequencies[1:]) == {(1, 2)}
