"""Scans: each point is right; angles are carried only between matching orbitals, if a measurement shows a gain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hybridloop.algorithms.outcome import Outcome
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.algorithms.rounds import RunRound
from hybridloop.data import load_table
from hybridloop.descriptions.scan import ScanSettings
from hybridloop.errors import InputError
from hybridloop.inputs.problem_objects.geometry_options import GeometryOptions
from hybridloop.inputs.problems import read_problem, read_scan
from hybridloop.preparation.problem import exact_energy, parse_problem
from hybridloop.preparation.scan import PreparedScan
from hybridloop.settings import ProblemText
from tests.algorithms.batched_state_helpers import noiseless_rounds, shot_rounds
from tests.paths import DATA
from tests.preparation_helpers import prepare_scan, settings_for

DATA = DATA / "fcidump"


def prepared(*problems: str | Path | ProblemText, **settings: Any) -> PreparedScan:
    checked = settings_for("scan", settings)
    assert isinstance(checked, ScanSettings)
    return prepare_scan(read_scan(problems), checked, seed=5)


def measured(scan: PreparedScan, rounds: RunRound) -> Outcome:
    seen: list[int] = []
    outcome = scan.measure(rounds, lambda progress: seen.append(progress.round))
    assert seen == list(range(1, len(seen) + 1)) == [round_.round for round_ in outcome.history]
    return outcome


@pytest.mark.claim("curves")
def test_every_point_has_its_energy_with_its_error() -> None:
    names = ("h2-0.3", "h2", "h2-1.6", "h2-2.5")
    outcome = measured(prepared(*names, ansatz="uccsd"), shot_rounds(1))
    assert [row["point"] for row in outcome.table] == list(names)
    for row in outcome.table:
        assert row["exact"] == pytest.approx(load_table("problems")[row["point"]]["exact_energy"], abs=1e-9)
        assert row["error"] == row["energy"] - row["exact"]
        assert abs(row["error"]) <= 4 * row["standard_error"]
        assert row["standard_error"] <= 0.7e-3
        assert 1 <= row["rounds"] <= 4
        assert row["choices"][0].startswith("optimizer: rotosolve, as ")
    assert outcome.value == outcome.table[0]["energy"]
    assert (outcome.choices, outcome.warnings) == ((), ())
    assert outcome.rounds == sum(row["rounds"] for row in outcome.table) == len(outcome.history)
    assert outcome.history[-1].total_shots == sum(row["shots"] for row in outcome.table)
    assert (outcome.converged, outcome.reason) == (True, "all 4 searches met their own criterion")


def test_angles_are_carried_if_the_newton_start_fails_and_they_measure_below_hartree_fock() -> None:
    longer, longest = (ProblemText(name=name, text=(DATA / name).read_text("utf-8")) for name in FILES)
    outcome = measured(
        prepared(longer, longest, max_rounds=2, precision=0.01, optimizer="trust-region", ansatz="uccsd"),
        noiseless_rounds(),
    )
    first, second = outcome.table
    assert first["start"].startswith("Hartree-Fock: ")  # no previous point
    assert second["start"].startswith("the last point's angles, as the cosine between their integrals is 0.9")
    assert "Hartree-Fock is -1.57" in second["start"]
    assert not outcome.converged
    assert outcome.reason.startswith(FILES[0])
    asked = measured(prepared(longer, longest, max_rounds=1, precision=0.01, initial_point="hf"), noiseless_rounds())
    assert [row["start"] for row in asked.table] == [None, None]


FILES = ("H4_1.5.fcidump", "H4_2.fcidump")


def diatomic(left: str, right: str, *bonds: float) -> list[ProblemText]:
    """Return diatomic molecules at these distances in ångström."""
    atoms = {f"{left}{right}-{bond}": f"{left} 0 0 0; {right} 0 0 {bond}" for bond in bonds}
    return [ProblemText(name=name, text=read_problem(each, GeometryOptions()).text) for name, each in atoms.items()]


def test_all_points_share_the_orbitals_that_are_correlated_at_any_of_them() -> None:
    texts = diatomic("H", "F", 1.3, 2.5)
    automatic = prepared(*texts, active_space="auto")
    for text, point in zip(texts, automatic.points, strict=True):
        whole, of_space = parse_problem(text), point.facts.exact()
        assert isinstance(whole, Molecule)
        exact = exact_energy(whole)
        assert exact is not None
        assert of_space is not None
        assert 0 <= of_space - exact < 2.5e-3  # two Hartree-Fock orbitals miss 68 mHa of it at 1.3 Å, 0.3 at 2.5
    assert {point.facts.num_qubits for point in automatic.points} == {2}
    assert "the exact and the correlation energy are those of this space" in automatic.facts.orbitals
    sized = prepared(*texts, active_space="auto: 2, 2").points[0]
    assert sized.facts.exact() == automatic.points[0].facts.exact()


def test_a_point_whose_active_space_is_too_small_says_so_in_its_row() -> None:
    outcome = measured(prepared(*diatomic("Li", "H", 1.6, 3.0), active_space=(2, 2)), shot_rounds(1))
    near, far = outcome.table
    assert near["note"] is None
    assert far["note"].startswith("the active space is too small: an orbital outside of it has 0.07")
    assert f"{far['point']}: {far['note']}" in outcome.warnings


@pytest.mark.parametrize(
    ("bonds", "says"),
    [((0.6, 0.7, 0.8, 0.9, 1.1, 3.0), ""), ((0.9, 1.1, 1.5), "no minimum: the lowest point is the first")],
)
def test_a_curve_along_a_bond_has_its_minimum_or_says_that_there_is_none(bonds: tuple[float, ...], says: str) -> None:
    outcome = measured(prepared(*diatomic("H", "H", *bonds)), shot_rounds(1))
    assert outcome.curve.get("reason", "").startswith(says)
    if not says:
        curve = outcome.curve
        # FCI in STO-3G: 0.7349 Å, -1.13731 hartree, 5002 1/cm
        for name, true in (("distance", 0.7349), ("energy", -1.13731), ("wavenumber", 5002.0)):
            assert abs(curve[name] - true) <= 2.0 * curve[f"{name}_error"]
        assert curve["farthest"] == 3.0
        assert not curve["is_flat"]
    assert [row["note"] for row in outcome.table] == [None] * len(bonds)


@pytest.mark.parametrize(
    ("problems", "settings", "field"),
    [
        ([], {}, "problem"),
        (["h2"], {}, "problem"),
        (["h2", "h2"], {}, "problem"),
        (["h2", "h5"], {}, "problem"),
        (["h2", "lih-3.0-cas22"], {"shots": 0}, "shots"),
        (["h2", "h4"], {"active_space": "auto"}, "active_space"),
        (
            ["h2", ProblemText(name="field", text='{"terms": {"XX": 1.0}}')],
            {"ansatz": "hardware-efficient"},
            "problem",
        ),
    ],
)
def test_points_that_do_not_form_a_scan_are_refused(problems: list[Any], settings: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as refused:
        prepared(*problems, **settings)
    assert refused.value.field == field
