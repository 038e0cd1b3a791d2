"""Newton start: exact derivatives at Hartree-Fock, and a start near the ground state."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit.quantum_info import Statevector

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.initial_point import gradient_and_hessian, newton_start
from hybridloop.algorithms.circuits.uccsd import excitation_ansatz, excitations, symmetry_allowed_excitations
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.molecule import Molecule
from tests.algorithms.reference_helpers import MOLECULES, problem_of


def energy_of(problem: ElectronicProblem, ansatz: Ansatz) -> Callable[[NDArray[np.float64]], float]:
    matrix = problem.hamiltonian.to_matrix(sparse=True)

    def energy(point: NDArray[np.float64]) -> float:
        state = Statevector(ansatz.circuit.assign_parameters(point)).data
        return float(np.vdot(state, matrix @ state).real)

    return energy


@pytest.mark.parametrize("name", ["HeH+_0.7743", "LiH_3_cas(2,2)"])
def test_gradient_and_hessian_are_those_of_the_circuit_energy(name: str) -> None:
    problem = problem_of(name)
    chosen = list(excitations(problem))
    energy = energy_of(problem, excitation_ansatz(problem, chosen, "all"))
    gradient, hessian = gradient_and_hessian(problem, chosen)
    step, axes = 1e-3, np.eye(len(chosen))
    for i, one in enumerate(step * axes):
        # central differences err by step²/6 times third derivatives of up to 8 times the energy's scale
        assert gradient[i] == pytest.approx((energy(one) - energy(-one)) / (2 * step), abs=2e-5)
        for j, other in enumerate(step * axes):
            mixed = energy(one + other) - energy(one - other) - energy(other - one) + energy(-one - other)
            assert hessian[i, j] == pytest.approx(mixed / (2 * step) ** 2, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "error"),  # error in hartree: the measured one, with a margin
    [
        ("H2_0.3", 1e-6),
        ("H2_0.735", 1e-6),
        ("H2_2.5", 1e-6),
        ("HeH+_0.7743", 1e-5),
        ("LiH_3_cas(2,2)", 1e-3),
        ("LiH_1.595_cas(2,3)", 1e-5),
        ("LiH_1.595_fc", 1e-4),
        ("H4_1", 5e-4),
    ],
)
def test_the_start_is_within_chemical_accuracy_near_equilibrium(name: str, error: float) -> None:
    problem = problem_of(name)
    chosen = symmetry_allowed_excitations(problem)
    start = newton_start(problem, chosen)
    energy = energy_of(problem, excitation_ansatz(problem, chosen, "uccsd"))
    found = energy(start.point)
    assert -1e-9 <= found - MOLECULES[name]["exact_energy"] < error
    assert start.gain > 0
    # the stated uncertainty covers the model's error
    assert abs(energy(0.0 * start.point) - start.gain - found) <= start.gain_uncertainty + 2.5e-3


def test_the_start_is_hartree_fock_if_the_model_has_no_minimum_there() -> None:
    molecule = problem_of("H4_1").molecule
    # small orbital energies, as in a stretched chain: Hartree-Fock is at a saddle point
    shrunk = Molecule(0.25 * molecule.one_body, molecule.two_body, molecule.electrons, 0.0, "strongly correlated")
    problem = ElectronicProblem(shrunk, problem_of("H4_1").encoding, problem_of("H4_1").hamiltonian, ())
    start = newton_start(problem, list(excitations(problem)))
    assert start.gain == 0
    assert not start.point.any()


def test_without_excitations_the_start_is_empty() -> None:
    start = newton_start(problem_of("H2_0.735"), [])
    assert (start.point.shape, start.gain) == ((0,), 0.0)
