"""Molecules from a geometry: PySCF's integrals agree with the built-in problems, and a missing PySCF is reported."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from pyscf import gto, mcscf, scf

import hybridloop as hl
from hybridloop.algorithms.geometries import Geometry
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.exact import exact_ground_energy
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.api.sweep_input import read_sweep
from hybridloop.data import load_table
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError
from hybridloop.flows.sweep_execution.spec import points_of
from hybridloop.inputs.formats.energies import geometry_of, read_energy_problem
from hybridloop.inputs.formats.fcidump import fcidump_text, read_fcidump
from hybridloop.inputs.problem_objects.geometry_options import GeometryOptions
from hybridloop.inputs.problems import Reading, read_for
from hybridloop.preparation.problem import facts_of, resolve_problem
from hybridloop.targets import find_target

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
    monkeypatch.setitem(sys.modules, "pyscf.gto", None)
    with pytest.raises(InputError, match="a Z-matrix needs PySCF"):
        hl.molecule("H; H 1 0.74")


WATER = "O 0 0 0.117790; H 0 0.755453 -0.471161; H 0 -0.755453 -0.471161"


def geometry_in(problem: hl.ProblemText) -> Geometry:
    found = geometry_of(str(problem.text))
    assert found is not None
    return found


def shortest_of(problem: hl.ProblemText) -> float:
    shortest = geometry_in(problem).shortest
    assert shortest is not None
    return shortest[2]


@pytest.mark.parametrize(
    ("text", "unit", "distance"),
    [
        ("H 0 0 0; H 0 0 1.398397", "bohr", 0.74),
        ("H 0 0 0; H 0 0 74", "pm", 0.74),
        ("H 0 0 0; H 0 0 0.074", "nm", 0.74),
        ("H, 0, 0, 0; H, 0, 0, 0.74", None, 0.74),
        ("H 0,0,0; H 0,0,0.74", None, 0.74),
        ("H 0,0 0,0 0,0; H 0,0 0,0 0,74", None, 0.74),
        ("h 0 0 0; h 0 0 7.4D-1", None, 0.74),
        ("H; H 1 0.74", None, 0.74),
        ("H; H 1 1.398397", "bohr", 0.74),
        ("O; H 1 0.96; H 1 0.96 2 104.5", None, 0.96),
        ("O\nH 1 R\nH 1 R 2 A\n\nVariables:\nR = 0.96\nA = 104.5\n", None, 0.96),
    ],
)
def test_lengths_are_read_in_their_unit_and_form(text: str, unit: str | None, distance: float) -> None:
    assert shortest_of(hl.problem(text, geometry_unit=unit)) == pytest.approx(distance, abs=1e-6)


def test_a_zmatrix_is_the_molecule_that_pyscf_makes_of_it() -> None:
    text = "C; H 1 1.09; H 1 1.09 2 109.47; H 1 1.09 2 109.47 3 120; H 1 1.09 2 109.47 3 -120"
    expected = scf.RHF(gto.M(atom=text, verbose=0)).kernel()
    found = read_energy_problem(str(hl.problem(text, frozen_core=1).text), "methane")
    assert isinstance(found, Molecule)
    assert found.hartree_fock_energy == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("H 0 0 0; H 0 0 74", "119 bond lengths.*in pm .0.74 Å., set geometry_unit to pm"),
        ("H 0 0 0; H 0 0 0.074", "in nm .0.74 Å., set geometry_unit to nm"),
        ("H 0 0 0; H 0 0 0", "are at one place"),
        ("H; H 1 R", "'R' of atom 2 is no number"),
        ("O; H 1 0; H 1 0.96 2 104", "at one place"),
        ("H; H __import__ 0.74", "no file|geometry|such"),
        ("H; H 2 0.74", "atom 2 of the Z-matrix refers to 2"),
        ("O; H 1 0.96; H 1 0.96 2 -104", "impossible angle|Give 0 to 180"),
        ("H 0 0 0; Qq 0 0 0.74", "Qq"),
    ],
)
def test_what_no_molecule_has_is_refused_by_its_likely_cause(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        hl.problem(text)


def test_an_xyz_file_whose_comment_names_another_unit_is_refused_without_the_unit(tmp_path: Path) -> None:
    path = tmp_path / "h2.xyz"
    path.write_text("2\nhydrogen, coordinates in Bohr\nH 0 0 0\nH 0 0 1.398397\n", "utf-8")
    with pytest.raises(InputError, match="Set geometry_unit to bohr or to angstrom"):
        hl.problem(path)
    assert shortest_of(hl.problem(path, geometry_unit="bohr")) == pytest.approx(0.74)
    path.write_text("2\n\nH 0 0 0\nH 0 0 0.7\n2\n\nH 0 0 0\nH 0 0 0.8\n", "utf-8")
    with pytest.raises(InputError, match=r"several geometries of 2 atoms.*ase\.io\.read"):
        hl.problem(path)


def test_an_active_space_is_applied_before_the_size_is_checked() -> None:
    with pytest.raises(InputError, match=r"active_space: OH2-cc-pvdz has 24 orbitals.*--active-space 4,4"):
        hl.problem(WATER, basis="cc-pvdz")
    small, settings = hl.problem(WATER, basis="cc-pvdz", active_space=(4, 4)), VqeSettings(active_space=(4, 4))
    resolved = resolve_problem(small, settings, find_target("rigetti.sim.qvm"))
    assert isinstance(resolved, ElectronicProblem)
    field = scf.RHF(gto.M(atom=WATER, basis="cc-pvdz", verbose=0)).run()
    assert exact_ground_energy(resolved.molecule) == pytest.approx(mcscf.CASCI(field, 4, 4).run().e_tot, abs=1e-7)
    facts = facts_of(resolved)
    assert facts.title.startswith("OH2 in cc-pvdz, shortest distance O–H 0.958 Å; ")
    assert facts.title.endswith("4 electrons in 4 of 24 orbitals, multiplicity 1")
    assert facts.is_active_space
    assert "of MP2's correlation energy are outside" in facts.orbitals
    assert hl.problem(WATER, basis="cc-pvdz", active_space="(4,4)") == small  # one text for one molecule
    natural = hl.problem(WATER, basis="cc-pvdz", active_space="auto:4,4")
    resolved = resolve_problem(natural, VqeSettings(active_space="auto:4,4"), find_target("rigetti.sim.qvm"))
    assert isinstance(resolved, ElectronicProblem)
    assert exact_ground_energy(resolved.molecule) < exact_ground_energy(read_fcidump_of(small)) - 1e-3


def read_fcidump_of(problem: hl.ProblemText) -> Molecule:
    found = read_energy_problem(str(problem.text), problem.name)
    assert isinstance(found, Molecule)
    return found


def test_a_field_of_pyscf_gets_the_active_space_of_the_run_too() -> None:
    field = scf.RHF(gto.M(atom=WATER, basis="cc-pvdz", verbose=0))
    given = read_for("vqe", field, VqeSettings(active_space=(4, 4)), Reading(GeometryOptions()))
    expected = read_fcidump_of(hl.problem(WATER, basis="cc-pvdz", active_space=(4, 4)))
    assert exact_ground_energy(read_fcidump_of(given)) == pytest.approx(exact_ground_energy(expected), abs=1e-8)


@pytest.mark.slow
def test_more_orbitals_than_fit_in_memory_need_the_size_of_the_space_alone() -> None:
    with pytest.raises(InputError, match=r"115 orbitals.*Choose electrons and orbitals"):
        hl.problem(WATER, basis="cc-pvqz", active_space="auto")
    found = read_fcidump_of(hl.problem(WATER, basis="cc-pvqz", active_space=(4, 4)))
    assert (found.norb, found.electrons, found.is_active_space) == (4, (2, 2), True)


def test_a_sweep_makes_the_integrals_of_each_point_for_its_settings() -> None:
    sweep = {
        "name": "s",
        "algorithm": "vqe",
        "problems": [WATER, "h2"],
        "settings": {"seed": 1},
        "grid": {"active_space": ["2,2", "4,4"]},
        "points": [{"problem": WATER, "basis": "6-31g", "active_space": "4,4"}],
    }
    points = list(points_of(read_sweep(sweep)))
    assert [(point.problem.name, point.varied["active_space"]) for point in points] == [
        ("h2", "2,2"),
        ("h2", "4,4"),
        ("OH2-sto-3g", "2,2"),
        ("OH2-sto-3g", "4,4"),
        ("OH2-6-31g", "4,4"),
    ]
    assert [read_fcidump_of(point.problem).norb for point in points[2:]] == [2, 4, 4]
    whole = read_sweep(
        {**sweep, "problems": ["H 0 0 0; H 0 0 0.74"], "grid": {"basis": ["sto-3g", "6-31g"]}, "points": []}
    )
    assert [point.problem.name for point in points_of(whole)] == ["H2-sto-3g", "H2-6-31g"]


def test_a_sweep_of_graphs_has_no_basis_set() -> None:
    for extra in ({"settings": {"basis": "sto-3g"}}, {"points": [{"basis": "sto-3g"}]}):
        with pytest.raises(InputError, match="basis"):
            read_sweep({"name": "s", "algorithm": "qaoa", "problems": ["petersen"], **extra})
