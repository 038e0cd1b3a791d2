"""HYBRIDLOOP_LOG=json: each line on standard error is one JSON document, with the run, session, round and job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shell_helpers import Shell
from tests.conftest import Emulator
from tests.prefect_server import own_environ

PLAINLY = 'import hybridloop as hl; hl.vqe("h2", host="plain", seed=7, ansatz="uccsd", run_key="of-json")'


def lines(text: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in text.splitlines()]
    assert all({"time", "level", "logger", "message"} <= each.keys() for each in found)
    return found


def test_a_run_logs_json_lines_that_state_what_they_are_of(emulator: Emulator, tmp_path: Path) -> None:
    at = Shell({**own_environ(tmp_path), "HYBRIDLOOP_LOG": "json"}).at(emulator, "json-log")
    emulator.admin("faults", {"rules": [{"fault": "job-fails", "code": "ProviderTimeout", "times": 1}]})
    done = at.shell.run_python("-c", PLAINLY)
    assert done.returncode == 0, done.stderr
    found = lines(done.stderr)
    assert {each["run"] for each in found if "run" in each} == {"of-json"}
    by_event = {each["event"]: each for each in found if "event" in each}
    (session,) = [each.id for each in at.workspace.list_sessions()]
    assert by_event["session.opened"]["session"] == session
    assert {"session", "round", "job", "next_job", "run"} <= by_event["job.retried"].keys()
    assert by_event["job.retried"]["level"] == "warning"
    ended = by_event["round.completed"]
    assert (ended["session"], ended["round"] >= 1) == (session, True)
    assert by_event["run.completed"]["status"] == "converged"


def test_what_a_command_says_is_json_too(tmp_path: Path) -> None:
    environ = own_environ(tmp_path)
    refused = Shell({**environ, "HYBRIDLOOP_LOG": "json"}).run("runs", "show", "nothing")
    (line,) = lines(refused.stderr)
    assert (refused.returncode, line["level"]) == (2, "error")
    assert line["message"].startswith("run: there is no run 'nothing'")


def test_the_variable_is_none_of_a_setting(tmp_path: Path) -> None:
    shell = Shell({**own_environ(tmp_path), "HYBRIDLOOP_LOG": "json"})
    assert shell.json("config")["unknown_variables"] == []


@pytest.mark.parametrize("text", ["xml", "1"])
def test_a_format_that_there_is_not_is_refused(text: str, tmp_path: Path) -> None:
    refused = Shell({**own_environ(tmp_path), "HYBRIDLOOP_LOG": text}).run("runs", "list")
    assert refused.returncode == 2
    assert f"HYBRIDLOOP_LOG: {text!r} is no format of a log" in refused.stderr
