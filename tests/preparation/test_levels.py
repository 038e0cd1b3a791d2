"""Energy levels after a VQE: claims, choices and table of the outcome."""

from __future__ import annotations

from dataclasses import replace

from hybridloop.algorithms.levels import MAX_LEVEL_ROUNDS
from hybridloop.descriptions.levels import LevelsSettings
from hybridloop.preparation.basis_levels import PreparedBasisLevels
from hybridloop.preparation.levels import PreparedLevels
from hybridloop.settings import OrbitalsName, ProblemText
from tests.algorithms.batched_state_helpers import shot_rounds
from tests.paths import DATA
from tests.preparation_helpers import prepared

H2 = ProblemText(name="H2_2.2_6-31g", text=(DATA / "fcidump" / "H2_2.2_6-31g.fcidump").read_text("utf-8"))
CUT = LevelsSettings(active_space=(2, 3), initial_point="hf", optimizer="trust-region", max_rounds=1, precision=5e-3)


def levels_of(settings: LevelsSettings) -> PreparedLevels:
    run = prepared("levels", H2, settings, 0)
    assert isinstance(run, PreparedLevels)
    return run


def test_levels_of_all_determinants_do_not_depend_on_the_search() -> None:
    run = levels_of(CUT)
    outcome = run.measure(shot_rounds(0), lambda _: None)
    assert outcome.converged
    assert outcome.is_precise
    assert "max_rounds=1, as requested" in outcome.reason
    for row in outcome.table:
        assert abs(row["energy"] - row["exact"]) <= 3 * row["standard_error"]
    assert outcome.value == outcome.table[0]["energy"]
    assert run.facts.exact() == outcome.table[0]["exact"]
    assert outcome.rounds <= 1 + 2 + MAX_LEVEL_ROUNDS  # the search, the VQE's final measurement, the levels
    assert "determinants: all 9 with 1 alpha and 1 beta electrons" in outcome.choices


def test_levels_of_some_determinants_are_as_certain_as_the_search() -> None:
    run = levels_of(CUT)
    outcome = replace(run, space=replace(run.space, total=10)).measure(shot_rounds(0), lambda _: None)
    assert (outcome.converged, outcome.is_requested) == (False, True)
    assert "determinants: the 9 of at most two excitations, of 10 with 1 alpha and 1 beta electrons" in outcome.choices


def test_levels_of_a_pauli_sum_take_no_search_and_keep_their_groups() -> None:
    chain = ProblemText(name="ising-6")
    run = prepared("levels", chain, LevelsSettings(levels=2, precision=3e-2), 0)
    assert isinstance(run, PreparedBasisLevels)
    assert run.groupings == (f"{run.energy.grouping.value} 1000",)
    outcome = run.measure(shot_rounds(0), lambda _: None)
    assert outcome.converged
    assert outcome.rounds == len(outcome.history) <= MAX_LEVEL_ROUNDS
    assert outcome.reason.startswith("all 64 basis states")
    assert outcome.parameters == ()
    assert run.facts.exact() == outcome.table[0]["exact"]
    assert (run.facts.unit, outcome.table[1]["electrons"]) == ("", None)


DIMER = """ &FCI NORB=2,NELEC=2,MS2=0 &END
0.05 1 1 1 1
0.05 2 2 2 2
-1.0 2 1 0 0
0.0 0 0 0 0
"""  # Hubbard, on sites: each level has all four determinants


def test_levels_on_sites_are_measured_in_the_orbitals_that_take_fewer_shots() -> None:
    shots = dict[str, int]()
    for orbitals in OrbitalsName.AUTO, OrbitalsName.GIVEN:
        run = prepared("levels", ProblemText(name="dimer", text=DIMER), LevelsSettings(orbitals=orbitals), 0)
        assert isinstance(run, PreparedLevels)
        assert ("orbitals" in run.choices) == (orbitals is OrbitalsName.AUTO)
        outcome = run.measure(shot_rounds(0), lambda _: None)
        assert outcome.is_precise
        for row in outcome.table:
            assert abs(row["energy"] - row["exact"]) <= 3 * row["standard_error"]
        shots[orbitals] = outcome.history[-1].total_shots
    assert 3 * shots["auto"] < shots["given"]


def test_levels_keep_orbitals_in_which_they_take_as_many_shots() -> None:
    assert "orbitals" not in levels_of(LevelsSettings()).choices
