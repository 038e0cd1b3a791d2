"""Journal on a PostgreSQL server that several processes share and that restarts during their runs."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hybridloop.azure.workspace import connect
from hybridloop.emulator.pytest_plugin import Emulator
from hybridloop.errors import HybridloopError
from hybridloop.journal import Journal
from hybridloop.journal.held_run import hold_run, new_run
from tests.chaos.process_helpers import TARGET
from tests.forked_processes import context
from tests.journal.postgresql_helpers import Server, new_database, running_server
from tests.long_form import long_form, short_or_long
from tests.session_helpers import open_run_session
from tests.tasks.test_session_closing import ones
from tests.waiting import PATIENCE_S

ROUNDS = short_or_long(12, 200)
RESTARTS = short_or_long(2, 20)
MAX_PROCESSES = 3 * RESTARTS + 4  # processes in a row; each restart may end some with an error


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


@dataclass(frozen=True, slots=True)
class DatabaseOrder:
    """Instructions of a process."""

    url: str
    connection: str
    uid: str
    outcome: Path


def work(order: DatabaseOrder, progress: Any = None) -> None:
    """Resume the run to its end and write the outcome; `progress` receives the number of each round."""
    try:
        found = _measured(order, progress)
    except HybridloopError as error:
        found = {"error": type(error).__name__, "text": str(error)}
    order.outcome.write_text(json.dumps(found))


def _measured(order: DatabaseOrder, progress: Any) -> dict[str, Any]:
    with Journal(order.url) as journal, hold_run(journal, order.uid) as run:
        with open_run_session(connect(order.connection), TARGET, run=run) as session:
            measured = []
            for number in range(ROUNDS):
                if progress is not None:
                    progress.send(number)
                    progress.recv()
                (points,) = session.run_round([ones(shots=10 + number)])
                measured.append([str(counts) for counts in points])
        return {"measured": measured, "replayed": session.replayed}


def order(service: Emulator, url: str, folder: Path) -> DatabaseOrder:
    """Add a run to the database, and return its order."""
    uid = str(uuid.uuid4())
    with Journal(url) as journal:
        journal.add_run(new_run(uid, key=uid, algorithm="session", problem="", target=TARGET, seed=3))
    connection = (
        "SubscriptionId=11111111-2222-3333-4444-555555555555;ResourceGroupName=chaos;WorkspaceName=shared;"
        f"ApiKey={service.api_key};QuantumEndpoint={service.endpoint}"
    )
    return DatabaseOrder(url, connection, uid, folder / f"{uid}.json")


def outcome(of: DatabaseOrder) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(of.outcome.read_text())
    return found


def ledger(service: Emulator, uid: str) -> tuple[int, int]:
    found = service.admin(f"ledger?run={uid}&top=10000")
    return len(found["entries"]), found["duplicates"]["count"]


def run_in_process(of: DatabaseOrder, meanwhile: Callable[[int], None] = lambda _: None) -> dict[str, Any]:
    """Resume the run in a process and return the outcome; `meanwhile` is called before each of its rounds."""
    here, there = context().Pipe()
    process = context().Process(target=work, args=[of, there], daemon=True)
    process.start()
    there.close()
    try:
        with suppress(EOFError):
            while here.poll(PATIENCE_S):
                meanwhile(here.recv())
                here.send("go on")
        process.join(PATIENCE_S)
    finally:
        if process.is_alive():
            process.kill()
            process.join()
    assert process.exitcode == 0
    return outcome(of)


@long_form
@pytest.mark.slow
def test_a_run_waits_while_its_database_is_down_between_two_rounds(
    service: Emulator, server: Server, tmp_path: Path
) -> None:
    run = order(service, new_database(server), tmp_path)
    started: list[threading.Timer] = []

    def stop_for_a_while(number: int) -> None:
        if number == ROUNDS // 2:
            server.stop()
            started.append(threading.Timer(2.0, server.start))  # meanwhile the round needs to write its intent
            started[0].start()

    found = run_in_process(run, stop_for_a_while)
    started[0].join()
    assert len(found.get("measured", [])) == ROUNDS, found
    assert ledger(service, run.uid) == (ROUNDS, 0)


@long_form
@pytest.mark.slow
def test_runs_of_two_processes_survive_repeated_restarts_of_their_database(
    service: Emulator, server: Server, tmp_path: Path
) -> None:
    url = new_database(server)
    runs = [order(service, url, tmp_path) for _ in range(2)]
    over = threading.Event()
    ends: dict[str, list[dict[str, Any]]] = {run.uid: [] for run in runs}

    def go(run: DatabaseOrder) -> None:
        while len(ends[run.uid]) < MAX_PROCESSES:
            ends[run.uid].append(run_in_process(run, lambda number: None))
            if "error" not in ends[run.uid][-1]:
                return

    def restart() -> None:
        for _ in range(RESTARTS):
            if over.wait(1.0):
                return
            server.stop()
            over.wait(0.3)
            server.start()

    workers = [threading.Thread(target=go, args=[run]) for run in runs]
    restarting = threading.Thread(target=restart)
    for thread in (*workers, restarting):
        thread.start()
    for thread in workers:
        thread.join()
    over.set()
    restarting.join()
    for run in runs:
        assert len(ends[run.uid][-1].get("measured", [])) == ROUNDS, ends[run.uid]
        assert {end["error"] for end in ends[run.uid][:-1]} <= {"JournalError"}
        assert ledger(service, run.uid) == (ROUNDS, 0)
        with Journal(url) as journal:
            assert all(row.ended_at is not None for row in journal.sessions(run.uid))


@pytest.mark.slow
def test_of_two_processes_that_claim_a_run_in_a_shared_database_one_is_refused(
    service: Emulator, server: Server, tmp_path: Path
) -> None:
    run = order(service, new_database(server), tmp_path)
    found: list[dict[str, Any]] = []

    def second(number: int) -> None:
        if number == 2:
            found.append(run_in_process(DatabaseOrder(run.url, run.connection, run.uid, tmp_path / "second.json")))

    first = run_in_process(run, second)
    assert [outcome.get("error") for outcome in found] == ["RunBusy"]
    assert len(first["measured"]) == ROUNDS
    assert ledger(service, run.uid) == (ROUNDS, 0)
