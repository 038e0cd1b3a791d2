"""Stretched molecules: stability of the reference, search from a far reference, and exact energies by spin."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.exact import exact_energy_of_spin, exact_ground_energy
from hybridloop.algorithms.problems.molecule import Molecule, with_multiplicity
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError
from hybridloop.preparation.problem import facts_of, lower_spin, resolve_problem
from hybridloop.settings import AnsatzName, ProblemText
from hybridloop.targets import find_target
from tests.algorithms.batched_state_helpers import noiseless_rounds
from tests.preparation_helpers import parse_problem, prepare_vqe
from tests.value_helpers import known

FCIDUMPS = Path(__file__).parent.parent / "data" / "fcidump"


def problem(name: str) -> ProblemText:
    return ProblemText(name=name, text=(FCIDUMPS / f"{name}.fcidump").read_text())


def molecule_of(name: str) -> Molecule:
    found = parse_problem(problem(name))
    assert isinstance(found, Molecule)
    return found


def test_a_search_leaves_a_saddle_at_hartree_fock() -> None:
    prepared = prepare_vqe(problem("NaH_4.5"), VqeSettings(), seed=0)
    outcome = prepared.measure(noiseless_rounds(), lambda _: None)
    exact = known(prepared.facts.exact())
    assert known(prepared.facts.reference) - exact > 0.06
    assert outcome.converged
    assert outcome.value == pytest.approx(exact, abs=5e-4)


def test_a_lower_state_of_another_spin_is_named_and_is_not_the_exact_energy() -> None:
    molecule = molecule_of("LiH_4.3")  # a triplet lies 4.65 mHa below the lowest singlet
    difference = exact_energy_of_spin(molecule) - exact_ground_energy(molecule)
    assert difference == pytest.approx(4.65e-3, abs=5e-5)
    note = known(lower_spin(molecule, exact_energy_of_spin(molecule)))
    assert "multiplicity 1" in note
    assert " mHa lower" in note
    hydrogen = molecule_of("H2_1.6")
    assert lower_spin(hydrogen, exact_energy_of_spin(hydrogen)) is None


def test_a_multiplicity_changes_the_electrons_and_the_exact_energy() -> None:
    target = find_target("rigetti.sim.qvm")
    singlet, triplet, other = (
        facts_of(resolve_problem(problem(name), VqeSettings(multiplicity=multiplicity), target))
        for name, multiplicity in (("LiH_4.3", 1), ("LiH_4.3", 3), ("H2_1.6", 3))
    )
    exact = [facts.exact() for facts in (singlet, triplet)]
    assert exact[0] is not None
    assert exact[1] is not None
    assert exact[0] - exact[1] == pytest.approx(4.65e-3, abs=5e-5)
    assert triplet.note() is None
    note = known(other.note())
    assert "multiplicity 3" in note
    left_out = prepare_vqe(problem("LiH_4.3"), VqeSettings(), seed=0)
    assert left_out.facts.exact() == exact[0]


def test_an_active_space_keeps_the_unpaired_electrons() -> None:
    settings = VqeSettings(multiplicity=3, active_space=(2, 3), ansatz="uccsd")
    prepared = prepare_vqe(problem("H4_1.5"), settings, seed=0)
    assert isinstance(prepared.problem, ElectronicProblem)
    assert prepared.problem.molecule.electrons == (2, 0)
    assert prepared.problem.molecule.hartree_fock_energy == pytest.approx(
        with_multiplicity(molecule_of("H4_1.5"), 3).hartree_fock_energy
    )


@pytest.mark.parametrize(("name", "multiplicity", "allowed"), [("LiH_4.3", 2, "1, 3"), ("H4_1.5", 7, "1, 3, 5")])
def test_an_impossible_multiplicity_is_refused(name: str, multiplicity: int, allowed: str) -> None:
    with pytest.raises(InputError) as caught:
        prepare_vqe(problem(name), VqeSettings(multiplicity=multiplicity), seed=0)
    assert caught.value.field == "multiplicity"
    assert allowed in caught.value.remedy


def test_a_pauli_sum_has_no_multiplicity() -> None:
    field = ProblemText(name="field", text='{"terms": {"Z": 1.0}}')
    with pytest.raises(InputError) as caught:
        prepare_vqe(field, VqeSettings(multiplicity=1, ansatz=AnsatzName.HARDWARE_EFFICIENT), seed=0)
    assert caught.value.field == "multiplicity"
