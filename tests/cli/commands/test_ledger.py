"""`hybridloop emulator ledger`: the service's ledger as text and as JSON."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

import pytest

from tests.cli.shell_helpers import CommandResult
from tests.conftest import Emulator
from tests.emulator.http_helpers import Caller


@pytest.fixture
def ask(run_command: Callable[..., CommandResult], emulator: Emulator) -> Callable[..., CommandResult]:
    """Return a function that runs the command on the tests' service."""
    return lambda *options: run_command(
        "emulator", "ledger", "--url", emulator.endpoint, *options, HYBRIDLOOP_EMULATOR_ADMIN_KEY=emulator.admin_key
    )


def test_text_and_json_show_the_same_session_and_its_duplicates(
    emulator: Emulator, ask: Callable[..., CommandResult]
) -> None:
    caller = Caller(emulator)
    session = caller.open_session("quantinuum.qpu.h2-1")
    run = str(uuid.uuid4())
    jobs = [
        caller.submit(target="quantinuum.qpu.h2-1", sessionId=session, metadata={"place": f"{run}/main/0/0/0/0"})
        for _ in range(2)
    ]
    caller.all_ended()
    document = json.loads(ask("--session", session, "--json").out)
    assert [entry["job"] for entry in document["entries"]] == jobs
    # ry and x, three preparations, three measurements, 100 shots: 5 + 100·(2 + 5·6)/5000 = 5.64 for each
    assert document["money"] == {"HQC": 11.28}
    assert "next" not in document
    assert json.loads(ask("--run", run, "--json").out)["duplicates"]["count"] == 1
    text = ask("--run", run).out
    assert session in text
    assert "11.28 HQC" in text
    assert f"job {jobs[1]}, while {jobs[0]} was" in text


def test_a_wrong_key_an_unreachable_service_and_a_missing_key_are_named(
    run_command: Callable[..., CommandResult], emulator: Emulator
) -> None:
    refused = run_command("emulator", "ledger", "--url", emulator.endpoint, "--admin-key", "wrong")
    assert (refused.code, "--admin-key" in refused.err) == (2, True)
    gone = run_command("emulator", "ledger", "--url", "http://127.0.0.1:9/", "--admin-key", "any")
    assert (gone.code, "127.0.0.1:9" in gone.err) == (1, True)
    missing = run_command("emulator", "ledger", "--url", emulator.endpoint)
    assert (missing.code, "--admin-key" in missing.err) == (2, True)
    for result in (refused, gone, missing):
        assert result.out == ""
        assert "Traceback" not in result.err
