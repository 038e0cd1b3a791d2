"""ADAPT-VQE, energy levels, scans and recursive QAOA on a real service: results, resume, verification."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from hybridloop import preparation
from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.estimation.grouping import MeasurementCosts
from hybridloop.descriptions.adapt import AdaptSettings
from hybridloop.descriptions.levels import LevelsSettings
from hybridloop.descriptions.rqaoa import RqaoaSettings
from hybridloop.descriptions.scan import ScanSettings
from hybridloop.inputs.problems import read_scan
from hybridloop.journal import open_journal
from hybridloop.preparation.problem import resolve_problem
from hybridloop.reports.plots import plot_result
from hybridloop.reports.verify import verify_run
from hybridloop.results.live import RoundUpdate
from hybridloop.results.result import RunResult
from hybridloop.results.result_text import answer, error_of, table
from hybridloop.runs.recorded import recorded_groupings
from hybridloop.runs.stored_run import load_run
from hybridloop.settings import ProblemText, RunSettings
from hybridloop.targets import Batching, find_target
from tests.conftest import Emulator
from tests.flow_calls import run_plainly
from tests.paths import DATA
from tests.preparation_helpers import settings_for
from tests.result_helpers import texts

pytestmark = pytest.mark.usefixtures("own_journal")

WATER = (DATA / "fcidump" / "H2O_0.9572.fcidump").read_text("utf-8")
H2, LIH = ProblemText(name="h2"), ProblemText(name="lih-3.0-cas22")
SPECTRUM = np.linalg.eigvalsh(
    resolve_problem(H2, LevelsSettings(), find_target("rigetti.sim.qvm")).hamiltonian.to_matrix()
)


OFF = Batching.OFF  # a job for each point, so that a cap on jobs ends a run in the middle
ADAPT = AdaptSettings(seed=7, orbitals="given", batching=OFF)
LEVELS = LevelsSettings(seed=7, precision=3e-3, batching=OFF)
CHAIN = ProblemText(name="chain", text='{"terms": {"ZZ": -1.0, "XI": -0.5, "IX": -0.5}}')
SPINS = LevelsSettings(seed=7, levels=2, precision=1e-2, batching=OFF)
RQAOA = RqaoaSettings(seed=7, brute_force_below=8, batching=OFF)
CURVE, SCAN = read_scan(["h2-0.3", "h2"]), ScanSettings(seed=7, precision=2e-3, batching=OFF)
SAME = (
    *("value", "parameters", "table", "best_bitstring", "best_value"),
    *("history", "jobs", "shots", "rounds", "reason"),
)
Unbroken = tuple[RunResult, list[RoundUpdate]]


RUNS: dict[str, tuple[str, ProblemText, RunSettings]] = {
    "adapt": ("adapt", LIH, ADAPT),
    "levels": ("levels", H2, LEVELS),
    "spins": ("levels", CHAIN, SPINS),
    "scan": ("scan", CURVE, SCAN),
    "rqaoa": ("rqaoa", ProblemText(name="petersen"), RQAOA),
}


@pytest.fixture(scope="module")
def unbroken(own_journal: str, emulator: Emulator) -> Callable[[str], Unbroken]:
    """Return a function that makes a run of the table, the first time that it is asked for it."""

    @cache
    def run(name: str) -> Unbroken:
        updates: list[RoundUpdate] = []
        algorithm, problem, settings = RUNS[name]
        workspace = emulator.workspace(f"{name}-one")
        return run_plainly(algorithm, workspace, problem, settings, on_progress=updates.append), updates

    return run


@pytest.mark.slow
def test_adapt_reports_its_operators_and_states_why_it_ended(unbroken: Callable[[str], Unbroken]) -> None:
    result, updates = unbroken("adapt")
    assert (result.status, result.algorithm, result.unit) == ("converged", "adapt", "hartree")
    assert result.reason.endswith("(2 operators taken from a pool of 2)")
    assert (result.spin_squared, result.electrons) == (0.0, 2.0)
    assert result.error is not None
    assert result.standard_error is not None
    assert abs(result.error) <= 3 * result.standard_error + 0.8e-3  # shot noise, and the threshold of its termination
    double, single = result.table
    assert (double["emptied"], double["filled"]) == ([0, 2], [1, 3])
    assert len(single["emptied"]) == len(single["filled"]) == 1
    assert abs(double["gradient"]) > abs(single["gradient"]) > 3 * single["gradient_error"]
    assert double["expected_left"] > single["expected_left"] > 0.8e-3
    assert len(result.parameters) == 2
    assert "of" not in texts(answer(result))
    assert result.rounds == len(updates) + 3  # gradient rounds: before each operator, and at the end
    assert RunResult.from_dict(json.loads(result.to_json())) == result


@pytest.mark.slow
def test_levels_after_a_vqe_agree_with_the_spectrum_and_name_their_spins(
    unbroken: Callable[[str], Unbroken],
) -> None:
    result, updates = unbroken("levels")
    assert result.status == "converged"
    assert result.is_precise
    assert [row["level"] for row in result.table] == [0, 1, 2, 3]
    assert [row["multiplicity"] for row in result.table] == [1, 3, 1, 1]
    assert [row["symmetry"] for row in result.table] == [0, 1, 1, 0]
    for row, exact in zip(result.table, SPECTRUM, strict=True):
        assert row["exact"] == pytest.approx(exact, abs=1e-9)
        assert row["standard_error"] <= 3.1e-3
        assert abs(row["energy"] - exact) <= 3 * row["standard_error"]
        assert row["electrons"] == [1, 1]
    assert result.value == result.table[0]["energy"]
    assert result.exact == result.table[0]["exact"]
    assert texts(answer(result))["of"] == "the ground state, the lowest of 4 levels"
    assert result.rounds == len(updates)
    assert [update.progress.phase for update in updates].count("final") >= 2
    assert "Level 3: " in plot_result(result, "levels").description
    assert any(choice.startswith("determinants: all 4 with 1 alpha and 1 beta") for choice in result.choices)
    assert RunResult.from_dict(json.loads(result.to_json())) == result


@pytest.mark.slow
def test_levels_of_a_pauli_sum_are_measured_without_a_search(unbroken: Callable[[str], Unbroken]) -> None:
    result, updates = unbroken("spins")
    assert (result.status, result.unit) == ("converged", "")
    assert {update.progress.phase for update in updates} == {"final"}
    for row in result.table:
        assert abs(row["energy"] - row["exact"]) <= 3 * row["standard_error"]
        assert (row["electrons"], row["multiplicity"]) == (None, None)
    assert "Level 1: " in plot_result(result, "levels").description
    assert RunResult.from_dict(json.loads(result.to_json())) == result


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        pytest.param("adapt", {"detach_after": 1e-6}, marks=pytest.mark.slow),
        pytest.param("spins", {"max_jobs": 10}, marks=pytest.mark.slow),
        pytest.param("levels", {"max_jobs": 26}, marks=pytest.mark.slow),
        pytest.param("scan", {"detach_after": 1e-6}, marks=pytest.mark.slow),
        ("rqaoa", {"max_jobs": 1}),
    ],
)
def test_a_stopped_run_resumes_to_the_uninterrupted_result(
    name: str,
    limit: dict[str, float],
    unbroken: Callable[[str], Unbroken],
    emulator: Emulator,
    tmp_path: Path,
) -> None:
    algorithm, problem, whole = RUNS[name]
    key = f"{name}-{tmp_path.name}"
    workspace = emulator.workspace(f"{name}-two")
    first = run_plainly(algorithm, workspace, problem, whole.model_copy(update=limit), key)
    assert (first.status, first.value) == ("stopped" if "max_jobs" in limit else "parked", None)
    result = run_plainly(algorithm, workspace, problem, whole.model_copy(update=dict.fromkeys(limit, 10_000)), key)
    assert result.resumed
    expected, _ = unbroken(name)
    for fact in SAME:
        assert getattr(result, fact) == getattr(expected, fact)
    with open_journal() as journal:
        found = verify_run(load_run(journal, key))
    assert found.agrees
    assert found.jobs == result.jobs


@pytest.mark.slow
def test_a_resumed_run_keeps_its_groups_where_prices_and_error_rates_have_changed(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = f"groups-{tmp_path.name}"
    settings = ScanSettings(
        seed=7, ansatz="uccsd", mapping=FermionMapping.JORDAN_WIGNER, target="ionq.simulator", precision=5e-3
    )
    workspace = emulator.workspace("groups")
    first = run_plainly("scan", workspace, CURVE, settings.model_copy(update={"max_jobs": 9}), key)
    assert (first.status, first.value) == ("stopped", None)
    now = MeasurementCosts(lambda group, shots: (1.0 + 100.0 * group.two_qubit_gates) * shots, "shots", 0.0)
    monkeypatch.setattr("hybridloop.preparation.choices.measurement_groups.measurement_costs", lambda *_: now)
    with open_journal() as journal:
        record = journal.run_by_key(key)
        assert record is not None
        chosen = preparation.prepare("scan", CURVE, settings, 7).algorithm.groupings
        assert chosen == ("qubit-wise 1", "qubit-wise 1")
        assert recorded_groupings(record) == ("fully-commuting 10000", "fully-commuting 10000")
    result = run_plainly("scan", workspace, CURVE, settings.model_copy(update={"max_jobs": 10_000}), key)
    assert result.resumed
    assert result.value is not None
    with open_journal() as journal:
        found = verify_run(load_run(journal, key))
    assert (found.agrees, found.jobs) == (True, result.jobs)


@pytest.mark.parametrize(
    ("algorithm", "problem"),
    [
        pytest.param("levels", H2, marks=pytest.mark.claim("excited states")),
        pytest.param("scan", read_scan(["h2", "h2-2.0", "h2-1.6"]), marks=pytest.mark.slow),
    ],
)
def test_a_target_that_does_not_sample_has_bounds_on_rounding_as_errors(
    algorithm: str, problem: ProblemText, emulator: Emulator
) -> None:
    settings = settings_for(algorithm, {"seed": 7, "target": "ionq.simulator"})
    result = run_plainly(algorithm, emulator.workspace(f"{algorithm}-rounding"), problem, settings)
    for row, shown in zip(result.table, table(result), strict=True):
        energy, _, bar = str(shown["energy"]).partition(" ± ")
        assert abs(row["energy"] - row["exact"]) <= (error_of(row) or 0.0) + 1e-9
        assert float(bar) == pytest.approx(row["rounding_bound"], rel=0.1)  # shown with two digits
        assert len(energy.partition(".")[2]) == len(bar.partition(".")[2]) <= 7
    if algorithm == "levels":
        bars = [str(shown["excitation"]).partition(" ± ")[2] for shown in table(result)[1:]]
        sums = [row["rounding_bound"] + result.table[0]["rounding_bound"] for row in result.table[1:]]
        assert [*map(float, bars)] == pytest.approx(sums, rel=0.1)
