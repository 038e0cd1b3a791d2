"""Spin of a state: the operator S², circuits that conserve it, and the warning about a mixture of spins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from qiskit.quantum_info import Statevector

from hybridloop.algorithms.adapt.excitation_pool import ExcitationGroup, ExcitationPool
from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.circuits.ansatz import Ansatz, hardware_efficient
from hybridloop.algorithms.circuits.uccsd import excitations, mirrored_angles, uccsd
from hybridloop.algorithms.diagnostics import StateChecks, spin_doubt
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.trigonometric_model import fit_trigonometric
from hybridloop.algorithms.problems.determinants import determinants_of, spin_squared_matrix
from hybridloop.algorithms.problems.electronic import ElectronicProblem, electronic_problem
from hybridloop.algorithms.problems.molecule import with_multiplicity
from hybridloop.algorithms.rounds import FailedPoint, MeasuredPub
from tests.algorithms.batched_state_helpers import shot_rounds
from tests.algorithms.pair_helpers import molecule
from tests.algorithms.reference_helpers import problem_of

BOTH = list(FermionMapping)


def tied_ansatz(problem: ElectronicProblem, groups: Sequence[ExcitationGroup], name: str) -> Ansatz:
    return replace(ExcitationPool.of(problem, groups=groups).ansatz(range(len(groups))), name=name)


def tie_spins(problem: ElectronicProblem) -> list[ExcitationGroup]:
    everything = list(excitations(problem))
    numbers = mirrored_angles(problem, everything)
    pairs = list(zip(numbers, everything, strict=True))
    return [tuple(each for other, each in pairs if other == number) for number in range(max(numbers) + 1)]


def stretched() -> ElectronicProblem:
    return electronic_problem(molecule("LiH_4.3"))


def spin_squared_at(problem: ElectronicProblem, ansatz: Ansatz, point: np.ndarray) -> float:
    state = Statevector(ansatz.circuit.assign_parameters(point))
    return float(state.expectation_value(problem.spin_squared_operator).real)


@pytest.mark.parametrize("multiplicity", [1, 3])
@pytest.mark.parametrize("mapping", BOTH)
def test_the_operator_has_the_elements_between_determinants(mapping: FermionMapping, multiplicity: int) -> None:
    molecule = with_multiplicity(problem_of("H4_1").molecule, multiplicity)
    problem = electronic_problem(molecule, mapping)
    determinants = determinants_of(molecule)
    expected = spin_squared_matrix(molecule.norb, determinants).toarray()
    places = [problem.encoding.basis_state(int(determinant)) for determinant in determinants]
    matrix = problem.spin_squared_operator.to_matrix()[np.ix_(places, places)]
    assert np.linalg.eigvalsh(matrix) == pytest.approx(np.linalg.eigvalsh(expected), abs=1e-9)
    assert np.abs(matrix) == pytest.approx(np.abs(expected), abs=1e-9)


@pytest.mark.parametrize("mapping", BOTH)
def test_singles_of_both_spins_with_one_angle_and_pairs_conserve_the_spin(mapping: FermionMapping) -> None:
    problem = problem_of("H4_1", mapping)
    groups = tie_spins(problem)
    assert sum(map(len, groups)) == len(list(excitations(problem))) == 26
    assert len(groups) == 15
    point = np.random.default_rng(1).normal(size=len(groups))
    everything = tied_ansatz(problem, groups, "all")
    assert not everything.conserves_spin
    assert abs(spin_squared_at(problem, everything, point)) > 1e-3
    conserving = [group for group in groups if tied_ansatz(problem, [group], "one").conserves_spin]
    assert [len(group) for group in conserving] == [1] * 4 + [2] * 4  # i i → a a, and i → a of both spins
    ansatz = tied_ansatz(problem, conserving, "some")
    assert ansatz.conserves_spin
    assert spin_squared_at(problem, ansatz, point[: len(conserving)]) == pytest.approx(0.0, abs=1e-9)


def test_the_energy_has_the_stated_frequencies_along_a_shared_angle() -> None:
    problem = problem_of("LiH_1.595_cas(2,3)")
    ansatz = tied_ansatz(problem, tie_spins(problem), "all")
    assert (1, 2, 3, 4) in ansatz.frequencies
    generator = np.random.default_rng(0)
    point = generator.normal(size=ansatz.num_parameters)
    for index, frequencies in enumerate(ansatz.frequencies):
        rows = []
        for angle in generator.uniform(-np.pi, np.pi, 2 * len(frequencies) + 4):
            shifted = point.copy()
            shifted[index] = angle
            state = Statevector(ansatz.circuit.assign_parameters(shifted))
            rows.append((float(angle), float(state.expectation_value(problem.hamiltonian).real), 0.0))
        fit = fit_trigonometric(frequencies, rows, 0.0)
        assert fit is not None
        assert [fit.value(angle) for angle, _, _ in rows] == pytest.approx([value for _, value, _ in rows], abs=1e-9)


def test_what_is_conserved_takes_no_job() -> None:
    hydrogen = problem_of("H2_0.735")
    checks = StateChecks.of(hydrogen, uccsd(hydrogen))
    assert checks.pubs(np.zeros(1)) == []
    facts = checks.read([])
    assert facts.columns == {"electrons": 2, "electrons_error": 0, "spin_squared": 0, "spin_squared_error": 0}
    triplet = electronic_problem(with_multiplicity(problem_of("LiH_1.595_cas(2,3)").molecule, 3))
    ansatz = tied_ansatz(triplet, [(each,) for each in excitations(triplet)], "all")
    checks = StateChecks.of(triplet, ansatz)  # two electrons of one spin have no other spin
    assert checks.spin is None
    assert checks.read([]).columns["spin_squared"] == 2


def test_half_a_triplet_is_a_warning_and_a_singlet_is_none() -> None:
    problem = stretched()
    ansatz = tied_ansatz(problem, [(each,) for each in excitations(problem)], "untied")
    checks = StateChecks.of(problem, ansatz)
    for point, squared in (([0.0, np.pi / 2, 0.0], 1.0), ([-np.pi / 4, np.pi / 4, np.pi / 4], 0.0)):
        angles = np.array(point)
        assert spin_squared_at(problem, ansatz, angles) == pytest.approx(squared, abs=1e-9)
        facts = checks.read(shot_rounds(0)(checks.pubs(angles)))
        assert facts.spin_squared is not None
        assert abs(facts.spin_squared.value - squared) <= 4 * facts.spin_squared.standard_error < 0.2
        assert [doubt.headline for doubt in facts.doubts] == (["spin"] if squared else [])


@pytest.mark.parametrize(
    ("value", "error", "is_told"),
    [
        (0.171, 0.040, True),  # more than the tenth, and more than three errors
        (0.101, 0.001, True),
        (0.171, 0.060, False),  # within three errors
        (0.099, 0.001, False),
        (-0.2, 0.01, True),
        (-0.2, 0.07, False),
    ],
)
def test_a_spin_that_is_off_by_a_tenth_and_three_errors_is_told(value: float, error: float, *, is_told: bool) -> None:
    assert (spin_doubt(0.0, Estimate(value, error**2, 1000)) is not None) is is_told
    of_triplet = Estimate(2.0 + value, error**2, 1000)
    assert (spin_doubt(1.0, of_triplet) is not None) is is_told


def test_electrons_and_spin_of_any_circuit_are_measured_in_one_round() -> None:
    problem = electronic_problem(stretched().molecule, FermionMapping.JORDAN_WIGNER)
    ansatz = hardware_efficient(4, np.random.default_rng(3), reps=2)
    checks = StateChecks.of(problem, ansatz)
    facts = checks.read(shot_rounds(0)(checks.pubs(ansatz.initial_point)))
    assert any(doubt.headline == "wrong particle number" for doubt in facts.doubts)
    state = Statevector(ansatz.circuit.assign_parameters(ansatz.initial_point))
    for estimate, operator in (
        (facts.electrons, problem.number_operator),
        (facts.spin_squared, problem.spin_squared_operator),
    ):
        assert estimate is not None
        assert abs(estimate.value - state.expectation_value(operator).real) <= 4 * estimate.standard_error


def test_a_failed_job_leaves_the_spin_unknown() -> None:
    problem = stretched()
    ansatz = replace(uccsd(problem), conserves_spin=False)
    checks = StateChecks.of(problem, ansatz)
    pubs = checks.pubs(ansatz.initial_point)
    facts = checks.read([MeasuredPub(ansatz.initial_point[None, :], (FailedPoint("gone"),)) for _ in pubs])
    assert (facts.electrons, facts.spin_squared) == (None, None)
    assert "gone" in str(facts.doubts[0])
