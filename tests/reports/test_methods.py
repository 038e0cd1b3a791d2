"""Methods of a paper: a reader computes the same exact energies from their words alone; no advice is in them."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyscf import gto, mcscf, scf
from pyscf.fci import direct_spin0

from hybridloop.algorithms.problems.exact import exact_energy_of_spin
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.estimate.planner import plan_run
from hybridloop.inputs.formats.energies import read_energy_problem
from hybridloop.inputs.problem_objects.geometry_options import GeometryOptions
from hybridloop.inputs.problems import read_problem, read_scan
from hybridloop.preparation.checks import points_of_scan
from hybridloop.reports.paper.folder import write_paper
from hybridloop.reports.paper.methods import MethodsText
from hybridloop.runs.stored_run import StoredRun
from hybridloop.settings import ProblemText
from tests.preparation_helpers import settings_for

PLACE = re.compile(r"([A-Z][a-z]?) \(([-\d.]+), ([-\d.]+), ([-\d.]+)\)")


def told_of(run: StoredRun, algorithm: str, problem: ProblemText, **values: Any) -> str:
    """Return the methods of the run, as if it had been of this algorithm and problem."""
    assert run.result is not None
    settings = settings_for(algorithm, {"seed": 7, **values}).model_dump(mode="json")
    stated = {**run.record.settings, "problem": problem.model_dump(mode="json"), "settings": settings}
    record = replace(run.record, algorithm=algorithm, problem=problem.name, settings=stated)
    return MethodsText(replace(run, record=record), replace(run.result, algorithm=algorithm)).paragraph


def rebuilt(words: str) -> list[float]:
    """Compute the exact energy of each molecule that the words describe, in their order, by PySCF alone."""
    (basis, potential, charge, multiplicity) = re.findall(
        r"The integrals in (\S+?)(?: with the effective core potential (.+?))?, charge (-?\d+), multiplicity (\d+),",
        words,
    )[0]
    bases = dict(each.split("=") for each in basis.split(",")) if "=" in basis else basis
    potentials = {element: name for name, element in re.findall(r"(\S+) on ([A-Z][a-z]?) \(", potential)}
    space = re.search(r"The active space of (\d+) electrons in (\d+) orbitals is around the highest occupied", words)
    found = []
    (atoms,) = re.findall(r"The atoms are at \(in .*?\) (.*?\))\. ", words)
    for molecule in atoms.split("; "):
        places = [(symbol, tuple(map(float, place))) for symbol, *place in PLACE.findall(molecule)]
        assert places
        built = gto.M(
            atom=places, basis=bases, ecp=potentials, charge=int(charge), spin=int(multiplicity) - 1, verbose=0
        )
        field = scf.RHF(built).run()
        electrons, orbitals = map(int, space.groups()) if space else (built.nelectron, built.nao)
        complete = mcscf.CASCI(field, orbitals, electrons)
        if multiplicity == "1":
            complete.fcisolver = direct_spin0.FCI(built)
        found.append(float(complete.run(verbose=0).e_tot))
    return found


def exact(problem: ProblemText) -> float:
    molecule = read_energy_problem(problem.text or "", problem.name)
    assert isinstance(molecule, Molecule)
    return exact_energy_of_spin(molecule)


@pytest.mark.parametrize(
    ("algorithm", "atoms", "options"),
    [
        ("vqe", "Na 0 0 0; H 0 0 1.9", {"basis": "lanl2dz", "active_space": (2, 2)}),
        ("levels", "Na 0 0 0.1; Cl 0 0 2.46", {"basis": "Na=lanl2dz,Cl=6-31g", "active_space": (2, 2)}),
        ("adapt", "O 0 0 0.119; H 0 0.763 -0.477; H 0 -0.763 -0.477", {"basis": "6-31g", "active_space": (4, 4)}),
        ("vqe", "O 0 0 0; H 0 0 0.97", {"charge": -1}),
        ("vqe", "O 0 0 0; O 0 0 1.2", {"multiplicity": 3, "active_space": (4, 3)}),
        ("vqe", "H 0 0 0; H 0 0 0.923456789", {"mapping": "jordan-wigner"}),
    ],
)
def test_the_words_alone_give_the_exact_energy(
    vqe_run: StoredRun, algorithm: str, atoms: str, options: dict[str, Any]
) -> None:
    mapping = {"mapping": options["mapping"]} if "mapping" in options else {}
    problem = read_problem(atoms, GeometryOptions(**{name: options[name] for name in options.keys() - mapping.keys()}))
    part = mapping | {name: options[name] for name in ("active_space", "multiplicity") if name in options}
    words = told_of(vqe_run, algorithm, problem, **part)
    assert rebuilt(words) == [pytest.approx(exact(problem), abs=1e-7)]
    assert ("coupled exchange excitations" in words) == (algorithm == "adapt")
    has_both_spins = mapping or algorithm == "adapt"
    assert f"by the {'Jordan-Wigner' if has_both_spins else 'parity'} transformation" in words
    assert re.search(r"The circuits measure up to \d+ qubits?, each with [\d,]+", words)


def test_the_words_of_a_scan_give_the_energy_of_each_point(vqe_run: StoredRun) -> None:
    atoms = [f"Li 0 0 0; H 0 0 {distance}" for distance in (1.4, 1.6, 1.9)]
    series = read_scan(atoms, GeometryOptions(basis="6-31g", active_space=(2, 2)))
    words = told_of(vqe_run, "scan", series, active_space=(2, 2))
    assert rebuilt(words) == [pytest.approx(exact(each), abs=1e-7) for each in points_of_scan(series)]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("ionq.simulator", "the target ionq.simulator of Azure Quantum, a simulator or an emulator of a machine, in"),
        ("ionq.qpu.aria-1", "of Azure Quantum, in 1 session. The circuits measure up to 2 qubits, each with"),
        ("ionq.qpu.aria-1", "The provider's error mitigation (debiasing) was on in jobs of 500 shots or more."),
    ],
)
def test_the_words_name_the_target_and_its_error_mitigation(vqe_run: StoredRun, target: str, said: str) -> None:
    assert vqe_run.result is not None
    place = {**vqe_run.record.settings, "workspace": {"host": "quantum.azure.com"}}
    run = replace(vqe_run, record=replace(vqe_run.record, settings=place))
    assert said in MethodsText(run, replace(vqe_run.result, target=target)).paragraph


def test_advice_stays_out_of_the_words(vqe_run: StoredRun) -> None:
    assert vqe_run.result is not None
    assert vqe_run.result.outcome is not None
    reason = "precision not reached: ± 0.01; to extend it, raise max_cost: 10 shots are missing; max_cost leaves it."
    noise = "noise: errors are left in the value. Add --mitigation readout. They shift energies."
    outcome = replace(vqe_run.result.outcome, warnings=(noise, "Give more shots."))
    result = replace(vqe_run.result, status="finished", reason=reason, outcome=outcome)
    words = MethodsText(vqe_run, result).paragraph
    assert words.endswith(
        "Convergence was sought and not shown: precision not reached: \\ensuremath{\\pm} 0.01; max_cost leaves it. "
        "Reasons to doubt the result: noise: errors are left in the value. They shift energies.\n".replace("_", r"\_")
    )
    assert ".." not in words


def test_a_table_names_the_space_of_its_exact_energy_and_has_no_formulas(vqe_run: StoredRun, tmp_path: Path) -> None:
    assert vqe_run.result is not None
    record = replace(vqe_run.record, result=vqe_run.result.as_dict() | {"is_active_space": True, "problem": "=1+2|x"})
    write_paper(replace(vqe_run, record=record), tmp_path / "paper")
    head, row = csv.reader((tmp_path / "paper" / "table.csv").read_text("utf-8").splitlines())
    assert "exact of the active space (hartree)" in head
    assert row[0] == "'=1+2|x"
    assert float(row[1]) == vqe_run.result.value
    assert "exact of the active space" in (tmp_path / "paper" / "table.tex").read_text("utf-8")


@pytest.mark.parametrize("kept", ["vqe", "unbatched", "scan", "qaoa"], indirect=True)
def test_the_words_tell_the_gates_of_the_largest_circuit_as_its_plan_does(kept: StoredRun) -> None:
    assert kept.result is not None
    words = MethodsText(kept, kept.result).paragraph
    (told,) = re.findall(r"The largest circuit, as it was sent, has ([\d,]+) two-qubit gates? and", words)
    planned = plan_run(kept.record.algorithm, kept.problem, kept.settings)
    assert int(told) == max(circuit.two_qubit or 0 for circuit in planned.circuits)
    assert kept.result.problem.partition(" ")[0] in words
    assert "given by the authors" not in words
