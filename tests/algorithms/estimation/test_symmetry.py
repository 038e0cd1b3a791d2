"""Symmetries that outcomes show: without noise no outcome is without one, at any angles and in any group."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Statevector

from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.estimation.symmetry import (
    Symmetry,
    all_hold,
    all_outcomes,
    electrons_of_each_spin,
    ones_kept_by,
    shown_by,
)
from hybridloop.algorithms.facts import SYMMETRY_CONSERVED
from hybridloop.algorithms.problems.electronic import Encoding
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.preparation.vqe import PreparedVqe
from hybridloop.settings import ProblemText
from tests.algorithms.noisy_state_helpers import NoisySimulator
from tests.preparation_helpers import prepare_vqe

SHOWN = {  # the settings of a run, and how many of its groups show a symmetry: all, or some
    ("h2", "mapping=jordan-wigner ansatz=uccsd"): "some",
    ("h4", "mapping=jordan-wigner ansatz=uccsd grouping=double-factorization"): "all",
    ("h4", "mapping=parity ansatz=uccsd grouping=double-factorization"): "all",
    ("h4", "mapping=parity ansatz=uccsd grouping=qubit-wise"): "some",
    ("h4", "mapping=jordan-wigner ansatz=uccsd grouping=fully-commuting"): "all",
    ("heh+", "mapping=jordan-wigner ansatz=grown"): "some",
    ("h2", "mapping=jordan-wigner ansatz=hardware-efficient"): "none",
}


@pytest.mark.parametrize("mapping", FermionMapping)
@pytest.mark.parametrize("electrons", [(1, 1), (2, 1), (0, 2), (3, 3)])
def test_a_basis_state_has_the_electrons_of_its_determinant(
    mapping: FermionMapping, electrons: tuple[int, int]
) -> None:
    encoding = Encoding(mapping, 4, electrons)
    symmetries = electrons_of_each_spin(encoding)
    assert len(symmetries) == 2
    for occupied in itertools.product((0, 1), repeat=8):
        alpha, beta = sum(occupied[:4]), sum(occupied[4:])
        if mapping is FermionMapping.PARITY and (alpha % 2, beta % 2) != (electrons[0] % 2, electrons[1] % 2):
            continue  # no qubit holds its parities
        state = encoding.basis_state(sum(bit << place for place, bit in enumerate(occupied)))
        bits = np.array([[state >> qubit & 1 for qubit in range(encoding.num_qubits)]], np.uint8)
        assert all_hold(symmetries, bits)[0] == ((alpha, beta) == electrons)


@pytest.mark.parametrize(("problem", "given"), SHOWN)
def test_no_outcome_without_noise_is_discarded(problem: str, given: str) -> None:
    settings = VqeSettings.model_validate(
        {"target": "quantinuum.sim.h2-1e", **dict(each.split("=") for each in given.split())}
    )
    run = prepare_vqe(ProblemText(name=problem), settings, 0)
    assert isinstance(run, PreparedVqe)
    symmetries, groups = run.mitigation.symmetries, run.energy.observable.groups
    qubits = run.ansatz.circuit.num_qubits
    shown = [shown_by(group, symmetries, qubits) for group in groups]
    assert {"all": all(shown), "some": any(shown), "none": not any(shown)}[SHOWN[problem, given]]
    for point in np.random.default_rng(0).uniform(-3.0, 3.0, (2, run.ansatz.num_parameters)):
        for group, expected in zip(groups, shown, strict=True):
            circuit = group.measurement_circuit(run.ansatz.circuit).remove_final_measurements(inplace=False)
            chances = Statevector(circuit.assign_parameters(point)).probabilities()
            assert chances[~all_hold(expected, all_outcomes(qubits))].sum() < 1e-9


@pytest.mark.parametrize(("mitigation", "counted"), [(None, True), (("none",), False)])
def test_what_a_machine_does_wrong_is_counted_unless_it_is_kept(
    mitigation: tuple[str, ...] | None,
    counted: bool,  # noqa: FBT001
) -> None:
    given = {"target": "quantinuum.sim.h2-1e", "mapping": "jordan-wigner", "ansatz": "uccsd", "mitigation": mitigation}
    settings = VqeSettings.model_validate({**given, "orbitals": "given", "precision": 0.01})
    run = prepare_vqe(ProblemText(name="h2"), settings, 0)
    outcome = run.measure(NoisySimulator(0.01).sampled(np.random.default_rng(0)), lambda _: None)
    facts = [fact for fact in outcome.facts if fact.name == SYMMETRY_CONSERVED]
    assert [fact.shown for fact in facts] == [False] * counted
    assert all("had another number of electrons of a spin, and were discarded" in fact.reason for fact in facts)


def test_the_number_of_ones_of_a_circuit_or_their_parity_is_found() -> None:
    a, b = Parameter("a"), Parameter("b")
    exchange = QuantumCircuit(4)
    exchange.x([0, 2])
    for first, second in ((0, 1), (2, 3), (1, 2)):
        exchange.rxx(a, first, second)
        exchange.ryy(a, first, second)
        exchange.rz(b, first)
    (number,) = ones_kept_by(exchange)
    assert number == Symmetry(tuple((1 << qubit, False) for qubit in range(4)), 2)
    pairs = QuantumCircuit(3)
    pairs.x(0)
    pairs.rxx(a, 0, 1)
    pairs.rxx(b, 1, 2)
    assert ones_kept_by(pairs) == (Symmetry(((0b111, False),), 1),)
    pairs.ry(a, 0)
    assert ones_kept_by(pairs) == ()
