"""The built-in problems are what they say they are."""

from __future__ import annotations

import pytest

from hybridloop.algorithms.exact import exact_ground_energy
from hybridloop.algorithms.fcidump import read_fcidump
from hybridloop.data import load


@pytest.mark.parametrize("name", ["h2", "heh+", "lih", "lih-frozen-core", "h4", "h2o"])
def test_a_built_in_problem_has_its_stated_energies(name: str) -> None:
    entry = load("problems")[name]
    molecule = read_fcidump(entry["fcidump"], name)
    assert molecule.hartree_fock_energy == pytest.approx(entry["hartree_fock_energy"], abs=1e-9)
    assert exact_ground_energy(molecule) == pytest.approx(entry["exact_energy"], abs=1e-9)
    assert entry["title"]
    assert "PySCF" in entry["source"]


def test_every_built_in_problem_is_checked_above() -> None:
    assert set(load("problems")) == {"h2", "heh+", "lih", "lih-frozen-core", "h4", "h2o"}
