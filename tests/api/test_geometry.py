"""Molecules from a geometry: PySCF's integrals agree with the built-in problems, and a missing PySCF is reported."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import hybridloop as hl
from hybridloop.algorithms.formats.fcidump import fcidump_text, read_fcidump
from hybridloop.algorithms.problems.exact import exact_ground_energy
from hybridloop.data import load_table
from hybridloop.errors import InputError

XYZ = "2\nhydrogen\nH 0 0 0\nH 0 0 0.735\n"


@pytest.fixture
def geometry(tmp_path: Path) -> Path:
    path = tmp_path / "hydrogen.xyz"
    path.write_text(XYZ, "utf-8")
    return path


@pytest.mark.parametrize("name", ["h2", "lih-frozen-core", "h2o"])
def test_a_written_molecule_is_read_back_bit_for_bit(name: str) -> None:
    molecule = read_fcidump(load_table("problems")[name]["fcidump"], name)
    again = read_fcidump(fcidump_text(molecule), name)
    assert (again.one_body == molecule.one_body).all()
    assert (again.two_body == molecule.two_body).all()
    assert (again.core_energy, again.electrons) == (molecule.core_energy, molecule.electrons)


def test_a_geometry_becomes_the_built_in_molecule(geometry: Path) -> None:
    problem = hl.molecule(geometry)
    assert problem.name == "hydrogen-sto-3g"
    assert problem.text is not None
    found = read_fcidump(problem.text, "hydrogen")
    assert found.hartree_fock_energy == pytest.approx(load_table("problems")["h2"]["hartree_fock_energy"], abs=1e-8)
    assert exact_ground_energy(found) == pytest.approx(load_table("problems")["h2"]["exact_energy"], abs=1e-8)
    assert hl.molecule(geometry) == problem  # the same result twice on one machine
    ion = hl.molecule(geometry, charge=1)
    assert ion.text is not None
    assert read_fcidump(ion.text, "ion").electrons == (1, 0)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"basis": "sto-33g"}, "PySCF can't compute hydrogen"),
        ({"charge": 1, "multiplicity": 1}, "PySCF can't compute hydrogen"),
    ],
)
def test_a_failure_of_pyscf_is_reported(geometry: Path, values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        hl.molecule(geometry, **values)


def test_an_invalid_geometry_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.xyz").write_text("0 1 2.5\n", "utf-8")
    with pytest.raises(InputError, match="other is no geometry"):
        hl.molecule(tmp_path / "other.xyz")
    with pytest.raises(InputError, match="there is no such file"):
        hl.molecule(tmp_path / "nowhere.xyz")


def test_without_pyscf_the_error_says_what_to_install(geometry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyscf", None)
    with pytest.raises(InputError, match=r"PySCF, which is not installed.* pip install 'hybridloop\[pyscf\]'"):
        hl.molecule(geometry)
