"""Accuracy bounds of the benchmarks, in their short form."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit.quantum_info import Statevector

from benchmarks.accuracy import ROWS
from benchmarks.accuracy_stretched import prepared_system
from benchmarks.exact_search import ExactEnergy, search_exactly
from hybridloop.descriptions.vqe import VqeSettings
from tests.long_form import IS_LONG, long_form

SLOW = ("cubic-graphs", "dihydrogen", "ground-states", "noise", "other-electrons", "shots", "stretched")


# bounds on time are checked by `make bench` only
@long_form
@pytest.mark.parametrize(
    "row", [pytest.param(row, marks=[pytest.mark.slow] * (row in SLOW)) for row in sorted(set(ROWS) - {"speeds"})]
)
def test_an_accuracy_bound_is_kept(row: str) -> None:
    missed = [str(each) for each in ROWS[row](not IS_LONG) if not each.is_kept]
    assert not missed


def test_the_exact_search_has_the_energy_and_slopes_of_the_circuit() -> None:
    prepared, exact = prepared_system("H3 1.6 doublet", 0, VqeSettings())
    ansatz, hamiltonian = prepared.ansatz, prepared.problem.hamiltonian
    energy, point = ExactEnergy(ansatz, hamiltonian), np.random.default_rng(1).normal(size=ansatz.num_parameters)

    def of_state(at: NDArray[np.float64]) -> float:
        return float(Statevector(ansatz.circuit.assign_parameters(at)).expectation_value(hamiltonian).real)

    value, slopes = energy(point)
    steps = 1e-4 * np.eye(len(point))
    differences = [(of_state(point + step) - of_state(point - step)) / 2e-4 for step in steps]
    assert value == pytest.approx(of_state(point), abs=1e-12)
    assert slopes == pytest.approx(differences, abs=1e-7)
    assert min(search_exactly(ansatz, hamiltonian)) == pytest.approx(exact, abs=1e-6)
