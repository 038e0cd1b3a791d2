"""A run that starts while Prefect's server is away goes on alone; the server gets its end later, in one flow run."""

from __future__ import annotations

import json
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.settings import PREFECT_API_URL, temporary_settings

from hybridloop.flows.rescue.dead_flow_runs import mark_dead_flow_runs
from hybridloop.flows.rescue.delivery import OWN_S
from hybridloop.journal import open_journal
from hybridloop.runtime.waits import PREFECT_START_S
from tests.cli.shell_helpers import Shell, WorkspaceShell
from tests.conftest import Emulator
from tests.database_helpers import ServerProcess, prefect_on
from tests.journal.postgresql_helpers import running_server
from tests.prefect_server import own_environ, prefect_client, send_what_is_pending
from tests.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.slow

WAYS: Mapping[str, tuple[Callable[[ServerProcess], None], Callable[[ServerProcess], None]]] = {
    "killed": (ServerProcess.kill, ServerProcess.start),
    "stopped": (ServerProcess.suspend, ServerProcess.go_on),
}
RUN = ("run", "vqe", "h2", "--seed", "7", "--precision", "0.05", "--json")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server() as database, prefect_on(database, tmp_path_factory.mktemp("away")) as process:
        yield process


@pytest.fixture
def at(server: ServerProcess, emulator: Emulator, tmp_path: Path) -> WorkspaceShell:
    environ = {**own_environ(tmp_path), "PREFECT_API_URL": server.server.api_url}
    return Shell(environ).at(emulator, f"away-{secrets.token_hex(4)}")


@contextmanager
def away(process: ServerProcess, how: str) -> Iterator[None]:
    stop, go_on = WAYS[how]
    stop(process)
    try:
        yield
    finally:
        go_on(process)


def told(server: ServerProcess, at: WorkspaceShell, key: str) -> list[FlowRun]:
    """Do housekeeping twice; return the flow runs of a key."""
    send_what_is_pending()
    with (
        open_journal(at.shell.environ) as journal,
        temporary_settings({PREFECT_API_URL: server.server.api_url}),
        prefect_client(server.server) as client,
    ):
        for _ in range(2):
            mark_dead_flow_runs(journal, client, now=time.time() + OWN_S)
        assert list(journal.untold_ends()) == []
        found: list[FlowRun] = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[f"run:{key}"]))
        )
        send_what_is_pending()
        uid = journal.run(key).uid
        ends = EventFilter(
            event=EventNameFilter(name=["hybridloop.run.completed"]),
            resource=EventResourceFilter(id=[f"hybridloop.run.{uid}"]),
        )
        eventually(lambda: client.read_events(ends, limit=10).events)
        assert len(client.read_events(ends, limit=10).events) == 1
        return found


@pytest.mark.parametrize("how", WAYS)
def test_a_run_that_starts_while_the_server_is_away_and_is_killed_once_has_one_flow_run_with_its_end(
    how: str, server: ServerProcess, at: WorkspaceShell
) -> None:
    command = (*RUN, "--run-key", f"cron-{how}")
    with away(server, how):
        killed = at.shell.with_variables(HYBRIDLOOP_CRASH_AT="result.after:1").run(*command)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        done = at.shell.run(*command)
    assert done.returncode == 0, done.stderr
    assert f"has not answered for {PREFECT_START_S:.0f} s: the run continues without it" in done.stderr
    assert "Traceback" not in done.stderr
    assert set(at.session_statuses()) <= {"Succeeded", "TimedOut"}
    (shown,) = told(server, at, f"cron-{how}")
    assert (shown.name, shown.state_type) == (f"cron-{how} (told later)", "COMPLETED")
    assert shown.state is not None
    assert json.loads(done.stdout)["status"] in str(shown.state.message)
    assert "and Prefect learned of it later" in str(shown.state.message)


def test_a_run_that_was_interrupted_without_prefect_and_resumed_in_it_has_the_flow_run_of_its_resume(
    server: ServerProcess, at: WorkspaceShell, emulator: Emulator
) -> None:
    command = ("run", "vqe", "h2", "--seed", "7", "--ansatz", "uccsd", "--json", "--run-key", "resumed")
    emulator.admin("faults", {"rules": [{"fault": "slow-answer", "operation": "list", "seconds": 1}]})
    with away(server, "killed"), at.shell.start(*command) as run, open_journal(at.shell.environ) as journal:

        def has_measured() -> bool:
            record = journal.run_by_key("resumed")
            return record is not None and journal.progress(record.uid).rounds_complete > 0

        eventually(has_measured)
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=PATIENCE_S)
        assert run.returncode == 130
        assert [end.status for end in journal.untold_ends()] == ["interrupted"]
    done = at.shell.run(*command)
    assert done.returncode == 0, done.stderr
    (shown,) = told(server, at, "resumed")
    assert (shown.name, shown.state_type) == ("resumed", "COMPLETED")


def test_what_needs_prefect_is_refused_while_its_server_is_away(server: ServerProcess, at: WorkspaceShell) -> None:
    with away(server, "killed"):
        for more in (("--require-prefect",), ("--set", "session_slots=qpu")):
            refused = at.shell.run(*RUN, "--run-key", "refused", *more)
            assert refused.returncode == 1
            assert "has not answered for" in refused.stderr
            assert "No run was affected" in refused.stderr
    assert at.session_statuses() == []
