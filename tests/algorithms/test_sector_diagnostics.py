"""Particle number of a state: its operators, and the warning about a wrong number."""

from __future__ import annotations

import numpy as np
import pytest

from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.circuits.ansatz import hardware_efficient
from hybridloop.algorithms.circuits.uccsd import uccsd
from hybridloop.algorithms.diagnostics import StateChecks
from tests.algorithms.batched_state_helpers import shot_rounds
from tests.algorithms.reference_helpers import problem_of

BOTH = list(FermionMapping)


@pytest.mark.parametrize("mapping", BOTH)
def test_determinants_have_their_electrons_under_either_mapping(mapping: FermionMapping) -> None:
    problem = problem_of("LiH_1.595_cas(2,3)", mapping)
    norb, (alpha, beta) = problem.molecule.norb, problem.molecule.electrons
    diagonals = [
        np.diag(operator.to_matrix()).real
        for operator in (problem.number_operator, problem.electron_deviation_operator)
    ]
    for occupation in range(4**norb):
        ups, downs = (occupation & ((1 << norb) - 1)).bit_count(), (occupation >> norb).bit_count()
        if mapping is FermionMapping.PARITY and (ups % 2 != alpha % 2 or downs % 2 != beta % 2):
            continue  # parity has no qubits for these
        state = problem.encoding.basis_state(occupation)
        expected = (ups + downs, (ups - alpha) ** 2 + (downs - beta) ** 2)
        assert [diagonal[state] for diagonal in diagonals] == pytest.approx(expected)


@pytest.mark.parametrize(("flipped", "is_right"), [((0, 2), True), ((0, 1), False), ((0,), False), ((1, 3), True)])
def test_a_determinant_has_a_warning_only_for_wrong_electrons(
    flipped: tuple[int, ...],
    is_right: bool,  # noqa: FBT001 (a case's answer)
) -> None:
    problem = problem_of("HeH+_0.7743", FermionMapping.JORDAN_WIGNER)
    point = np.zeros(8)
    point[[4 + qubit for qubit in flipped]] = np.pi  # the layer after the CXs
    checks = StateChecks.of(problem, hardware_efficient(4, np.zeros(8)))
    doubts = checks.read(shot_rounds(0)(checks.pubs(point))).doubts
    assert any(doubt.headline == "wrong particle number" for doubt in doubts) == (not is_right)


def test_electrons_that_are_conserved_take_no_circuit() -> None:
    problem = problem_of("HeH+_0.7743", FermionMapping.JORDAN_WIGNER)
    assert StateChecks.of(problem, uccsd(problem)).is_sector_known
    # two orbitals under parity can't have wrong electrons
    two = StateChecks.of(problem_of("HeH+_0.7743"), hardware_efficient(2, np.random.default_rng(0)))
    assert two.is_sector_known
    assert not StateChecks.of(problem, hardware_efficient(4, np.zeros(8))).is_sector_known
