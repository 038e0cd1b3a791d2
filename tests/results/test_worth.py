"""Sentences of a result on its worth: beside Hartree-Fock, lower states, searched angles, and errors of a machine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.facts import SYMMETRY_CONSERVED
from hybridloop.algorithms.outcome import Fact, Kind
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.inputs.problems import read_problem
from hybridloop.results.result_text import answer, observable_text, reference_doubt
from hybridloop.results.summary import summary
from hybridloop.settings import AnsatzName, SearchName
from tests.algorithms.batched_state_helpers import shot_rounds
from tests.preparation_helpers import prepare_vqe
from tests.result_helpers import a_result

NUMBER = "2.0 [] - 0.5 [Z0] - 0.5 [Z1] - 0.5 [Z2] - 0.5 [Z3]"  # of electrons, in Jordan-Wigner


def test_a_summary_says_that_no_more_than_hartree_fock_is_shown_and_names_a_lower_state() -> None:
    result = a_result()
    assert result.value is not None
    assert result.outcome is not None
    shown = replace(result, reference=result.value + 0.1)
    assert reference_doubt(shown) is None
    choice = "spin: multiplicity 1 was asked for; a state of another spin is 2.90 mHa lower"
    hidden = replace(result, reference=result.value + 1e-4, outcome=replace(result.outcome, choices=(choice,)))
    lines = "\n".join(summary(hidden))
    words = " ".join(lines.split())
    assert "no more than Hartree-Fock is shown: the value is 0.100 mHa below it" in words
    assert "a state of another spin is 2.90 mHa lower" in words
    assert len(lines.splitlines()) <= 8


def test_what_a_circuit_conserves_is_not_said_of_a_machine() -> None:
    found = a_result().outcome
    assert found is not None
    known = replace(found, spin_squared=0.0, spin_squared_error=0.0, electrons=2.0, electrons_error=0.0)
    result = replace(a_result(), outcome=known)
    (spin,) = [row.text for row in answer(result) if row.name == "spin"]
    assert spin.endswith("electrons 2 (conserved by the circuit)")
    (spin,) = [row.text for row in answer(replace(result, target="quantinuum.sim.h2-1e")) if row.name == "spin"]
    assert spin.endswith("(conserved by the circuit; the machine's errors do not conserve it)")
    counted = Fact(SYMMETRY_CONSERVED, False, "7 of 1,000 outcomes were discarded", Kind.ESTIMATED)  # noqa: FBT003
    told = replace(result, outcome=replace(known, facts=(counted,)))
    (spin,) = [row.text for row in answer(told) if row.name == "spin"]
    assert spin.endswith("(conserved by the circuit; 7 of 1,000 outcomes were discarded)")


@pytest.mark.parametrize("search", [SearchName.SIMULATED, SearchName.MEASURED])
def test_an_operator_that_is_one_number_in_each_outcome_is_that_number(search: SearchName) -> None:
    settings = VqeSettings(
        ansatz=AnsatzName.UCCSD,
        mapping=FermionMapping.JORDAN_WIGNER,
        observables={"number": NUMBER},
        search=search,
    )
    outcome = prepare_vqe(read_problem("h2"), settings, 0).measure(shot_rounds(3), lambda _: None)
    (row,) = outcome.observables
    assert row["value"] == 2.0
    assert row["standard_error"] == pytest.approx(row["unseen_bound"] / 3.0)  # no shot scatters
    assert observable_text(row).endswith("at these angles") == (search is SearchName.MEASURED)
