"""Two users of one workspace and Prefect server, each with a journal: neither changes the other's runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from uuid import UUID

import pytest

from hybridloop.api import sweeps as api
from hybridloop.journal import open_journal
from hybridloop.local_stack import PrefectServer
from tests.cli.shell_helpers import Shell, WorkspaceShell, environment
from tests.conftest import Emulator
from tests.prefect_server import prefect_client

OPTIONS = "--ansatz uccsd --seed 7 --run-key night --resume-automatically interrupted --batching off"
RUN = ("run", "vqe", "h2", *OPTIONS.split())


@pytest.fixture
def become(
    stack_environ: Mapping[str, str], emulator: Emulator, tmp_path: Path
) -> Iterator[Callable[[str], WorkspaceShell]]:
    """Become the user of that name: return a shell in the shared workspace, with the user's own journal."""

    def as_user(name: str) -> WorkspaceShell:
        at = Shell({**stack_environ, "HYBRIDLOOP_JOURNAL": f"sqlite:///{tmp_path}/{name}.db"}).at(emulator, "shared")
        os.environ.update(at.shell.environ)
        return at

    with environment(dict(os.environ)):  # housekeeping in this process names its server there
        yield as_user


@pytest.mark.slow
def test_a_killed_run_keeps_its_user_although_another_user_has_a_run_of_the_same_key(
    prefect_server: PrefectServer, emulator: Emulator, become: Callable[[str], WorkspaceShell]
) -> None:
    def state_of(flow_run_id: str | None) -> str:
        with prefect_client(prefect_server) as client:
            state = client.read_flow_run(UUID(flow_run_id)).state
        assert state is not None
        return state.name or ""

    anna = become("anna")
    assert anna.shell.with_variables(HYBRIDLOOP_CRASH_AT="put.after:9").run(*RUN).returncode == -9
    with open_journal() as journal:
        killed = journal.run("night")
    assert state_of(killed.flow_run_id) == "Running"

    ben = become("ben")
    undisturbed = ben.shell.json_inside(*RUN)
    assert api.run_housekeeping() == {}
    assert sorted(ben.session_statuses()) == ["Executing", "Succeeded"]  # the first session belongs to the killed run
    assert state_of(killed.flow_run_id) == "Running"

    become("anna")
    assert api.run_housekeeping() == {"night": "converged"}
    assert state_of(killed.flow_run_id) == "Crashed"
    with open_journal() as journal:
        ended = journal.run("night")
    assert ended.uid == killed.uid
    assert ended.result is not None
    assert ended.result["value"] == undisturbed["value"]
    assert emulator.admin(f"ledger?run={killed.uid}&top=1000")["duplicates"]["count"] == 0
    assert set(anna.session_statuses()) == {"Succeeded"}
