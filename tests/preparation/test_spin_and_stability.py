"""Stretched molecules: stability of the reference, search from a far reference, and exact energies by spin."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybridloop.algorithms.optimizers.corrected_model import CorrectedModel
from hybridloop.algorithms.optimizers.gradient import ParallelGradient
from hybridloop.algorithms.optimizers.pairwise_fit import PairwiseFit
from hybridloop.algorithms.problems.exact import exact_energy_of_spin, exact_ground_energy
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.data.search_rules import SEARCH, SEARCH_RULES, search_rules
from hybridloop.journal.provenance import versions
from hybridloop.preparation.problem import lower_spin
from hybridloop.settings import OptimizerName, ProblemText, VqeSettings
from tests.algorithms.batched_state_helpers import noiseless_rounds
from tests.preparation_helpers import prepare_vqe, read_subject

FCIDUMPS = Path(__file__).parent.parent / "data" / "fcidump"


def problem(name: str) -> ProblemText:
    return ProblemText(name=name, text=(FCIDUMPS / f"{name}.fcidump").read_text())


def molecule_of(name: str) -> Molecule:
    found = read_subject(problem(name))
    assert isinstance(found, Molecule)
    return found


def test_a_search_leaves_a_saddle_at_hartree_fock() -> None:
    prepared = prepare_vqe(problem("NaH_4.5"), VqeSettings(), seed=0)
    outcome = prepared.measure(noiseless_rounds(), lambda _: None)
    exact = prepared.facts.exact()
    assert exact is not None
    assert prepared.facts.reference - exact > 0.06
    assert outcome.converged
    assert outcome.value == pytest.approx(exact, abs=5e-4)


def test_a_run_that_was_started_under_the_former_rules_keeps_them() -> None:
    assert versions()[SEARCH] == str(SEARCH_RULES)
    assert [search_rules({}), search_rules({SEARCH: "2"})] == [1, 2]
    optimizers = [ParallelGradient, PairwiseFit, CorrectedModel]
    for rules, optimizer in enumerate(optimizers, 1):
        former = prepare_vqe(problem("NaH_4.5"), VqeSettings(), seed=0, rules=rules)
        assert isinstance(former.optimizer, optimizer)


def test_an_unstable_reference_of_many_angles_is_a_doubt() -> None:
    prepared = prepare_vqe(problem("H4_1.8"), VqeSettings(optimizer=OptimizerName.GRADIENT), seed=0)
    assert prepared.start_doubt is not None
    assert prepared.start_doubt.startswith("unstable reference: ")
    assert prepare_vqe(problem("H4_1.5"), VqeSettings(), seed=0, rules=1).start_doubt is None


def test_a_stable_reference_is_no_doubt() -> None:
    assert prepare_vqe(ProblemText(name="h2"), VqeSettings(), seed=0).start_doubt is None
    assert prepare_vqe(problem("BH_1.23_fc"), VqeSettings(), seed=0).start_doubt is None


def test_a_lower_state_of_another_spin_is_named_and_is_not_the_exact_energy() -> None:
    molecule = molecule_of("LiH_4.3")  # a triplet lies 4.65 mHa below the lowest singlet
    difference = exact_energy_of_spin(molecule) - exact_ground_energy(molecule)
    assert difference == pytest.approx(4.65e-3, abs=5e-5)
    note = lower_spin(molecule, exact_energy_of_spin(molecule))
    assert note is not None
    assert "multiplicity 1" in note
    assert " mHa lower" in note
    hydrogen = molecule_of("H2_1.6")
    assert lower_spin(hydrogen, exact_energy_of_spin(hydrogen)) is None
