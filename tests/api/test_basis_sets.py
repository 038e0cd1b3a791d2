"""Basis sets by element and effective core potentials: energies as PySCF's, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pyscf import gto, mcscf, scf
from pyscf.tools import fcidump

import hybridloop as hl
from hybridloop.algorithms.problems.exact import exact_energy_of_spin
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.errors import InputError, ProblemError
from hybridloop.inputs.formats.energies import geometry_of, read_energy_problem
from hybridloop.settings import ProblemText

NAH = "Na 0 0 0; H 0 0 1.9"


def slow(*values: Any) -> Any:
    """Return the values of a case for the slow tests."""
    return pytest.param(*values, marks=pytest.mark.slow)


def exact(problem: ProblemText) -> float:
    found = read_energy_problem(problem.text or "", problem.name)
    assert isinstance(found, Molecule)
    return exact_energy_of_spin(found)


@pytest.mark.parametrize(
    ("atoms", "basis", "by_element", "potentials", "said"),
    [
        (NAH, "lanl2dz", "lanl2dz", {"Na": "lanl2dz"}, "LANL2DZ on Na (10 electrons)"),
        slow("Cl 0 0 0; H 0 0 1.28", "LANL2DZ", "lanl2dz", {"Cl": "lanl2dz"}, "LANL2DZ on Cl (10 electrons)"),
        ("I 0 0 0; H 0 0 1.61", "def2-svp", "def2-svp", {"I": "def2-svp"}, "def2-SVP on I (28 electrons)"),
        slow("Ag 0 0 0; H 0 0 1.62", "def2svp", "def2-svp", {"Ag": "def2-svp"}, "def2-SVP on Ag (28 electrons)"),
        slow("Br 0 0 0; H 0 0 1.41", "def2-svp", "def2-svp", {}, ""),
        (
            "Na 0 0 0; Cl1 0 0 2.36",
            "Na=lanl2dz, Cl=6-31g(d,p)",
            {"Na": "lanl2dz", "Cl": "6-31g(d,p)"},
            {"Na": "lanl2dz"},
            "LANL2DZ on Na (10 electrons)",
        ),
        slow(
            "I 0 0 0; Br 0 0 2.47",
            "I=cc-pvdz-pp,lanl2dz",
            {"I": "cc-pvdz-pp", "Br": "lanl2dz"},
            {"I": "cc-pvdz-pp", "Br": "lanl2dz"},
            "cc-pVDZ-PP on I (28 electrons), LANL2DZ on Br (28 electrons)",
        ),
    ],
)
def test_a_basis_set_brings_its_core_potentials(
    atoms: str, basis: str, by_element: Any, potentials: Mapping[str, str], said: str
) -> None:
    problem = hl.problem(atoms, basis=basis, active_space=(2, 2))
    geometry = geometry_of(problem.text or "")
    assert geometry is not None
    assert geometry.potential == said
    assert (f", core potential {said}" in geometry.title) == bool(said)
    molecule = gto.M(atom=atoms, basis=by_element, ecp=dict(potentials), verbose=0)
    field = scf.RHF(molecule).run()
    energy = mcscf.CASCI(field, 2, 2).run(verbose=0).e_tot
    assert exact(problem) == pytest.approx(energy, abs=1e-8)
    # the same of PySCF's objects
    assert exact(hl.problem(molecule, active_space=(2, 2))) == pytest.approx(energy, abs=1e-8)
    assert exact(hl.problem(mcscf.CASCI(field, 2, 2))) == pytest.approx(energy, abs=1e-8)
    optimized = mcscf.CASSCF(field, 2, 2).run(verbose=0)
    assert exact(hl.problem(optimized)) == pytest.approx(optimized.e_tot, abs=1e-7)


@pytest.mark.parametrize(
    ("basis", "ecp", "said"),
    [
        ("ccecp-cc-pvdz", "ccecp", "ccecp on Na (10 electrons), ccecp on H (0 electrons)"),
        ("lanl2dz", "Na=lanl2dz", "lanl2dz on Na (10 electrons)"),
        ("lanl2dz", "lanl2dz", "lanl2dz on Na (10 electrons)"),
        ("6-31g", "none", ""),
    ],
)
def test_potentials_may_be_named(basis: str, ecp: str, said: str) -> None:
    problem = hl.problem(NAH, basis=basis, ecp=ecp, active_space=(2, 2))
    geometry = geometry_of(problem.text or "")
    assert geometry is not None
    assert geometry.potential == said
    potential: Any = {} if ecp == "none" else {"Na": "lanl2dz"} if "=" in ecp else ecp
    field = scf.RHF(gto.M(atom=NAH, basis=basis, ecp=potential, verbose=0)).run()
    assert exact(problem) == pytest.approx(mcscf.CASCI(field, 2, 2).run(verbose=0).e_tot, abs=1e-8)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"basis": "ccecp-cc-pvdz"}, "is for Na with an effective core potential.*--ecp ccecp"),
        ({"basis": "Na=stuttgart,H=6-31g"}, "is for Na with an effective core potential, and it has none"),
        ({"basis": "lanl2dz", "ecp": "none"}, "--ecp lanl2dz"),
        ({"basis": "lanl2dz", "ecp": "Na=def2-svp"}, "PySCF has no potential"),
        ({"basis": "lanl2dz", "ecp": "nonsense"}, "PySCF has no potential"),
        ({"basis": "Na=lanl2dz"}, "no basis set for H"),
        ({"basis": "Li=lanl2dz,sto-3g"}, "'Li=lanl2dz' is no element of H, Na"),
        ({"basis": "sto-3g,6-31g,Na=lanl2dz"}, "'6-31g' is no element"),
        ({"basis": "Na=../x,H=sto-3g"}, "no name of a basis set"),
        ({"ecp": "H=../x"}, "no name of a potential"),
    ],
)
def test_what_can_not_be_had_is_refused(values: dict[str, Any], says: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=says):
        hl.problem(NAH, active_space=(2, 2), **values)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("basis", ["lanl2dz", {"Na": "lanl2dz", "H": "6-31g"}])
def test_an_object_without_the_potential_of_its_basis_set_is_refused(basis: Any) -> None:
    with pytest.raises(InputError, match="Na with an effective core potential, and it has none"):
        hl.problem(gto.M(atom=NAH, basis=basis, verbose=0), active_space=(2, 2))


@pytest.mark.parametrize("ghost", ["GHOST-He", "X-He", "Gh(He)", "@He", "He-Bq"])
def test_a_ghost_atom_is_of_objects_alone(ghost: str) -> None:
    text = f"H 0 0 0; H 0 0 0.74; {ghost} 0 0 2"
    with pytest.raises(InputError, match=r"ghost atom.*hybridloop\.problem\(mol\)"):
        hl.problem(text)
    lines = text.replace("; ", "\n")
    with pytest.raises(ProblemError, match=r"is no element.*hybridloop\.problem\(mol\)"):
        hl.problem(ProblemText(name="x", text=f"3\n\n{lines}"), format="xyz")


def test_an_exported_file_names_its_basis_set_and_potential(tmp_path: Path) -> None:
    exported = hl.molecule(NAH, basis="lanl2dz", active_space=(2, 2))
    assert exported.text is not None
    (tmp_path / "nah.fcidump").write_text(exported.text, "utf-8")
    read = fcidump.read(str(tmp_path / "nah.fcidump"), verbose=False)  # PySCF's reader, and ours
    assert (read["NORB"], read["NELEC"]) == (2, 2)
    assert exact(exported) == pytest.approx(exact(hl.problem(NAH, basis="lanl2dz", active_space=(2, 2))), abs=1e-12)
    note = exported.text.splitlines()[-1]
    assert note.startswith("! NaH in lanl2dz, core potential LANL2DZ on Na (10 electrons), ")
    assert note.endswith(", active space 2,2")


def test_an_object_may_have_a_ghost_atom() -> None:
    molecule = gto.M(atom="H 0 0 0; H 0 0 0.74; GHOST-He 0 0 2", basis="6-31g", verbose=0)
    energy = mcscf.CASCI(scf.RHF(molecule).run(), 2, 2).run(verbose=0).e_tot
    assert exact(hl.problem(molecule, active_space=(2, 2))) == pytest.approx(energy, abs=1e-8)
