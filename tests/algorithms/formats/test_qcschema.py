"""QCSchema results: every form of a molecule is read as the same molecule; malformed ones are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hybridloop.algorithms.formats.qcschema import read_qcschema
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.errors import ProblemError


def fock(molecule: Molecule) -> NDArray[np.float64]:
    """Return the Fock matrix of a closed shell: F_pq = h_pq + Σ_filled 2 (pq|ii) − (pi|iq)."""
    n = molecule.electrons[0]
    two = molecule.two_body
    total = molecule.one_body.copy()
    for i in range(n):
        total += 2 * two[:, :, i, i] - two[:, i, i, :]
    return total


def document(molecule: Molecule, form: str) -> dict[str, Any]:
    """Return a QCSchema document in the form of one of the programs."""
    norb = molecule.norb
    # basis functions that are orthonormal, and orbitals that are not the functions
    orbitals = np.linalg.qr(np.random.default_rng(0).normal(size=(norb, norb)))[0]
    back = orbitals.T
    one = back.T @ molecule.one_body @ back
    two = np.einsum("pqrs,pa,qb,rc,sd->abcd", molecule.two_body, back, back, back, back)
    over_functions = {"scf_orbitals_a": orbitals, "scf_eri": two}
    wavefunction = {
        "core in place of fock": {"scf_fock_mo_a": molecule.one_body, "scf_eri_mo_aa": molecule.two_body},
        "fock": {"scf_fock_mo_a": fock(molecule), "scf_eri_mo_aa": molecule.two_body},
        "physicists": {"scf_fock_mo_a": fock(molecule), "scf_eri_mo_aa": molecule.two_body.transpose(0, 2, 1, 3)},
        "functions": {"h_core_a": one, **over_functions},
        "functions with fock": {"scf_fock_a": back.T @ fock(molecule) @ back, **over_functions},
    }[form]
    return {
        "schema_name": "qcschema_output",
        "properties": {
            "calcinfo_nmo": norb,
            "calcinfo_nalpha": molecule.electrons[0],
            "calcinfo_nbeta": molecule.electrons[1],
            "nuclear_repulsion_energy": molecule.core_energy,
            "return_energy": molecule.hartree_fock_energy,
        },
        "wavefunction": {name: array.ravel().tolist() for name, array in wavefunction.items()},
    }


FORMS = ["core in place of fock", "fock", "physicists", "functions", "functions with fock"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["H2_0.735", "H4_1"])
def test_every_form_reads_as_the_molecule(problem_of: Callable[..., ElectronicProblem], name: str, form: str) -> None:
    molecule = problem_of(name).molecule
    read = read_qcschema(json.dumps(document(molecule, form)), "result.json")
    assert read.electrons == molecule.electrons
    assert read.core_energy == molecule.core_energy
    np.testing.assert_allclose(read.one_body, molecule.one_body, atol=1e-9)
    np.testing.assert_allclose(read.two_body, molecule.two_body, atol=1e-9)


def test_a_quantity_may_name_the_array_that_holds_it(problem_of: Callable[..., ElectronicProblem]) -> None:
    molecule = problem_of("H2_0.735").molecule
    whole = document(molecule, "fock")
    whole["wavefunction"]["mine"] = whole["wavefunction"].pop("scf_fock_mo_a")
    whole["wavefunction"]["scf_fock_mo_a"] = "mine"
    np.testing.assert_allclose(read_qcschema(json.dumps(whole), "r").one_body, molecule.one_body, atol=1e-9)


@pytest.mark.parametrize(
    ("place", "name", "value", "says"),
    [
        ("properties", "calcinfo_nmo", 1.5, "calcinfo_nmo"),
        ("properties", "calcinfo_nmo", 10**9, "calcinfo_nmo"),
        ("properties", "calcinfo_nmo", 3, "instead of"),
        ("properties", "calcinfo_nalpha", None, "calcinfo_nalpha"),
        ("properties", "calcinfo_nalpha", 2, "states"),  # a number of electrons other than the energy's
        ("properties", "calcinfo_nbeta", 7, "do not fit"),
        ("properties", "nuclear_repulsion_energy", "0.7", "nuclear_repulsion_energy"),
        ("properties", "return_energy", -2.0, "-2.0"),
        ("wavefunction", "scf_eri_mo_aa", [0.5], "instead of"),
        ("wavefunction", "scf_eri_mo_aa", None, "two-electron"),
        ("wavefunction", "scf_fock_mo_a", None, "one-electron"),
        ("wavefunction", "scf_fock_mo_a", [[1, 2], [2, 3]], "flat list"),
        ("wavefunction", "scf_eri_mo_bb", [0.5], "unrestricted"),
    ],
)
def test_malformed_documents_are_refused(
    problem_of: Callable[..., ElectronicProblem], place: str, name: str, value: object, says: str
) -> None:
    whole = document(problem_of("H2_0.735").molecule, "fock")
    whole[place][name] = value
    with pytest.raises(ProblemError, match=r"result\.json") as caught:
        read_qcschema(json.dumps(whole), "result.json")
    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["properties", "wavefunction"])
def test_a_result_without_its_parts_is_refused(problem_of: Callable[..., ElectronicProblem], name: str) -> None:
    whole = document(problem_of("H2_0.735").molecule, "fock")
    del whole[name]
    with pytest.raises(ProblemError, match=name):
        read_qcschema(json.dumps(whole), "result.json")
