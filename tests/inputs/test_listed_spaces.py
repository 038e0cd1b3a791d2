"""Active spaces by lists of orbitals and by symmetry, against PySCF; degenerate orbitals that a space cuts."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from pyscf import gto, mcscf, scf, symm

import hybridloop as hl
from hybridloop.algorithms.problems.exact import exact_ground_energy, lowest_states_of_spin
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.algorithms.problems.natural_orbitals import part_of, space_doubt
from hybridloop.errors import InputError
from hybridloop.preparation.problem import parse_problem
from hybridloop.settings.parsing import ActiveSpace

WATER = "O 0 0 0.119; H 0 0.763 -0.477; H 0 -0.763 -0.477"
TEN: dict[str, tuple[str, dict[str, Any], list[int]]] = {
    "water": (WATER, {}, [3, 4, 6, 7]),
    "lithium hydride": ("Li 0 0 0; H 0 0 1.6", {}, [2, 3, 6]),
    "hydrogen fluoride": ("F 0 0 0; H 0 0 0.92", {"basis": "6-31g"}, [2, 3, 6, 9]),
    "nitrogen": ("N 0 0 0; N 0 0 1.1", {}, [5, 6, 7, 8, 9]),
    "beryllium hydride": ("Be 0 0 0; H 0 0 1.33; H 0 0 -1.33", {}, [2, 3, 4, 7]),
    "methylene, a triplet": ("C 0 0 0; H 0 0.99 0.5; H 0 -0.99 0.5", {"multiplicity": 3}, [3, 4, 5, 7]),
    "hydroxyl": ("O 0 0 0; H 0 0 0.97", {}, [2, 3, 5, 6]),
    "a cation of helium hydride": ("He 0 0 0; H 0 0 0.77", {"charge": 1, "basis": "6-31g"}, [1, 4]),
    "ammonia": ("N 0 0 0.1; H 0 0.94 -0.27; H 0.81 -0.47 -0.27; H -0.81 -0.47 -0.27", {}, [2, 5, 6, 8]),
    "four hydrogen atoms": ("H 0 0 0; H 0 0 1; H 0.9 0 0; H 0.9 0 1.1", {}, [1, 2, 4]),
}


def molecule_of(atoms: str, **options: Any) -> Molecule:
    parsed = parse_problem(hl.problem(atoms, **options))
    assert isinstance(parsed, Molecule)
    return parsed


def built_of(atoms: str, options: dict[str, Any], **more: Any) -> Any:
    spin = {} if "multiplicity" not in options else {"spin": options["multiplicity"] - 1}
    others = {name: value for name, value in options.items() if name != "multiplicity"}
    return gto.M(atom=atoms, verbose=0, spin=spin.get("spin"), **{"basis": "sto-3g", **others}, **more)


def electrons_of(field: Any, numbers: list[int]) -> int:
    return int(sum(field.mo_occ[number - 1] for number in numbers) + 0.5)


@pytest.mark.parametrize(("atoms", "options", "numbers"), TEN.values(), ids=TEN)
def test_a_list_of_orbitals_is_the_space_of_pyscf(atoms: str, options: dict[str, Any], numbers: list[int]) -> None:
    space = f"orbitals={','.join(map(str, numbers))}"
    molecule = molecule_of(atoms, active_space=space, **options)
    field = scf.RHF(built_of(atoms, options)).run(conv_tol=1e-12)
    cas = mcscf.CASCI(field, len(numbers), electrons_of(field, numbers))
    cas.fcisolver.conv_tol = 1e-12
    orbitals = cas.sort_mo(numbers)
    cas.kernel(orbitals)
    assert exact_ground_energy(molecule) == pytest.approx(cas.e_tot, abs=1e-6)
    assert molecule.space == space
    assert part_of(molecule, space, 0) is molecule
    assert f"in {len(numbers)} of" in molecule.orbitals_reason
    _, vectors = lowest_states_of_spin(molecule)
    if vectors.shape[1] == 1 and molecule.dipole is not None:  # a state that is not degenerate
        inside = np.einsum("xpq,qp->x", molecule.dipole.matrices, one_electron_density(cas))
        of_pyscf = dipole_of(cas, np.array(molecule.dipole.origin) / 0.529177210544)
        assert np.abs(molecule.dipole.constant + inside) == pytest.approx(np.abs(of_pyscf), abs=1e-4)


def one_electron_density(cas: Any) -> np.ndarray:
    """Return the density over the active orbitals, each with the sign that it has in our text."""
    density = cas.fcisolver.make_rdm1(cas.ci, cas.ncas, cas.nelecas)
    active = cas.mo_coeff[:, cas.ncore : cas.ncore + cas.ncas]
    sizes = np.abs(active)
    largest = active[(sizes >= (1 - 1e-6) * sizes.max(axis=0)).argmax(axis=0), range(cas.ncas)]
    signs = np.where(largest < 0, -1.0, 1.0)
    return np.asarray(density * np.outer(signs, signs))


def dipole_of(cas: Any, origin: np.ndarray) -> np.ndarray:
    with cas.mol.with_common_orig(origin):
        electronic = -np.einsum("xij,ji->x", cas.mol.intor_symmetric("int1e_r"), cas.make_rdm1())
    return np.asarray(electronic + cas.mol.atom_charges() @ (cas.mol.atom_coords() - origin))


@pytest.mark.parametrize(
    ("atoms", "space", "numbers"),
    [
        (WATER, {"A1": 2, "B2": 2}, [3, 4, 6, 7]),
        (WATER, {"A1": 3, "B1": 1, "B2": 2}, [2, 3, 4, 5, 6, 7]),
        ("N 0 0 0; N 0 0 1.1", {"E1ux": 1, "E1uy": 1, "E1gx": 1, "E1gy": 1}, [5, 6, 8, 9]),
        ("H 0 0 0; F 0 0 0.92", {"A1": 2, "E1x": 1, "E1y": 1}, [3, 4, 5, 6]),
    ],
)
def test_a_space_by_symmetry_has_the_orbitals_of_pyscfs_labels(
    atoms: str, space: dict[str, int], numbers: list[int]
) -> None:
    text = ",".join(f"{label}:{count}" for label, count in space.items())
    molecule = molecule_of(atoms, active_space=f"symmetry={text}")
    field = scf.RHF(built_of(atoms, {}, symmetry=True)).run(conv_tol=1e-12)
    labels = symm.label_orb_symm(field.mol, field.mol.irrep_name, field.mol.symm_orb, field.mo_coeff)
    assert Counter(labels[number - 1] for number in numbers) == space
    cas = mcscf.CASCI(field, len(numbers), electrons_of(field, numbers))
    cas.kernel(cas.sort_mo(numbers))
    assert exact_ground_energy(molecule) == pytest.approx(cas.e_tot, abs=1e-6)
    assert all(f"{number} ({labels[number - 1]})" in molecule.orbitals_reason for number in numbers)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ("orbitals=8", "there is no orbital 8"),
        ("symmetry=A1:9", "has 4. It has A1:4, B2:2, B1:1"),
        ("symmetry=A2:1", "has 0"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(space: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        molecule_of(WATER, active_space=space)
    assert refused.value.field == "active_space"


def test_an_electron_without_a_partner_stays_active_and_integrals_have_no_labels() -> None:
    with pytest.raises(InputError, match="orbital 5 has one electron"):
        molecule_of("O 0 0 0; H 0 0 0.97", active_space="orbitals=3,6")
    with pytest.raises(InputError, match="without labels"):
        part_of(molecule_of(WATER), "symmetry=A1:2", 0)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("orbitals=7, 3,4", "orbitals=3,4,7"),
        ("Orbitals=2", "orbitals=2"),
        ("symmetry=A1:2, E1ux:1", "symmetry=A1:2,E1ux:1"),
        ("auto:4,4", "auto:4,4"),
        ("4,4", (4, 4)),
    ],
)
def test_a_space_is_stored_in_one_form(text: str, stored: object) -> None:
    assert TypeAdapter(ActiveSpace).validate_python(text) == stored
    assert TypeAdapter(ActiveSpace).validate_python(stored) == stored


@pytest.mark.parametrize(
    "text", ["orbitals=", "orbitals=0,1", "orbitals=2,2", "orbitals=1-3", "symmetry=A1", "cas=4,4"]
)
def test_a_list_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(ActiveSpace).validate_python(text)


def ring(turned: float) -> str:
    places = [(math.cos(turned + math.pi / 3 * k), math.sin(turned + math.pi / 3 * k)) for k in range(6)]
    return "; ".join(f"H {x:.9f} {y:.9f} 0" for x, y in places)


def test_a_space_that_cuts_a_degenerate_pair_is_told_and_one_that_keeps_it_is_not() -> None:
    for space in ((2, 2), "orbitals=3,4", "orbitals=2,3,4", "auto:2,2"):
        doubt = space_doubt(molecule_of(ring(0.3), active_space=space).orbitals_reason)
        assert "cuts degenerate orbitals" in (doubt or ""), space
    for space in ((4, 4), "orbitals=2,3,4,5", "auto:4,4", "auto"):
        doubt = space_doubt(molecule_of(ring(0.3), active_space=space).orbitals_reason)
        assert "cuts degenerate orbitals" not in (doubt or ""), space
    turned = [exact_ground_energy(molecule_of(ring(angle), active_space=(4, 4))) for angle in (0.0, 0.3, 0.7)]
    assert np.ptp(turned) < 1e-6  # the whole of both pairs does not depend on how the molecule is turned
