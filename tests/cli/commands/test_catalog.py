"""Commands that list and show: text for people, one JSON document for programs, with the same facts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub

import hybridloop as hl
from hybridloop.cli.output import print_table
from hybridloop.data import built_in_families, load_table
from hybridloop.errors import InputError
from hybridloop.targets import known_targets
from hybridloop.tasks.session import OpenSession
from tests.cli.shell_helpers import CommandResult, WorkspaceShell
from tests.session_helpers import open_run_session

Hybridloop = Callable[..., CommandResult]


@pytest.fixture
def ask(inside: Callable[..., CommandResult], plain_workspace: WorkspaceShell) -> Hybridloop:
    """Return a function that runs a command; it must succeed and print nothing to standard error."""

    def hybridloop(*arguments: str) -> CommandResult:
        result = inside(plain_workspace.shell.environ, *arguments)
        assert (result.code, result.err) == (0, "")
        return result

    return hybridloop


@pytest.fixture
def session(plain_workspace: WorkspaceShell) -> Iterator[OpenSession]:
    """Return an open session in which three jobs ran."""
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with open_run_session(plain_workspace.workspace, "ionq.simulator", name="three jobs") as opened:
        opened.run_round([SamplerPub.coerce((circuit, None, shots)) for shots in (100, 200, 300)])
        yield opened


def table(result: CommandResult) -> list[list[str]]:
    """Return the rows of a table, its header first; cells are two blanks apart."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in result.out.splitlines()]


def test_problems_are_listed_by_family_with_their_values(ask: Hybridloop) -> None:
    families = built_in_families()
    entries = {name: entry for each in families.values() for name, entry in each.items()}
    rows = json.loads(ask("problems", "--json").out)
    assert [row["name"] for row in rows] == list(entries)
    for row in rows:
        entry = entries[row["name"]]
        for field in ("exact_energy", "hartree_fock_energy", "optimum", "title", "family", "teaches", "source"):
            assert row.get(field) == entry.get(field)
        assert "hartree_fock_energy" not in row or row["exact_energy"] < row["hartree_fock_energy"]
    lines = ask("problems").out.splitlines()
    for family, listed in families.items():
        start = lines.index(family) + 1
        assert lines[start].split()[:2] == ["name", "qubits"]
        assert [line.split()[0] for line in lines[start + 1 : start + 1 + len(listed)]] == list(listed)
        assert lines[start + 1 + len(listed)] == ""
    assert max(map(len, lines)) < 170


def test_a_problem_is_shown_with_its_purpose_and_command(
    ask: Hybridloop, inside: Callable[..., CommandResult], plain_workspace: WorkspaceShell
) -> None:
    (shown,) = json.loads(ask("problems", "Hubbard-2", "--json").out)
    entry = load_table("problems")["hubbard-2"]
    assert (shown["name"], shown["teaches"], shown["source"]) == ("hubbard-2", entry["teaches"], entry["source"])
    lines = dict(line.split(maxsplit=1) for line in ask("problems", "knapsack-8").out.splitlines())
    assert lines["command"] == "hybridloop run qaoa knapsack-8 --seed 7"
    assert lines["teaches"] == load_table("binary_problems")["knapsack-8"]["teaches"]
    refused = inside(plain_workspace.shell.environ, "problems", "isng-6")
    assert (refused.code, refused.out) == (2, "")
    assert "there is no built-in problem 'isng-6'. Did you mean 'ising-6'?" in refused.err


def test_targets_are_listed_with_state_and_limits(ask: Hybridloop) -> None:
    rows = json.loads(ask("targets", "--json").out)
    assert {row["target"] for row in rows} <= known_targets().keys()
    by_name = {row["target"]: row for row in rows}
    assert by_name["ionq.simulator"]["state"] == "Available"
    assert by_name["ionq.simulator"]["qubits"] == 29
    assert by_name["ionq.simulator"]["samples"] is False
    assert by_name["rigetti.sim.qvm"]["qubits"] == 30
    columns, *lines = table(ask("targets"))
    assert columns[:2] == ["target", "state"]
    assert [line[0] for line in lines] == [row["target"] for row in rows]


def test_sessions_are_listed_the_newest_first(
    ask: Hybridloop, session: OpenSession, plain_workspace: WorkspaceShell
) -> None:
    with open_run_session(plain_workspace.workspace, "rigetti.sim.qvm", name="newer") as newer:
        rows = json.loads(ask("sessions", "list", "--json").out)
        assert [(row["id"], row["name"]) for row in rows] == [(newer.id, "newer"), (session.id, "three jobs")]
        assert [row["status"] for row in rows] == ["Waiting", "Executing"]
        assert [row["id"] for row in json.loads(ask("sessions", "list", "--limit", "1", "--json").out)] == [newer.id]
        _, *lines = table(ask("sessions", "list"))
        assert [line[0] for line in lines] == [newer.id, session.id]


def test_sessions_are_filtered_by_status_target_and_day(
    ask: Hybridloop, session: OpenSession, plain_workspace: WorkspaceShell
) -> None:
    def found(*options: str) -> list[str]:
        return [row["id"] for row in json.loads(ask("sessions", "list", *options, "--json").out)]

    workspace = plain_workspace.workspace
    with open_run_session(workspace, "rigetti.sim.qvm", name="newer") as newer:
        assert found("--status", "executing") == [session.id]
        assert found("--status", "Waiting, Executing", "--limit", "1") == [newer.id]
        assert found("--target", "rigetti.sim.qvm") == [newer.id]
        assert found("--target", "rigetti.sim.qvm,ionq.simulator", "--status", "executing") == [session.id]
        assert [each.id for each in hl.sessions(status="Waiting", workspace=workspace)] == [newer.id]
        assert [each.id for each in hl.sessions(target=["ionq.simulator"], workspace=workspace)] == [session.id]
        opened = datetime.fromisoformat(newer.details["created"])
        day, following = opened.date(), opened.date() + timedelta(days=1)
        assert newer.id in found("--since", day.isoformat(), "--until", day.isoformat())
        assert found("--since", following.isoformat()) == []
        assert newer.id not in [each.id for each in hl.sessions(until=day - timedelta(days=1), workspace=workspace)]
        assert newer.id in [each.id for each in hl.sessions(since=opened, workspace=workspace)]
    for options, message in (
        ({"status": "timeout"}, "no session is 'timeout'.*TimedOut"),
        ({"target": "a' or 'b"}, "no name of a target"),
        ({"since": "yesterday"}, "since must be a day, for example 2026-11-28"),
    ):
        with pytest.raises(InputError, match=message):
            hl.sessions(**options, workspace=workspace)  # type: ignore[arg-type]


def test_a_workspace_without_sessions_lists_none(ask: Hybridloop) -> None:
    assert json.loads(ask("sessions", "list", "--json").out) == []
    assert len(table(ask("sessions", "list"))) == 1


def test_a_session_is_shown_with_its_jobs_counted(ask: Hybridloop, session: OpenSession) -> None:
    shown = json.loads(ask("sessions", "show", session.id, "--json").out)
    assert shown["id"] == session.id
    assert (shown["target"], shown["status"]) == ("ionq.simulator", "Executing")
    assert shown["session_on_job_failure"] == "continue"
    assert shown["jobs"] == {"Succeeded": 3}
    lines = dict(line.split(maxsplit=1) for line in ask("sessions", "show", session.id).out.splitlines())
    assert lines["id"] == session.id
    assert lines["status"] == "Executing"
    assert lines["jobs"] == "3 Succeeded"
    assert lines["ended"] == "-"


def test_a_sessions_jobs_are_listed_with_their_shots(ask: Hybridloop, session: OpenSession) -> None:
    rows = json.loads(ask("sessions", "jobs", session.id, "--json").out)
    assert sorted(row["shots"] for row in rows) == [100, 200, 300]
    assert {row["status"] for row in rows} == {"Succeeded"}
    assert {row["error"] for row in rows} == {None}
    columns, *lines = table(ask("sessions", "jobs", session.id))
    assert columns[:4] == ["id", "name", "status", "shots"]
    assert [line[0] for line in lines] == [row["id"] for row in rows]


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_a_session_is_closed_and_closing_it_again_changes_nothing(
    form: tuple[str, ...], ask: Hybridloop, session: OpenSession, plain_workspace: WorkspaceShell
) -> None:
    first = ask("sessions", "close", session.id, *form).out
    assert "Succeeded" in first
    assert plain_workspace.session_statuses() == ["Succeeded"]
    assert ask("sessions", "close", session.id, *form).out == first
    if form:
        assert json.loads(first)["id"] == session.id


def test_an_unknown_session_is_reported_as_missing(
    inside: Callable[..., CommandResult], plain_workspace: WorkspaceShell
) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    for command in ("show", "jobs", "close"):
        result = inside(plain_workspace.shell.environ, "sessions", command, unknown)
        assert (result.code, result.out) == (2, "")
        assert f"session id: this workspace has no session {unknown}" in result.err
        assert "Traceback" not in result.err


def test_the_status_of_a_stopped_stack_is_shown_and_nothing_is_started(run_command: Hybridloop, home: Path) -> None:
    told = json.loads(run_command("status", "--json").out)
    assert told["home"] == str(home)
    assert [(part["part"], part["state"]) for part in told["parts"]] == [
        ("prefect", "stopped"),
        ("emulator", "stopped"),
    ]
    assert "stopped" in run_command("status").out
    assert not home.exists()


def test_down_without_a_running_stack_stops_nothing(run_command: Hybridloop, home: Path) -> None:
    assert json.loads(run_command("down", "--json").out) == {"home": str(home), "stopped": []}
    assert "nothing was running" in run_command("down").err


@pytest.mark.claim("leaves them running", "`hybridloop status` links to both")
def test_up_finds_the_running_stack_and_status_shows_it(
    inside: Callable[..., CommandResult], stack_environ: dict[str, str], prefect_server: object
) -> None:
    first = inside(stack_environ, "up", "--json")
    assert first.code == 0
    assert [part["state"] for part in json.loads(first.out)["parts"]] == ["running", "running"]
    assert inside(stack_environ, "up", "--json").out == first.out
    assert inside(stack_environ, "status", "--json").out == first.out
    columns, *lines = table(inside(stack_environ, "status"))
    assert columns == ["part", "state", "url", "pid"]
    assert [line[:2] for line in lines] == [["prefect", "running"], ["emulator", "running"]]


def test_the_users_workspace_and_server_are_shown_as_theirs(run_command: Hybridloop, home: Path) -> None:
    theirs = {"PREFECT_API_URL": "http://prefect.example/api", "AZURE_QUANTUM_CONNECTION_STRING": "x"}
    parts = json.loads(run_command("status", "--json", **theirs).out)["parts"]
    assert [(part["state"], part["url"]) for part in parts] == [("yours", "http://prefect.example/api"), ("yours", "")]
    assert not home.exists()


def test_a_table_has_yes_no_and_a_dash_for_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "held", "value"), [{"name": "a", "held": True, "value": 0.5}, {"name": "b", "held": False}])
    assert capsys.readouterr().out.splitlines() == ["name  held  value", "a     yes   0.500000", "b     no    -"]
