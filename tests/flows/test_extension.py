"""A run that has ended is extended: by a larger cap, to a smaller precision; what is paid is kept, none twice."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import hybridloop as hl
from hybridloop.api.algorithms import run
from hybridloop.api.hosts import PLAIN
from hybridloop.api.hosts import resume_run as resume
from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import InputError
from hybridloop.inputs.problems import Reading, read_for
from hybridloop.inputs.sources import CALL, Layer, resolve_settings
from hybridloop.journal import open_journal
from hybridloop.reports.verify import verify_revisions
from hybridloop.results.result import RunResult
from hybridloop.runs.extension import results_of, revision_rows
from hybridloop.runs.stored_run import load_run
from tests.cli.shell_helpers import Shell
from tests.conftest import Emulator
from tests.paths import ROOT

MOLECULE = ROOT / "tests" / "data" / "fcidump" / "H3+_0.9.fcidump"
CAP = 6000
KEPT = ("value", "standard_error", "interval95", "parameters", "rounds", "shots", "history", "revision")


pytestmark = pytest.mark.usefixtures("own_journal")


def begun(emulator: Emulator, algorithm: str, problem: str | Path, **settings: Any) -> tuple[RunResult, Any]:
    """Run an algorithm to its end on the plain host; return its result and workspace."""
    workspace = emulator.workspace(f"extended-{secrets.token_hex(4)}")
    resolved = resolve_settings(algorithm, Layer(CALL, {"seed": 7, **settings}))
    text = read_for(algorithm, problem, resolved.settings, Reading())
    key = f"extended-{secrets.token_hex(4)}"
    return run(algorithm, text, resolved, run_key=key, workspace=workspace, more={"host": PLAIN}), workspace


def paid(emulator: Emulator, key: str) -> int:
    """Return the number of jobs that the service has of a run; each of them is there once."""
    with open_journal() as journal:
        ledger = emulator.admin(f"ledger?run={journal.run(key).uid}")
    assert ledger["duplicates"]["count"] == 0
    assert {row["status"] for row in ledger["sessions"]} <= {"Succeeded"}
    return len(ledger["entries"])


@pytest.mark.parametrize("search", ["simulated", "measured"])
def test_a_run_that_a_cap_ended_goes_on_without_it_from_what_it_has_measured(emulator: Emulator, search: str) -> None:
    first, workspace = begun(emulator, "vqe", MOLECULE, ansatz="uccsd", search=search, max_shots=CAP)
    assert first.status == "finished"
    assert first.shots <= CAP
    assert f"hybridloop runs resume {first.run_key} --max-shots " in str(first)
    last = resume(first.run_key, {"max_shots": None}, workspace=workspace)
    assert (last.status, last.revision) == ("converged", 2)
    assert [session.status for session in last.sessions] == ["Succeeded", "Succeeded"]
    with open_journal() as journal:
        uid = journal.run(first.run_key).uid
        assert [row.reason for row in journal.sessions(uid)] == ["", "extended"]
        stored = load_run(journal, first.run_key)
        assert last.rounds == len([*stored.rounds()])  # as its jobs, all of both processes
        before, after = verify_revisions(stored)
        assert before.agrees
        assert after.agrees
        assert results_of(stored.record, stored.events)[0] == first
        assert [row["shots"] for row in revision_rows([first, last])] == [first.shots, last.shots - first.shots]
    left = 0 if search == "simulated" else first.shots  # at another point
    assert last.history[-1].total_shots == last.shots - left
    assert paid(emulator, first.run_key) == last.jobs


@pytest.mark.parametrize(
    ("algorithm", "problem", "settings"),
    [
        pytest.param("vqe", "h2", {"max_cost": "12eHQC", "precision": 0.002}, id="cost"),
        pytest.param("vqe", MOLECULE, {"ansatz": "uccsd", "max_shots": CAP}, id="shots", marks=pytest.mark.slow),
        pytest.param(
            "vqe",
            "h2",
            {"ansatz": "hardware-efficient", "layers": 1, "max_cost": "40eHQC", "precision": 0.02},
            id="cost-of-a-search",
            marks=pytest.mark.slow,
        ),
        pytest.param("qaoa", "ring-8", {"max_jobs": 3, "shots": 200}, id="jobs"),
    ],
)
def test_a_cap_that_a_run_names_buys_shots_until_the_run_ends(
    emulator: Emulator, algorithm: str, problem: str | Path, settings: Mapping[str, Any]
) -> None:
    target = {"target": "quantinuum.sim.h2-1e"} if "max_cost" in settings else {}
    result, workspace = begun(emulator, algorithm, problem, search="measured", **{**target, **settings})
    assert result.outcome is not None
    assert result.outcome.larger_cap
    for _ in range(12):
        if result.outcome is None or not (options := result.outcome.larger_cap.split()):
            break
        caps = {
            name.removeprefix("--").replace("-", "_"): value
            for name, value in zip(options[::2], options[1::2], strict=True)
        }
        before, result = result, resume(result.run_key, caps, workspace=workspace)
        assert result.shots > before.shots, options
        assert paid(emulator, result.run_key) == result.jobs
    assert result.outcome is not None
    assert not result.outcome.larger_cap


def test_a_converged_run_goes_on_to_a_smaller_precision_once(emulator: Emulator) -> None:
    first, workspace = begun(emulator, "vqe", "h2")
    again = hl.resume(first.run_key, precision=0.0003, workspace=workspace)
    assert first.standard_error is not None
    assert again.standard_error is not None
    assert again.standard_error <= 0.0003 < first.standard_error
    at_once, _ = begun(emulator, "vqe", "h2", precision=0.0003)
    assert again.shots <= 1.15 * at_once.shots
    jobs = paid(emulator, first.run_key)
    assert hl.resume(first.run_key, precision=0.0003, workspace=workspace) == again
    assert hl.resume(first.run_key, workspace=workspace) == again
    text = read_for("vqe", "h2", resolve_settings("vqe").settings, Reading())
    asked = resolve_settings("vqe", Layer(CALL, {"seed": 7}))  # as a batch starts it each night
    assert run("vqe", text, asked, run_key=first.run_key, workspace=workspace, more={"host": PLAIN}) == again
    assert paid(emulator, first.run_key) == jobs


H3 = "H 0 0 0; H 0 0 0.9; H 0.5 0.3 1.9"
OF_H3 = {"ansatz": "uccsd", "search": "simulated", "precision": 0.01, "observables": ["dipole", "occupations"]}


def circuits_of(key: str) -> list[tuple[str, bytes, int]]:
    """Return each measured circuit of a run with its angles and shots, in order."""
    with open_journal() as journal:
        rounds = list(journal.rounds(journal.run(key).uid))
    pubs = [pub for each in rounds for pub in each.pubs]
    return [(pub.fingerprint, pub.slots.round(6).tobytes(), pub.shots) for pub in pubs]


def test_observables_go_on_over_ten_seeds_within_their_errors(emulator: Emulator) -> None:
    outside, number = 0, 0
    for seed in range(10):
        first, workspace = begun(emulator, "vqe", "h2", seed=seed, ansatz="uccsd", observables="occupations,spin")
        before = {row["observable"]: row for row in first.observables}
        last = hl.resume(first.run_key, observable_precision=0.002, workspace=workspace)
        assert any("the observables (observable_precision)" in each for each in last.choices)
        assert all(row["standard_error"] <= 0.002 for row in last.observables)
        assert any(row["standard_error"] < before[row["observable"]]["standard_error"] for row in last.observables)
        assert paid(emulator, last.run_key) == last.jobs
        for row in last.observables:
            number += 1
            within = 1.96 * row["standard_error"] + row["unseen_bound"] + 1e-9
            outside += abs(row["value"] - row["simulated"]) > within
    assert number == 40
    assert outside <= 6  # half of the rows are independent: more in 2 of 1,000 cases


def test_an_extension_of_what_is_reached_takes_no_job_and_moves_no_digit(emulator: Emulator) -> None:
    first, workspace = begun(emulator, "vqe", H3, **OF_H3)
    again = hl.resume(first.run_key, precision=0.5 * (0.01 + (first.standard_error or 0.0)), workspace=workspace)
    assert again.jobs == first.jobs
    assert again.value == pytest.approx(first.value, abs=1e-12)
    values = [[row["value"] for row in each.observables] for each in (first, again)]
    assert values[1] == pytest.approx(values[0], abs=1e-12)


def test_an_extension_measures_what_is_missing_alone_and_names_what_it_makes_better(emulator: Emulator) -> None:
    first, workspace = begun(emulator, "vqe", H3, **OF_H3)
    seen = {row["observable"] for row in first.observables}
    finer = hl.resume(first.run_key, observable_precision=0.005, workspace=workspace)
    before = circuits_of(first.run_key)
    more = {"dipole": None, "occupations": None, "spin": None}
    last = hl.resume(first.run_key, observables=more, workspace=workspace)
    assert {row["observable"] for row in last.observables} > seen
    assert all(row["standard_error"] <= 0.005 for row in last.observables)
    for row in finer.observables:
        (same,) = (each for each in last.observables if each["observable"] == row["observable"])
        assert same["shots"] >= row["shots"]
    added = circuits_of(first.run_key)[len(before) :]
    assert sum(shots for *_, shots in added) < 0.1 * sum(shots for *_, shots in before)
    better = hl.resume(first.run_key, precision=0.0005, workspace=workspace)  # half of what the runs before reached
    (said,) = (each for each in better.choices if each.startswith("extension: "))
    assert said.startswith("extension: the value (precision); observables stay as precise as they were asked for")
    assert paid(emulator, first.run_key) == better.jobs


def test_a_smaller_tolerance_takes_the_rounds_of_the_search_again(emulator: Emulator) -> None:
    settings: Mapping[str, Any] = {"search": "measured", "precision": 0.005}
    first, workspace = begun(emulator, "vqe", MOLECULE, tolerance=0.01, **settings)
    last = hl.resume(first.run_key, tolerance=0.0002, workspace=workspace)
    assert (first.status, last.revision) == ("converged", 2)
    searched = [each for each in first.history if each.phase == "search"]
    assert [each.point for each in last.history[: len(searched)]] == [each.point for each in searched]
    assert last.history[len(searched)].phase == "search"


@pytest.mark.parametrize("problem", ["h2", pytest.param("ising-6", marks=pytest.mark.slow)])
def test_levels_go_on_to_a_smaller_precision_from_their_shots(emulator: Emulator, problem: str) -> None:
    few = {"precision": 0.02, "levels": 2}
    first, workspace = begun(emulator, "levels", problem, **few)
    last = hl.resume(first.run_key, precision=0.004, workspace=workspace)
    assert last.is_precise
    assert max(row["standard_error"] for row in last.table) <= 0.00404
    at_once, _ = begun(emulator, "levels", problem, **{**few, "precision": 0.004})
    assert last.shots <= 1.15 * at_once.shots
    with open_journal() as journal:
        assert [each.agrees for each in verify_revisions(load_run(journal, first.run_key))] == [True, True]


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"max_shots": 5}, "max_shots", "does not reach further"),
        ({"precision": 0.02}, "precision", "does not reach further"),
        ({"tolerance": 0.5}, "tolerance", "does not reach further"),
        ({"ansatz": "hardware-efficient"}, "ansatz", "can't be resumed with another ansatz"),
        ({"target": "ionq.simulator"}, "target", "can't be resumed with another target"),
        ({"seed": 8}, "seed", "can't be resumed with another seed"),
        ({"observables": ["spin"]}, "observables", "has ended with occupations, and spin does not reach further"),
        ({"observable_precision": 0.01}, "observable_precision", "does not reach further"),
        ({"tags": "night"}, "tags", "can't be resumed with another tags"),
        ({"extend_to": 3}, "extend_to", "can't be resumed with another extend_to"),
    ],
)
def test_what_can_not_go_on_is_refused_before_anything_is_opened(
    emulator: Emulator, changes: dict[str, Any], field: str, said: str
) -> None:
    given = {"precision": 0.01, "max_shots": 200_000, "observables": "occupations"}
    ended, workspace = begun(emulator, "vqe", "h2", **given)
    jobs = paid(emulator, ended.run_key)
    with pytest.raises(InputError, match=said) as refused:
        resume(ended.run_key, changes, workspace=workspace)
    assert refused.value.field == field
    assert paid(emulator, ended.run_key) == jobs
    assert resume(ended.run_key, workspace=workspace) == ended


def test_every_goal_of_an_algorithm_lets_its_runs_go_on() -> None:
    from hybridloop.runs.changes import reaching
    from hybridloop.settings import CAPS, goals_of

    for name, algorithm in ALGORITHMS.items():
        assert reaching(name) == (*CAPS, *goals_of(algorithm.settings))


@pytest.mark.slow
@pytest.mark.parametrize("at", ["renew.after", "put.after:2", "commit.before"])
def test_an_extension_that_is_killed_goes_on_to_the_digits_of_an_unbroken_one(
    stack_environ: dict[str, str], emulator: Emulator, at: str
) -> None:
    options = f"--ansatz uccsd --search simulated --seed 7 --max-shots {CAP}"
    begin = ("run", "vqe", str(MOLECULE), *options.split())
    found = []
    for crash_at in ("", at):
        place = Shell(stack_environ).at(emulator, f"killed-{secrets.token_hex(4)}")
        key = f"killed-{secrets.token_hex(4)}"
        shell = place.shell
        first = json.loads(shell.run(*begin, "--run-key", key, "--json").stdout)
        command = ["runs", "resume", key, "--max-shots", "none"]
        if crash_at:
            assert shell.with_variables(HYBRIDLOOP_CRASH_AT=crash_at).run(*command).returncode == -9
            command = ["runs", "resume", key]
        found.append(shell.json(*command))
        shown = shell.json("runs", "show", key)
        assert [row["value"] for row in shown["results"]] == [first["value"], found[-1]["value"]]
        ledger = emulator.admin(f"ledger?run={shown['uid']}")
        assert (len(ledger["entries"]), ledger["duplicates"]["count"]) == (found[-1]["jobs"]["total"], 0)
        assert set(place.session_statuses()) <= {"Succeeded"}
        assert not shell.run("runs", "verify", key).returncode
    unbroken, killed = found
    assert {name: killed[name] for name in KEPT} == {name: unbroken[name] for name in KEPT}
