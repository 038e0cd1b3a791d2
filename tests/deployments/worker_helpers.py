"""Prefect worker in its own process, and its runs as the journal and the service show them."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, State

from hybridloop.journal import Journal, RoundRecord, RunRecord, journal_url
from hybridloop.local_stack import PrefectServer
from tests.cli.shell_helpers import Shell, WorkspaceShell
from tests.conftest import Emulator, running_emulator
from tests.prefect_server import own_environ, prefect_client
from tests.waiting import PATIENCE_S

POOL = "hybridloop"  # the default, and the guide's
START = "hybridloop worker"

# the process that started the tests may ignore SIGINT; a worker would inherit that, and it ends by sending itself one
PREFECTS_OWN = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("prefect", run_name="__main__")
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Surroundings of a worker's runs: the service, the journal, and the deployment on Prefect's server."""

    service: Emulator
    at: WorkspaceShell
    journal: Journal
    client: SyncPrefectClient
    deployment: UUID

    def record(self, run: FlowRun) -> RunRecord:
        """Return the journal's record of a flow run."""
        record = self.journal.run_by_flow_run(str(run.id))
        assert record is not None
        return record

    def rounds(self, run: FlowRun) -> list[RoundRecord]:
        """Return the rounds that have begun."""
        record = self.journal.run_by_flow_run(str(run.id))
        return [] if record is None else list(self.journal.rounds(record.uid))

    def has_measured(self, run: FlowRun) -> bool:
        """True if a round is complete."""
        return any(round_.complete for round_ in self.rounds(run))

    def has_next_round_submitted(self, run: FlowRun) -> bool:
        """True if a round is complete and the jobs of the next one are at the service."""
        rounds = self.rounds(run)
        return len(rounds) > 1 and not rounds[-1].complete and all(job.state == "submitted" for job in rounds[-1].jobs)

    def state(self, run: FlowRun) -> State[Any]:
        """Return the current state of the flow run."""
        state = self.client.read_flow_run(run.id).state
        assert state is not None
        return state

    def is_closed(self, run: FlowRun) -> bool:
        """True if the journal has the run's sessions as closed, its status as final, and no owner."""
        record = self.record(run)
        is_over = record.owner is None and record.status != "running"
        return is_over and all(row.ended_at is not None for row in self.journal.sessions(record.uid))

    def session_statuses(self, record: RunRecord) -> list[str]:
        """Return the statuses of the run's sessions at the service."""
        ids = {row.id for row in self.journal.sessions(record.uid)}
        return [session.details.status for session in self.at.workspace.list_sessions() if session.id in ids]

    def slow_down(self, seconds: float) -> None:
        """Delay the service's answers to polls of jobs by so many seconds."""
        rules = [{"fault": "slow-answer", "operation": "list", "seconds": seconds}] if seconds else []
        self.service.admin("faults", {"rules": rules})


@contextmanager
def place_for(server: PrefectServer, deployment: UUID, folder: Path, journal_at: str | None = None) -> Iterator[Place]:
    """Hold a service, and a journal at this URL or in the folder, for the runs of a deployment."""
    url = journal_at or journal_url(folder / "home" / "journal.db")
    environ = {
        **own_environ(folder / "home"),
        "HYBRIDLOOP_JOURNAL": url,
        **server.environment,
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    with running_emulator() as service, prefect_client(server) as client:
        at = Shell(environ).at(service, "workers")
        with Journal(url) as journal:
            yield Place(service, at, journal, client, deployment)


@dataclass(frozen=True, slots=True)
class Worker:
    """A running worker and its child processes."""

    process: psutil.Process
    popen: subprocess.Popen[bytes]

    def children(self) -> list[psutil.Process]:
        """Return the processes of its runs, with their children."""
        return self.process.children(recursive=True)

    def end(self, how: signal.Signals) -> None:
        """Send the signal to the worker alone, and wait for its end."""
        self.popen.send_signal(how)
        self.popen.wait(PATIENCE_S)


def prefects_own(pool: str) -> list[str]:
    """Return the command line of Prefect's own worker."""
    return [sys.executable, "-c", PREFECTS_OWN, *shlex.split(f"worker start --pool {pool} --type process")]


def of_hybridloop(pool: str) -> list[str]:
    """Return the command line of `hybridloop worker`."""
    return [sys.executable, "-m", "hybridloop", "worker", "--pool", pool]


@contextmanager
def worker(environ: Mapping[str, str], folder: Path, command: Sequence[str]) -> Iterator[Worker]:
    """Hold a worker; at the end of the block it is stopped with all its children."""
    with (folder / "worker.log").open("ab") as log:
        popen = subprocess.Popen(command, env=dict(environ), cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    held = Worker(psutil.Process(popen.pid), popen)
    started: dict[int, psutil.Process] = {}
    try:
        yield held
    finally:
        if popen.poll() is None:
            started = {child.pid: child for child in held.children()}
        popen.terminate()
        try:
            assert popen.wait(PATIENCE_S) in (0, -signal.SIGTERM, -signal.SIGKILL)
        finally:
            popen.kill()
            _, left = psutil.wait_procs(list(started.values()), timeout=10)
            for each in left:
                each.kill()


def is_gone(process: psutil.Process) -> bool:
    """True if the process has ended."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
