"""Classical simulation of UCCSD: compared with state vectors of the circuit; its minima; angles that are shared."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit.quantum_info import Statevector

from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.simulated_start import simulated_start
from hybridloop.algorithms.circuits.simulation import SPIN_PENALTY, SimulatedCircuit
from hybridloop.algorithms.circuits.uccsd import (
    excitation_ansatz,
    mirrored_angles,
    symmetry_allowed_excitations,
    uccsd,
)
from hybridloop.algorithms.problems.determinants import determinants_of, hamiltonian_matrix, spin_squared_matrix
from hybridloop.algorithms.problems.electronic import ElectronicProblem, electronic_problem, excitation
from hybridloop.algorithms.problems.exact import exact_energy_of_spin
from hybridloop.algorithms.problems.molecule import with_multiplicity
from tests.algorithms.pair_helpers import molecule
from tests.value_helpers import known

RNG = np.random.default_rng(3)


def problem_of(name: str, mapping: FermionMapping = FermionMapping.PARITY) -> ElectronicProblem:
    return electronic_problem(molecule(name), mapping)


def simulated(problem: ElectronicProblem, *, is_tied: bool = True) -> tuple[Ansatz, SimulatedCircuit]:
    selected = symmetry_allowed_excitations(problem)
    angles = mirrored_angles(problem, selected) if is_tied else range(len(selected))
    simulation = known(SimulatedCircuit.of(problem, selected, angles))
    return uccsd(problem, is_tied=is_tied), simulation


def measured(problem: ElectronicProblem, ansatz: Ansatz, point: NDArray[np.float64]) -> float:
    state = Statevector(ansatz.circuit.assign_parameters(point))
    return float(state.expectation_value(problem.hamiltonian).real)


@pytest.mark.parametrize("is_tied", [True, False])
@pytest.mark.parametrize("mapping", list(FermionMapping))
@pytest.mark.parametrize("name", ["NaH_4.5", "H3+_0.9", "H4_1.5"])
def test_simulated_energies_are_those_of_the_circuit(name: str, mapping: FermionMapping, *, is_tied: bool) -> None:
    problem = problem_of(name, mapping)
    ansatz, simulation = simulated(problem, is_tied=is_tied)
    for point in RNG.normal(size=(3, ansatz.num_parameters)):
        assert simulation.energy(point) == pytest.approx(measured(problem, ansatz, point), abs=1e-10)


def test_gradient_and_hessian_are_those_of_energy_and_spin() -> None:
    _, simulation = simulated(problem_of("H4_1.5"), is_tied=False)
    point, step = RNG.normal(size=simulation.sequence.num_angles), 1e-5

    def objective(at: NDArray[np.float64]) -> float:
        state = simulation.state(at)
        excess = spin_squared_matrix(simulation.problem.molecule.norb, simulation.determinants)  # of a singlet
        return simulation.energy(at) + SPIN_PENALTY * float(state @ (excess @ state))

    value, gradient = simulation.objective_and_gradient(point)
    assert value == pytest.approx(objective(point), abs=1e-12)
    shifts = step * np.eye(len(point))
    slopes = [(objective(point + shift) - objective(point - shift)) / (2.0 * step) for shift in shifts]
    np.testing.assert_allclose(gradient, slopes, atol=1e-8)
    gradients = [simulation.objective_and_gradient(point + sign * shifts[0])[1] for sign in (1, -1)]
    np.testing.assert_allclose(simulation.hessian(point)[0], (gradients[0] - gradients[1]) / (2.0 * step), atol=1e-5)


def test_slopes_and_curvatures_of_appended_excitations_are_those_of_the_longer_circuit() -> None:
    problem = problem_of("H4_1.5")
    selected = symmetry_allowed_excitations(problem)
    ansatz, simulation = simulated(problem, is_tied=False)
    point, appended, step = RNG.normal(size=ansatz.num_parameters), selected[3], 1e-3
    longer = excitation_ansatz(problem, [*selected, appended], "longer")
    below, at, above = (measured(problem, longer, np.append(point, shift)) for shift in (-step, 0.0, step))
    slopes, curvatures = simulation.appended(point, [excitation(*appended)])
    assert slopes[0] == pytest.approx((above - below) / (2 * step), abs=1e-5)
    assert curvatures[0] == pytest.approx((above + below - 2 * at) / step**2, abs=1e-4)


def test_an_excitation_and_its_mirror_image_share_an_angle_in_a_closed_shell_alone() -> None:
    problem = problem_of("H4_1.5")
    selected, norb = symmetry_allowed_excitations(problem), problem.molecule.norb
    angles = mirrored_angles(problem, selected)
    assert sorted(set(angles)) == list(range(max(angles) + 1))
    by_angle: dict[int, set[tuple[frozenset[int], frozenset[int]]]] = {}
    for angle, (emptied, filled) in zip(angles, selected, strict=True):
        by_angle.setdefault(angle, set()).add((frozenset(emptied), frozenset(filled)))
    for images in by_angle.values():
        mirrored = {tuple(frozenset((o + norb) % (2 * norb) for o in part) for part in each) for each in images}
        assert mirrored == images
    triplet = electronic_problem(with_multiplicity(molecule("NaH_4.5"), 3), FermionMapping.PARITY)
    assert mirrored_angles(triplet, selected) == tuple(range(len(selected)))


def test_the_frequencies_of_shared_angles_hold_the_energy() -> None:
    problem = problem_of("NaH_4.5")
    ansatz, simulation = simulated(problem)
    point = RNG.normal(size=ansatz.num_parameters)
    for angle, frequencies in enumerate(ansatz.frequencies):
        shifts = np.linspace(0.0, 2.0 * np.pi, 41)
        energies = [simulation.energy(point + shift * np.eye(len(point))[angle]) for shift in shifts]
        waves = [wave(f * shifts) for f in frequencies for wave in (np.cos, np.sin)]
        features = np.stack([np.ones_like(shifts), *waves], axis=1)
        residual = features @ np.linalg.lstsq(features, energies, rcond=None)[0] - energies
        assert np.abs(residual).max() < 1e-10


@pytest.mark.parametrize("name", ["NaH_4.5", "LiH_4.3", "H2_0.74_6-31g"])
def test_the_start_of_two_electrons_is_the_lowest_state_of_their_spin(name: str) -> None:
    problem = problem_of(name)
    _, simulation = simulated(problem)
    start = known(simulated_start(simulation))
    assert simulation.energy(start.point) == pytest.approx(exact_energy_of_spin(problem.molecule), abs=1e-7)
    assert np.abs(simulation.objective_and_gradient(start.point)[1]).max() < 1e-6
    assert start.searches == (1 if name == "H2_0.74_6-31g" else start.searches)


def test_random_starts_are_made_from_no_safe_reference_alone_and_are_always_the_same() -> None:
    _, safe = simulated(problem_of("BH_1.23_fc"))
    start = known(simulated_start(safe))
    assert start.searches == 1
    _, unsafe = simulated(problem_of("H4_1.8"))
    one, other = simulated_start(unsafe), simulated_start(unsafe)
    assert known(one).searches > 10
    assert known(one).point.tolist() == known(other).point.tolist()


def test_the_lowest_state_of_another_symmetry_is_known() -> None:
    problem = problem_of("H4_1.5")
    _, simulation = simulated(problem)
    assert (np.abs(simulation.state(RNG.normal(size=simulation.sequence.num_angles))) > 1e-12).all()
    molecule, states = problem.molecule, determinants_of(problem.molecule)
    reached = np.isin(states, simulation.determinants)
    squared = spin_squared_matrix(molecule.norb, states)
    whole = (hamiltonian_matrix(molecule, states) + SPIN_PENALTY * squared).toarray()
    assert not whole[np.ix_(reached, ~reached)].any()
    assert simulation.lowest_unreached == pytest.approx(np.linalg.eigvalsh(whole[np.ix_(~reached, ~reached)])[0])
