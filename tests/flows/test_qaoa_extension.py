"""An ended QAOA run goes on: by shots, precision, money or layers; all shots at the last point count once."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest

import hybridloop as hl
from hybridloop.errors import InputError
from hybridloop.journal import open_journal
from hybridloop.results.result import RunResult
from hybridloop.runs.extension import results_of
from tests.cli.shell_helpers import Shell
from tests.conftest import Emulator
from tests.constrained_problems import knapsack, portfolio

pytestmark = pytest.mark.usefixtures("own_journal")
PROBLEMS: dict[str, Any] = {"a cut": "petersen", "a knapsack": knapsack(6, 1), "a portfolio": portfolio(6, 3, 1)}


def begun(emulator: Emulator, problem: Any, **settings: Any) -> tuple[RunResult, Any]:
    workspace = emulator.workspace(f"qaoa-{secrets.token_hex(4)}")
    key = f"qaoa-{secrets.token_hex(4)}"
    given = {"seed": 7, "layers": 1, "host": "plain", **settings}
    return hl.qaoa(problem, run_key=key, workspace=workspace, **given), workspace


def ledger_of(emulator: Emulator, key: str) -> Any:
    with open_journal() as journal:
        return emulator.admin(f"ledger?run={journal.run(key).uid}")


def revisions(key: str) -> list[RunResult]:
    with open_journal() as journal:
        record = journal.run(key)
        return results_of(record, journal.events(record.uid))


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("by", ["shots", "precision", "max_shots", "extend_to"])
def test_an_ended_run_goes_on_and_counts_each_job_once(name: str, by: str, emulator: Emulator) -> None:
    settings: dict[str, Any] = {"shots": 300}
    if by == "max_shots":
        settings = {"shots": 3000, "max_shots": 500}
    first, workspace = begun(emulator, PROBLEMS[name], **settings)
    assert first.standard_error is not None
    goals: dict[str, Any] = {
        "shots": 1200,
        "precision": first.standard_error / 2.0,
        "max_shots": "none",
        "extend_to": 2,
    }
    goal = {by: goals[by]}
    last = hl.resume(first.run_key, workspace=workspace, **goal)
    assert last.revision == 2
    assert [each.value for each in revisions(first.run_key)] == [first.value, last.value]
    books = ledger_of(emulator, first.run_key)
    assert (len(books["entries"]), books["duplicates"]["count"]) == (last.jobs, 0)
    assert last.shots > first.shots
    assert last.standard_error is not None
    assert any(each.startswith("extension: the value") for each in last.choices)
    if by == "extend_to":
        return
    assert abs(last.value - first.value) <= 4.0 * first.standard_error  # type: ignore[operator]
    assert last.standard_error < first.standard_error
    assert sum(each.count for each in last.samples()) == last.shots  # all of them are at the one point
    if by == "shots":
        assert last.shots == 1200
    if by == "precision":
        assert last.standard_error <= goals[by] * 1.05
        assert last.shots < 300 * 6


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_precision_is_that_of_the_feasible_shots(name: str, emulator: Emulator) -> None:
    rough, _ = begun(emulator, PROBLEMS[name], shots=200)
    asked = rough.standard_error / 3.0  # type: ignore[operator]
    result, _ = begun(emulator, PROBLEMS[name], shots=200, precision=asked)
    assert result.is_precise
    assert 0.7 * asked <= result.standard_error <= asked  # type: ignore[operator]


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"shots": 300}, "shots"), ({"shots": 200}, "shots"), ({"layers": 2}, "layers"), ({"cvar": 0.5}, "cvar")],
)
def test_what_does_not_reach_further_is_refused(changes: dict[str, Any], field: str, emulator: Emulator) -> None:
    first, workspace = begun(emulator, "petersen", shots=300)
    if changes == {"shots": 300}:
        assert hl.resume(first.run_key, workspace=workspace, **changes) == first
        return
    with pytest.raises(InputError) as refused:
        hl.resume(first.run_key, workspace=workspace, **changes)
    assert refused.value.field == field


def test_an_extension_that_measures_nothing_is_no_revision(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    first, workspace = begun(emulator, "petersen", shots=500, max_shots=500)
    again = hl.resume(first.run_key, workspace=workspace, extend_to=2)
    assert again.revision == 1
    assert again.value == first.value
    assert "nothing was measured for extend_to, and its result stays: max_shots is reached" in caplog.text
    assert len(revisions(first.run_key)) == 1
    assert len(ledger_of(emulator, first.run_key)["entries"]) == first.jobs
    more = hl.resume(first.run_key, workspace=workspace, max_shots="none", shots=900)
    assert (more.revision, more.shots) == (2, 900)


@pytest.mark.slow
@pytest.mark.parametrize("at", ["renew.after", "put.after", "commit.before"])
def test_an_extension_that_is_killed_goes_on_to_the_same_digits(
    stack_environ: dict[str, str], emulator: Emulator, at: str
) -> None:
    found = []
    for crash_at in ("", at):
        place = Shell(stack_environ).at(emulator, f"killed-{secrets.token_hex(4)}")
        key, shell = f"killed-{secrets.token_hex(4)}", place.shell
        first = ["run", "qaoa", "portfolio-8", "--seed", "7", "--shots", "300", "--run-key", key]
        assert not shell.run(*first).returncode
        command = ["runs", "resume", key, "--shots", "1000"]
        if crash_at:
            assert shell.with_variables(HYBRIDLOOP_CRASH_AT=crash_at).run(*command).returncode == -9
            command = ["runs", "resume", key]
        found.append(shell.json(*command))
        shown = shell.json("runs", "show", key)
        ledger = emulator.admin(f"ledger?run={shown['uid']}")
        assert (len(ledger["entries"]), ledger["duplicates"]["count"]) == (found[-1]["jobs"]["total"], 0)
        samples = json.loads(shell.run("runs", "samples", key, "--json", "--all").stdout)
        assert sum(each["count"] for each in samples) == 1000
        assert not shell.run("runs", "verify", key).returncode
    assert found[0]["value"] == found[1]["value"]
    assert found[0]["standard_error"] == found[1]["standard_error"]
