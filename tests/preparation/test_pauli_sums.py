"""Pauli sums by default: a circuit that can express the ground state, and no claim where it can't."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp, Statevector

from hybridloop.algorithms.outcome import Outcome
from hybridloop.algorithms.problems.pauli import PauliProblem
from hybridloop.errors import InputError
from hybridloop.preparation.vqe import PreparedVqe
from hybridloop.settings import ProblemText
from tests.algorithms.batched_state_helpers import shot_rounds
from tests.long_form import long_form, short_or_long
from tests.preparation_helpers import prepare_vqe, settings_for
from tests.spin_models import HEISENBERG, MORIYA, chain, dense, pauli_text, ring, spin_model

H2 = ProblemText(name="h2")
CHAIN = spin_model(4, chain(4), HEISENBERG)
ACCURACY = 1.6e-3


def prepared(problem: ProblemText | Mapping[str, float], **values: Any) -> PreparedVqe:
    text = problem if isinstance(problem, ProblemText) else pauli_text(problem)
    return prepare_vqe(text, settings_for("vqe", values), 0)  # type: ignore[arg-type]


def run(terms: Mapping[str, float], seed: int, **values: Any) -> tuple[Outcome, float]:
    """Return the outcome, and the error of the exact energy at its angles by the dense matrix."""
    vqe = prepare_vqe(pauli_text(terms), settings_for("vqe", values), seed)  # type: ignore[arg-type]
    outcome = vqe.measure(shot_rounds(seed), lambda _: None)
    state = Statevector(vqe.ansatz.circuit.assign_parameters(np.array(outcome.parameters))).data
    energy = float(np.vdot(state, dense(terms) @ state).real)
    return outcome, energy - float(np.linalg.eigvalsh(dense(terms))[0])


@pytest.mark.parametrize(
    ("terms", "circuit"),
    [
        ({"Y": 1.0}, "hardware-efficient (ry-rz, 0 layer(s)), as it makes any state of 2 qubits or fewer"),
        (
            {"XY": 1.0, "YX": -1.0, "ZI": 1.0},
            "hardware-efficient (ry-rz, 1 layer(s)), as it makes any state of 2 qubits or fewer",
        ),
        ({"XX": 1.0, "ZI": 1.0}, "hardware-efficient (ry, 1 layer(s)), as it makes any state of 2 qubits or fewer"),
        ({"XXX": 1.0, "ZII": 1.0}, "hardware-efficient (ry, 2 layer(s)), as a term acts on three qubits or more"),
        ({"XXI": 1.0, "IXX": 1.0}, "hardware-efficient (ry, 2 layer(s)), as all terms commute"),
        (CHAIN, "hamiltonian-variational (4 layer(s)), as every term acts on one or two qubits"),
    ],
)
def test_a_pauli_sum_gets_a_circuit_by_its_terms(terms: dict[str, float], circuit: str) -> None:
    assert prepared(terms).choices["circuit"] == circuit


def test_pairs_of_electrons_are_those_of_a_molecule() -> None:
    assert prepared(H2).ansatz.name == "puccd"
    assert "circuit" not in prepared(H2, ansatz="puccd").choices
    with pytest.raises(InputError, match="takes a molecule, and"):
        prepared({"XX": 1.0, "ZI": 1.0}, ansatz="puccd")


@pytest.mark.parametrize(
    "terms",
    [{"Y": 1.0}, {"XY": 1.0, "YX": -1.0, "ZI": 1.0}, {"XY": 1.0, "YX": -1.0, "ZZ": 1.0}],
    ids=["y", "xy-z", "xy-zz"],
)
def test_complex_operators_of_few_qubits_are_solved_to_noise(terms: dict[str, float]) -> None:
    outcome, error = run(terms, 2, precision=0.8e-3)
    assert outcome.converged
    assert outcome.rounds <= 10
    assert error < ACCURACY
    assert outcome.value == pytest.approx(np.linalg.eigvalsh(dense(terms))[0], abs=2.5e-3)
    assert any("above the exact lowest energy" in fact.reason for fact in outcome.facts)


@long_form
@pytest.mark.parametrize(
    "terms",
    short_or_long(
        [CHAIN],
        [
            CHAIN,
            spin_model(4, ring(4), HEISENBERG),
            spin_model(4, ring(4), {"ZZ": -1.0}, "X"),
            spin_model(3, chain(3), MORIYA),
            spin_model(4, chain(4), {"XX": 1.0, "YY": 1.0, "ZZ": 0.5}),
        ],
    ),
    ids=lambda terms: f"{len(terms)} terms",
)
def test_spin_models_are_solved_by_default(terms: dict[str, float]) -> None:
    outcome, error = run(terms, 0)
    assert outcome.converged
    assert error < 2 * ACCURACY


@pytest.mark.parametrize("scale", [1.0, 1e-3, 100.0])
def test_a_pauli_sum_is_measured_to_a_thousandth_of_its_coefficients(scale: float) -> None:
    terms = {"II": 5.0, "XX": -2.0 * scale, "ZI": 1.0 * scale}
    by_default = prepared(terms)
    assert by_default.sampling.precision == by_default.search.tolerance == pytest.approx(3e-3 * scale)
    outcome = by_default.run(shot_rounds(0))
    assert outcome.is_precise
    assert 0.0 < outcome.standard_error <= 3e-3 * scale
    assert f"a thousandth of the sum of the coefficients' sizes, {3 * scale:.4g}" in " ".join(outcome.choices)
    given = prepared(terms, precision=0.01, tolerance=0.02)
    assert (given.sampling.precision, given.search.tolerance) == (0.01, 0.02)
    assert "precision" not in given.choices


def test_a_molecule_has_a_precision_in_hartree_and_its_optimizers_tolerance() -> None:
    molecule = prepared(H2)
    assert (molecule.sampling.precision, molecule.search.tolerance) == (0.7e-3, None)
    assert "precision" not in molecule.choices


def test_a_constant_needs_no_shots() -> None:
    outcome = prepared({"I": -2.5}, initial_point=(0.0,)).measure(shot_rounds(0), lambda _: None)
    assert (outcome.value, outcome.is_precise) == (-2.5, True)
    assert sum(each.shots for each in outcome.history) == 0


def test_a_circuit_that_cannot_express_the_ground_state_is_no_convergence() -> None:
    outcome, error = run(CHAIN, 0, ansatz="hardware-efficient", layers=0)
    assert error > 0.3  # a product state
    assert not outcome.converged
    (warning,) = outcome.warnings
    assert warning.startswith("above the ground state: ")
    assert outcome.reason.startswith("above the ground state; ")


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize(
    "terms",
    [spin_model(4, chain(4), {"ZZ": -1.0}, "X"), spin_model(4, ring(4), HEISENBERG), CHAIN],
    ids=["ising", "ring", "chain"],
)
def test_a_circuit_with_too_few_layers_claims_nothing(terms: dict[str, float], layers: int) -> None:
    """Its lowest state may be nearly another eigenstate: the bound is the lowest eigenvalue alone."""
    outcome, error = run(terms, 0, layers=layers)
    limit = prepared(terms).search.tolerance
    assert limit is not None
    assert outcome.converged == (error <= limit)


def test_the_lowest_eigenvalue_of_seventeen_spins_is_not_known() -> None:
    large = spin_model(17, chain(17), {"ZZ": -1.0}, "X")
    assert PauliProblem(SparsePauliOp.from_list(list(large.items())), "large").exact_ground_energy() is None


def test_the_lowest_eigenvalue_of_sixteen_spins_is_known() -> None:
    ising = spin_model(16, chain(16), {"ZZ": -1.0}, "X")
    found = PauliProblem(SparsePauliOp.from_list(list(ising.items())), "ising").exact_ground_energy()
    # the critical chain with open ends: E_0 = 1 − 1 / sin(π / (2 (2 n + 1))) (P. Pfeuty, Ann. Phys. 57 (1970) 79)
    assert found == pytest.approx(1 - 1 / np.sin(np.pi / (2 * (2 * 16 + 1))), abs=1e-8)


def test_the_shape_of_a_hardware_efficient_circuit_is_a_setting() -> None:
    shape = prepared(H2, ansatz="hardware-efficient", layers=3, rotations="complex", entanglement="circular").ansatz
    assert shape.num_parameters == 2 * 2 * 4
    assert (
        prepared(CHAIN, ansatz="hardware-efficient", entanglement="full", layers=1).ansatz.circuit.count_ops()["cx"]
        == 6
    )
    assert prepared(CHAIN, layers=1).ansatz.num_parameters == 2


def test_a_hartree_fock_start_fits_any_shape() -> None:
    vqe = prepared(H2, ansatz="hardware-efficient", layers=2, rotations="complex", initial_point="hf")
    state = Statevector(vqe.ansatz.circuit.assign_parameters(vqe.ansatz.initial_point))
    energy = state.expectation_value(vqe.problem.hamiltonian).real
    assert energy == pytest.approx(vqe.facts.reference, abs=1e-9)


@pytest.mark.parametrize(
    ("problem", "field", "value"),
    [
        (H2, "layers", 2),
        (H2, "rotations", "real"),
        (H2, "entanglement", "full"),
        (H2, "ansatz", "hamiltonian-variational"),
        (CHAIN, "ansatz", "uccsd"),
        (CHAIN, "initial_point", "hf"),
        (CHAIN, "initial_point", "newton"),
        (CHAIN, "layers", 0),
        (CHAIN, "rotations", "complex"),
    ],
)
def test_a_setting_that_the_circuit_of_a_problem_has_not_is_refused_by_its_name(
    problem: ProblemText | dict[str, float], field: str, value: Any
) -> None:
    with pytest.raises(InputError) as refused:
        prepared(problem, **{field: value})
    assert refused.value.field == field
