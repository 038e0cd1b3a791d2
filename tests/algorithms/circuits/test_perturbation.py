"""Second-order perturbation theory against dense matrices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hybridloop.algorithms.circuits.perturbation import missing_energy
from hybridloop.algorithms.problems.electronic import ElectronicProblem


def test_eigenstates_miss_nothing_and_mixtures_about_their_error(problem_of: Callable[..., ElectronicProblem]) -> None:
    hamiltonian = problem_of("H4_1").hamiltonian
    matrix = hamiltonian.to_matrix(sparse=True)
    energies, states = np.linalg.eigh(matrix.toarray())
    assert missing_energy(matrix, states[:, 3]) == pytest.approx(0.0, abs=1e-12)
    for other in (5, 20, 40):
        mixed = np.sqrt(0.995) * states[:, 0] + np.sqrt(0.005) * states[:, other]
        error = 0.005 * (energies[other] - energies[0])
        assert 0.3 * error < missing_energy(matrix, mixed) < 3.0 * error
