"""Grown circuits: their gates against exact exponentials, their growth against exact energies."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit.quantum_info import Statevector

from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.grown.circuit import grown, most_two_qubit_gates
from hybridloop.algorithms.grown.growth import grow, operators_of_reference, simulated, symmetric_operators
from hybridloop.algorithms.grown.operators import Exponential, Operator, every_operator
from hybridloop.algorithms.problems.electronic import ElectronicProblem, electronic_problem
from hybridloop.algorithms.problems.exact import exact_energy_of_spin
from hybridloop.algorithms.problems.molecule import Molecule, rotate_orbitals
from hybridloop.algorithms.problems.orbitals import exact_natural_orbitals
from hybridloop.preparation.problem import parse_problem
from hybridloop.settings import ProblemText
from tests.preparation.test_spin_and_stability import problem as problem_text
from tests.value_helpers import known

JORDAN_WIGNER = FermionMapping.JORDAN_WIGNER
LOWERING = np.array([[0.0, 1.0], [0.0, 0.0]])


@functools.cache
def natural(name: str) -> ElectronicProblem:
    """Return a molecule under Jordan-Wigner in natural orbitals, a built-in one or of a file."""
    text = ProblemText(name=name) if name.islower() else problem_text(name)
    molecule = parse_problem(text)
    assert isinstance(molecule, Molecule)
    return electronic_problem(rotate_orbitals(molecule, exact_natural_orbitals(molecule)), JORDAN_WIGNER)


def lowering(qubits: int, at: int) -> NDArray[np.float64]:
    factors = [LOWERING if qubit == at else np.eye(2) for qubit in reversed(range(qubits))]
    return functools.reduce(np.kron, factors)


def dense_generator(qubits: int, exponential: Exponential) -> NDArray[np.float64]:
    """Return Σ sign (T − T†) with T = Π Q† Π Q as a matrix."""
    total = np.zeros((1 << qubits,) * 2)
    for emptied, filled, sign in exponential:
        moved = np.eye(1 << qubits)
        for qubit in emptied:
            moved = lowering(qubits, qubit) @ moved
        for qubit in filled:
            moved = lowering(qubits, qubit).T @ moved
        total += sign * (moved - moved.T)
    return total


def exact_state(
    problem: ElectronicProblem, operators: Sequence[Operator], point: Sequence[float]
) -> NDArray[np.float64]:
    qubits = problem.encoding.num_qubits
    state = np.zeros(1 << qubits)
    state[problem.reference_state] = 1.0
    for operator, angle in zip(operators, point, strict=True):
        for exponential in operator.exponentials(problem.molecule.norb):
            state = scipy.linalg.expm(angle * dense_generator(qubits, exponential)) @ state
    return state


@functools.cache
def three_orbitals(electrons: tuple[int, int]) -> ElectronicProblem:
    """Return a problem whose integrals do not matter."""
    return electronic_problem(Molecule(np.eye(3), np.zeros((3,) * 4), electrons, 0.0, "test"), JORDAN_WIGNER)


@st.composite
def circuits(draw: st.DrawFn) -> tuple[tuple[int, int], list[Operator], list[float]]:
    alpha, beta = electrons = draw(st.sampled_from([(1, 1), (2, 2), (2, 1), (1, 2)]))
    every = list(every_operator(3, is_closed=alpha == beta))
    operators = draw(st.lists(st.sampled_from(every), min_size=1, max_size=5))
    angles = draw(st.lists(st.floats(-3.0, 3.0), min_size=len(operators), max_size=len(operators)))
    return electrons, operators, angles


@given(circuits())
def test_a_circuit_is_the_product_of_its_exponentials(
    drawn: tuple[tuple[int, int], list[Operator], list[float]],
) -> None:
    electrons, operators, point = drawn
    problem = three_orbitals(electrons)
    ansatz = grown(problem, operators)
    state = Statevector(ansatz.circuit.assign_parameters(point)).data
    assert abs(np.vdot(exact_state(problem, operators, point), state)) == pytest.approx(1.0, abs=1e-9)
    assert ansatz.circuit.num_nonlocal_gates() <= most_two_qubit_gates(problem, operators)


@pytest.mark.parametrize("text", ["u0-2-1-3", "v0-1-2-3", "u0-1-3-2"])
def test_two_moves_of_one_spin_are_their_exponential(text: str) -> None:
    problem = electronic_problem(replace(natural("h4").molecule, electrons=(3, 2)), JORDAN_WIGNER)
    operators = [Operator("a", (1, 3)), Operator("b", (0, 2)), Operator.parse(text, 4), Operator("p", (0, 3))]
    point = [0.7, -0.4, 0.9, 0.3]
    state = Statevector(grown(problem, operators).circuit.assign_parameters(point)).data
    assert abs(np.vdot(exact_state(problem, operators, point), state)) == pytest.approx(1.0, abs=1e-9)
    simulation = known(simulated(problem, operators))
    energy = float(Statevector(state).expectation_value(problem.hamiltonian).real)
    assert simulation.energy(np.array(point)) == pytest.approx(energy, abs=1e-9)


@pytest.mark.parametrize(
    ("text", "gates"), [("s1-2", 4), ("a1-2", 2), ("x1-2", 13), ("d0-1-2-3", 13), ("c0-1-2-3+", 9), ("c0-2-1-3-+", 18)]
)
def test_an_operator_after_many_states_takes_its_published_gates(text: str, gates: int) -> None:
    """Yordanov et al. (2020) have 13 for a qubit excitation, Ramôa et al. (2025) 9 for coupled exchange."""
    every = [*every_operator(4, is_closed=True), *every_operator(4, is_closed=False)]
    problem = natural("h4")
    # every determinant is reached by then, and all orbitals have both spins
    before = [each for each in every_operator(4, is_closed=False) if each.kind in "abd"][:40]
    operator = next(each for each in every if each.text == text)
    assert operator.gates == gates
    shorter, longer = (grown(problem, each).circuit.num_nonlocal_gates() for each in (before, [*before, operator]))
    assert longer - shorter == gates


def test_pairs_take_two_gates_until_an_operator_breaks_them() -> None:
    problem = natural("h4")
    first, second, single = (Operator("p", (1, 2)), Operator("p", (0, 3)), Operator("s", (0, 1)))
    counts = [most_two_qubit_gates(problem, each) for each in ([first, second], [first, second, single])]
    assert counts == [4 + 4, 4 + 4 + 4]  # with a copy of each orbital
    assert most_two_qubit_gates(problem, [first, single, second]) == 2 + (4 + 1) + 13 + 1
    assert grown(problem, [first]).circuit.num_nonlocal_gates() == 1 + 2  # of a definite pair one; 0 and 3 need no copy


@pytest.mark.parametrize("text", ["p1-2", "s0-1", "c0-2-1-3-+", "d0-2-1-3+", "x1-2"])
def test_the_energy_has_the_frequencies_of_each_angle(text: str) -> None:
    problem = natural("h4")
    operators = [Operator("p", (1, 2)), Operator("p", (0, 2)), Operator.parse(text, 4), Operator("s", (1, 3))]
    circuit, frequencies = simulated(problem, operators), grown(problem, operators).frequencies[2]
    point = np.array([0.3, -0.4, 0.0, 0.7])
    angles = np.linspace(0.1, 6.0, 40)
    energies = [known(circuit).energy(point + angle * np.eye(4)[2]) for angle in angles]
    waves = [wave(k * angles) for k in frequencies for wave in (np.cos, np.sin)]
    design = np.stack([np.ones_like(angles), *waves], axis=1)
    fitted = design @ np.linalg.lstsq(design, np.array(energies), rcond=None)[0]
    np.testing.assert_allclose(fitted, energies, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "most", "gates"),
    [
        *(("h4", 0.5e-3, 60), ("beh2", 0.5e-3, 60), ("h2o", 0.5e-3, 100), ("H4_2", 0.5e-3, 90)),
        pytest.param("h4", 0.05e-3, 120, marks=pytest.mark.slow),
    ],
)
def test_a_circuit_grows_to_the_ground_state_in_few_gates(name: str, most: float, gates: int) -> None:
    problem = natural(name)
    found = known(grow(problem, most))
    ansatz = grown(problem, found.operators)
    assert ansatz.circuit.num_nonlocal_gates() <= gates
    state = Statevector(ansatz.circuit.assign_parameters(found.point))
    energy = float(state.expectation_value(problem.hamiltonian).real)
    assert energy - exact_energy_of_spin(problem.molecule) == pytest.approx(found.excess, abs=1e-8)
    assert 0.0 <= found.excess <= most


def test_an_open_shell_grows_operators_of_single_spins() -> None:
    problem = natural("o2-cas86")
    found = known(grow(problem, 0.5e-3))
    assert most_two_qubit_gates(problem, found.operators) <= 100
    assert {each.kind for each in found.operators} <= set("pabxdcuv")
    assert any(not operator.is_pair for operator in found.operators)


def test_pairs_alone_are_grown_where_electrons_stay_paired() -> None:
    found = known(grow(natural("lih-frozen-core"), 0.5e-3))
    assert all(operator.is_pair for operator in found.operators)


def test_a_determinant_that_is_exact_needs_no_circuit_and_one_too_far_has_none() -> None:
    triplet = natural("H2_1.4").molecule
    assert grow(electronic_problem(replace(triplet, electrons=(2, 0)), JORDAN_WIGNER), 0.5e-3) is None
    assert grow(natural("H4_1.5"), 1e-13) is None


def test_operators_keep_the_symmetries_and_read_their_own_text() -> None:
    problem = natural("beh2")
    every, fewer = symmetric_operators(problem), operators_of_reference(problem)
    assert set(fewer) < set(every) < set(every_operator(6, is_closed=True))
    assert [Operator.parse(each.text, 6) for each in every] == every
    with pytest.raises(ValueError, match="no operator on 6 orbitals is 'p0-7'"):
        Operator.parse("p0-7", 6)
