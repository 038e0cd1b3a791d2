"""`hybridloop runs` on a journal alone, without a run or a service."""

from __future__ import annotations

import json
import os
import pty
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hybridloop.cli.options import read_layers, resume_options
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError
from hybridloop.inputs.sources import resolve_settings
from hybridloop.journal import Journal, journal_url
from hybridloop.journal.held_run import new_run
from hybridloop.journal.records import SessionRow
from hybridloop.runs.recorded import LIMITS_GIVEN
from hybridloop.settings import LIMITS, parse_duration
from hybridloop.tasks.replay.recorded_steps import STEP
from tests.cli.shell_helpers import CommandResult
from tests.forked_processes import ForkedPython
from tests.http_helpers import answer, replying
from tests.prefect_server import own_environ
from tests.waiting import PATIENCE_S

Hybridloop = Callable[..., CommandResult]
SECONDS_A_DAY = 86_400.0


@pytest.fixture
def now() -> list[float]:
    """Return the time in the journal."""
    return [0.0]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return journal_url(tmp_path / "journal.db")


@pytest.fixture
def journal(url: str, now: list[float]) -> Iterator[Journal]:
    with Journal(url, now=lambda: now[0]) as kept:
        yield kept


def add(journal: Journal, key: str, status: str, **given: Any) -> str:
    settings = {
        "settings": {**VqeSettings().model_dump(mode="json"), **given},
        "sources": {"seed": "the call", **dict.fromkeys(given, "the call")},
        "workspace": {},
        "problem": {"name": "h2"},
    }
    run = new_run(str(uuid.uuid4()), key=key, algorithm="vqe", problem="h2", target="t", seed=1, settings=settings)
    uid = journal.add_run(run).uid
    lease = journal.take_lease(uid)
    journal.set_status(lease, status, "so it is")
    journal.release(lease)
    return uid


@pytest.fixture
def runs(run_command: Hybridloop, url: str) -> Hybridloop:
    return lambda *arguments: run_command("runs", *arguments, HYBRIDLOOP_JOURNAL=url)


REFUSED = {  # of a run that has ended: the option with a value, and what its refusal says
    **dict.fromkeys(("max_jobs", "max_shots"), ("5", "does not reach further")),
    "max_cost": ("5USD", "does not reach further"),
    "max_rounds": ("5", "does not reach further"),
    "precision": ("0.5", "does not reach further"),
    "shots": ("20", "a run of vqe can't be resumed"),
    "tolerance": ("0.9", "does not reach further"),
    "observable_precision": ("0.01", "does not reach further"),
    "observables": ("spin", "does not reach further"),
    "extend_to": ("3", "a run of vqe can't be resumed"),
    **dict.fromkeys(("deadline", "detach_after"), ("1h", "has ended")),
    **dict.fromkeys(("requests_in_flight", "requests_per_second"), ("7", "has ended")),
    "priority": ("high", "has ended"),
    "max_cost_per_job": ("5USD", "has ended"),
    "resume_automatically": ("never", "has ended"),
    "wait_for_limit": ("", "has ended"),  # a switch
    "session_slots": ("sessions", "has ended"),
}


@pytest.mark.parametrize("body", [b'{"hello": "world"}', b"<html>a page</html>"])
def test_a_program_that_is_no_prefect_server_is_named_as_such(body: bytes, run_command: Hybridloop) -> None:
    with replying(lambda request: answer(request, 200, body)) as root:
        url = f"{root}api"
        said = {
            command: run_command(*command.split(), PREFECT_API_URL=url)
            for command in ("runs follow night", "runs logs night", "runs cancel night")
        }
        doctor = run_command("doctor", PREFECT_API_URL=url)
    for command, result in said.items():
        assert result.code == 1, command
        assert f"{url} is not the API of a Prefect server: another program answers there." in result.err, command
        assert "Traceback" not in result.err
    assert f"{url} is not the API of a Prefect 3 server" in doctor.out


def test_no_option_of_a_resume_is_ignored(runs: Hybridloop, journal: Journal) -> None:
    limits = {"max_jobs": 10, "max_shots": 10, "max_cost": {"USD": 10.0}, "precision": 0.01, "tolerance": 0.01}
    limits["observables"] = {"dipole": None}
    add(journal, "ended", "converged", **limits)
    assert {option.name for option in resume_options()} == REFUSED.keys()
    for name, (value, said) in REFUSED.items():
        option = f"--{name.replace('_', '-')}"
        given = (option, value) if value else (option,)
        refused = runs("resume", "ended", *given)
        assert refused.code == 2
        assert f"{option}: " in refused.err
        assert said in refused.err
        later = runs("resume", "ended", "--later", *given)
        assert later.code == 2
        assert "--later" in later.err
    for more in (["--plan"], ["--unit", "eV"], ["--workspace", "prod"], ["--require-prefect"]):
        assert runs("resume", "ended", "--later", *more).code == 2
    for more in (["--unit", "eV"], ["--require-prefect"]):
        assert runs("resume", "ended", "--plan", *more).code == 2


def test_a_goal_of_a_run_that_has_not_ended_is_refused(runs: Hybridloop, journal: Journal) -> None:
    add(journal, "begun", "stopped")
    refused = runs("resume", "begun", "--precision", "0.0003")
    assert refused.code == 2
    assert "has not ended: it is stopped" in refused.err


def test_a_journal_without_runs_lists_none(runs: Hybridloop) -> None:
    assert json.loads(runs("list", "--json").out) == []


def test_runs_are_listed_newest_first_and_found_by_key_or_uid(
    runs: Hybridloop, journal: Journal, now: list[float]
) -> None:
    add(journal, "old", "converged")
    now[0] = 1.0
    uid = add(journal, "new", "failed")
    rows = json.loads(runs("list", "--json").out)
    assert [(row["run_key"], row["status"]) for row in rows] == [("new", "failed"), ("old", "converged")]
    assert "new" in runs("list", "--limit", "1").out
    shown = json.loads(runs("show", uid[:8], "--json").out)
    assert (shown["run_key"], shown["reason"], shown["seed"]) == ("new", "so it is", 1)
    assert "so it is" in runs("show", "new").out


def test_runs_are_listed_by_the_status_that_they_show(runs: Hybridloop, journal: Journal, now: list[float]) -> None:
    for now[0], (key, status) in enumerate(
        [("dead", "running"), ("a", "failed"), ("well", "converged"), ("b", "failed")]
    ):
        add(journal, key, status)
    for asked, keys in (("failed", ["b", "a"]), ("interrupted, failed", ["b", "a", "dead"]), ("stopped", [])):
        assert [row["run_key"] for row in json.loads(runs("list", "--status", asked, "--json").out)] == keys
    assert [row["run_key"] for row in json.loads(runs("list", "--status", "failed", "--limit", "1", "--json").out)] == [
        "b"
    ]
    refused = runs("list", "--status", "fail")
    assert (refused.code, refused.out) == (2, "")
    assert "status: no run is 'fail'. Give some of converged, measured," in refused.err


def test_a_step_is_shown_by_its_name_and_whole_in_json(runs: Hybridloop, journal: Journal) -> None:
    uid = add(journal, "steps", "converged")
    lease = journal.take_lease(uid)
    journal.add_event(lease, STEP, {"name": "sqd iteration 1", "values": {"alpha": [3, 5]}})
    journal.release(lease)
    shown = runs("show", "steps").out
    assert "sqd iteration 1" in shown
    assert "alpha" not in shown
    (event,) = (event for event in json.loads(runs("show", "steps", "--json").out)["events"] if event["kind"] == STEP)
    assert event["values"] == {"alpha": [3, 5]}


def test_a_run_that_is_damaged_is_listed_as_such_among_the_others(
    runs: Hybridloop, journal: Journal, now: list[float], tmp_path: Path
) -> None:
    add(journal, "rotten", "converged")
    now[0] = 1.0
    add(journal, "sound", "converged")
    with closing(sqlite3.connect(tmp_path / "journal.db")) as database, database:
        database.execute("UPDATE runs SET target = 'x' WHERE key = 'rotten'")
    result = runs("list", "--json")
    assert [(row["run_key"], row["status"]) for row in json.loads(result.out)] == [
        ("sound", "converged"),
        ("rotten", "damaged"),
    ]
    assert "hybridloop: run rotten: the journal is damaged: runs, row " in result.err
    assert "rotten   damaged" in runs("list").out
    shown = runs("show", "rotten")
    assert (shown.code, shown.out) == (1, "")
    assert "the journal is damaged" in shown.err


def test_a_run_is_shown_with_its_latest_limits(runs: Hybridloop, journal: Journal) -> None:
    uid = add(journal, "capped", "stopped", max_jobs=20)
    limits = {**dict.fromkeys(LIMITS), "max_jobs": 34, "max_cost": {"eHQC": 400.0}}
    lease = journal.take_lease(uid)
    journal.add_event(lease, LIMITS_GIVEN, limits)
    journal.release(lease)
    shown = json.loads(runs("show", "capped", "--json").out)
    assert {name: shown["settings"][name] for name in LIMITS} == limits
    assert shown["sources"] == {
        "seed": "the call",
        **dict.fromkeys(("max_cost", "max_jobs"), "resume"),
    }
    lines = runs("show", "capped").out.splitlines()
    assert "limits  max_cost: 400.00 eHQC  max_jobs: 34" in next(line for line in lines if line.startswith("events"))


def test_values_of_a_run_are_shown_as_in_settings_files_not_as_in_python(runs: Hybridloop, journal: Journal) -> None:
    add(journal, "plain", "converged", max_cost={"USD": 1250.5}, debias=False)
    lines = [line.strip() for line in runs("show", "plain").out.splitlines()]
    for line in ("max_cost: 1,250.50 USD", "settings        debias: false", "held_by         -"):
        assert line in lines
    assert not any(name in line for line in lines for name in ("failure.retries", "mitigation"))  # as by default
    assert not [line for line in lines if {"None", "True", "False"} & set(line.split()) or "{" in line]


@pytest.mark.parametrize("command", ["show", "resume", "stop", "verify", "export"])
def test_an_unknown_run_is_refused(command: str, runs: Hybridloop) -> None:
    result = runs(command, "nowhere")
    assert (result.code, result.out) == (2, "")
    assert "there is no run 'nowhere'" in result.err


def test_a_stop_of_a_run_without_an_owner_is_refused(runs: Hybridloop, journal: Journal) -> None:
    uid = add(journal, "idle", "parked")
    assert "run idle is not running: parked" in runs("stop", "idle").out
    assert not journal.run(uid).stop_requested


def test_a_running_run_gets_a_request_to_stop(url: str, runs: Hybridloop) -> None:
    with Journal(url) as journal:
        uid = add(journal, "busy", "running")
        journal.take_lease(uid)
        assert json.loads(runs("stop", "busy", "--json").out)["stop_requested"] is True
        assert journal.run(uid).stop_requested


def test_a_run_whose_owner_is_gone_is_shown_as_interrupted(runs: Hybridloop, journal: Journal) -> None:
    add(journal, "dead", "running")
    assert json.loads(runs("list", "--json").out)[0]["status"] == "interrupted"


def test_a_run_whose_process_died_is_shown_with_the_time_it_was_last_seen_and_a_reason(
    runs: Hybridloop, journal: Journal, now: list[float]
) -> None:
    uid = add(journal, "dead", "created")
    lease = journal.take_lease(uid)
    journal.set_status(lease, "running", "")
    now[0] = 205.0
    journal.renew(lease)
    shown = json.loads(runs("show", "dead", "--json").out)
    assert (shown["created"], shown["updated"]) == ("1970-01-01T00:00:00Z", "1970-01-01T00:03:25Z")
    assert (shown["status"], shown["reason"]) == ("interrupted", "its process ended without closing it")


def test_a_run_can_be_left_to_housekeeping(runs: Hybridloop, journal: Journal) -> None:
    uid = add(journal, "later", "stopped")
    assert runs("resume", "later", "--later").code == 0
    assert journal.run(uid).resume_requested


def test_a_run_without_a_result_cannot_be_verified(runs: Hybridloop, journal: Journal) -> None:
    add(journal, "half", "stopped")
    message = runs("verify", "half").err
    assert "run 'half' has no result to verify" in message
    assert message.endswith("To finish it: hybridloop runs resume half\n")


def test_a_session_closed_with_jobs_in_flight_is_not_shown_as_open(runs: Hybridloop, journal: Journal) -> None:
    uid = add(journal, "left", "interrupted")
    lease = journal.take_lease(uid)
    journal.add_session(lease, SessionRow(0, "an-id", "t", "Executing", "", 0.0))
    assert json.loads(runs("show", "left", "--json").out)["sessions"][0]["open"] is True
    journal.end_session(lease, uid, 0, "Executing", 5.0)
    assert json.loads(runs("show", "left", "--json").out)["sessions"][0]["open"] is False
    assert "an-id  t  Closed  open: false" in runs("show", "left").out


def test_old_runs_are_deleted_but_unfinished_ones_only_on_request(runs: Hybridloop, url: str, journal: Journal) -> None:
    for key, status in (("done", "converged"), ("half", "stopped"), ("held", "converged")):
        add(journal, key, status)
    with Journal(url) as today:
        add(today, "young", "converged")
        today.take_lease(today.run("held").uid)
        dry = ("prune", "--older-than", "1d", "--dry-run")
        counted = json.loads(runs(*dry, "--json").out)
        assert (counted["forgotten"], counted["dry_run"]) == (1, True)
        assert "1 run(s) would be deleted except for their results" in runs(*dry, "--keep-results").out
        assert "2 run(s) would be deleted that ended before" in runs(*dry, "--unfinished").out
        assert len(today.runs()) == 4
        assert json.loads(runs("prune", "--older-than", "1d", "--json").out)["forgotten"] == 1
        assert {record.key for record in today.runs()} == {"half", "held", "young"}
        assert "1 run(s) deleted" in runs("prune", "--older-than", "1d", "--unfinished").out
        assert {record.key for record in today.runs()} == {"held", "young"}


@pytest.mark.parametrize(
    ("options", "answer", "code", "left"),
    [((), "n", 1, 1), ((), "y", 0, 0), (("--yes",), "", 0, 0), (("--dry-run",), "", 0, 1)],
    ids=["no", "yes", "not asked", "dry run"],
)
def test_runs_are_deleted_at_a_terminal_only_after_a_question(
    options: tuple[str, ...], answer: str, code: int, left: int, url: str, journal: Journal, home: Path
) -> None:
    add(journal, "done", "converged")
    keyboard, terminal = pty.openpty()
    if answer:
        os.write(keyboard, f"{answer}\n".encode())
    environ = {**own_environ(home), "HYBRIDLOOP_JOURNAL": url}
    command = [sys.executable, "-m", "hybridloop", "runs", "prune", "--older-than", "1d", *options]
    out = err = subprocess.PIPE
    with ForkedPython(command, env=environ, stdin=terminal, stdout=out, stderr=err, text=True) as pruning:
        _, said = pruning.communicate(timeout=PATIENCE_S)
    os.close(terminal)
    os.close(keyboard)
    assert (pruning.returncode, len(journal.runs())) == (code, left), said
    assert ("with their results; --keep-results" in said) == bool(answer)
    assert ("Nothing was deleted." in said) == (answer == "n")


def test_settings_come_from_the_file_then_from_set_then_from_options(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("shots: 10\nprecision: 0.01\nseed: 3\nfailure:\n  retries: 1\n")
    sets = ["precision=0.02", "seed=4", "failure.max_renewals=2", "failure.on_lost_job=penalize"]
    found = resolve_settings("vqe", *read_layers(path, sets, {"seed": 5, "penalty": 1.0}), environ={})
    settings = found.settings
    assert isinstance(settings, VqeSettings)
    assert (settings.shots, settings.precision, settings.seed) == (10, 0.02, 5)
    assert (settings.failure.retries, settings.failure.max_renewals, settings.failure.penalty) == (1, 2, 1.0)
    assert found.sources == {
        "shots": f"--config {path}",
        "failure.retries": f"--config {path}",
        "precision": "--set precision",
        "failure.max_renewals": "--set failure.max_renewals",
        "failure.on_lost_job": "--set failure.on_lost_job",
        "seed": "the call",
        "failure.penalty": "the call",
    }


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90.0), ("90s", 90.0), ("1.5h", 5400.0), ("30 m", 1800.0), ("1d", SECONDS_A_DAY)]
)
def test_a_duration_is_parsed(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


def test_every_limit_is_a_setting() -> None:
    assert set(LIMITS) <= VqeSettings.model_fields.keys()


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(InputError, match="nowhere"):
        read_layers(Path("nowhere.yaml"), [], {})
