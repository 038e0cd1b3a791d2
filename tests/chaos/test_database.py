"""A journal on a server that several processes share, and that is restarted in the midst of their runs."""

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
from hybridloop.errors import HybridloopError
from hybridloop.journal import Journal
from hybridloop.journal.claimed_run import claim_run, new_run
from hybridloop.pytest_plugin import Emulator
from hybridloop.tasks.session import open_session
from tests.chaos.process_helpers import TARGET, context
from tests.journal.postgresql_helpers import Server, new_database, running_server
from tests.long_form import long_form, short_or_long
from tests.tasks.test_session_closing import ones

ROUNDS = short_or_long(12, 200)
WITHIN_S = 60.0  # a bound for broken code
RESTARTS = short_or_long(2, 20)
PATIENCE = 3 * RESTARTS + 4  # processes in a row, some of which each restart may end in words


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


@dataclass(frozen=True, slots=True)
class Order:
    """What a process is to do."""

    url: str
    connection: str
    uid: str
    outcome: Path


def work(order: Order, told: Any = None) -> None:
    """Go on with the run to its end, and leave what came of it; a line of how far it is goes to `told`."""
    try:
        found = _measured(order, told)
    except HybridloopError as error:
        found = {"error": type(error).__name__, "text": str(error)}
    order.outcome.write_text(json.dumps(found))


def _measured(order: Order, told: Any) -> dict[str, Any]:
    with Journal(order.url) as journal, claim_run(journal, order.uid) as run:
        with open_session(connect(order.connection), TARGET, run=run) as session:
            measured = []
            for number in range(ROUNDS):
                if told is not None:
                    told.send(number)
                    told.recv()
                (points,) = session.run_round([ones(shots=10 + number)])
                measured.append([str(counts) for counts in points])
        return {"measured": measured, "replayed": session.replayed}


def order(service: Emulator, url: str, folder: Path) -> Order:
    """A new run in the database."""
    uid = str(uuid.uuid4())
    with Journal(url) as journal:
        journal.add_run(new_run(uid, key=uid, algorithm="session", problem="", target=TARGET, seed=3))
    connection = (
        "SubscriptionId=11111111-2222-3333-4444-555555555555;ResourceGroupName=chaos;WorkspaceName=shared;"
        f"ApiKey={service.api_key};QuantumEndpoint={service.endpoint}"
    )
    return Order(url, connection, uid, folder / f"{uid}.json")


def outcome(of: Order) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(of.outcome.read_text())
    return found


def books(service: Emulator, uid: str) -> tuple[int, int]:
    found = service.admin(f"ledger?run={uid}&top=10000")
    return len(found["entries"]), found["duplicates"]["count"]


def gone_on(of: Order, meanwhile: Callable[[int], None] = lambda _: None) -> dict[str, Any]:
    """What a process of its own comes to; `meanwhile` is called before each of its rounds, which waits for it."""
    here, there = context().Pipe()
    process = context().Process(target=work, args=[of, there], daemon=True)
    process.start()
    there.close()
    try:
        with suppress(EOFError):
            while here.poll(WITHIN_S):
                meanwhile(here.recv())
                here.send("go on")
        process.join(WITHIN_S)
    finally:
        if process.is_alive():
            process.kill()
            process.join()
    assert process.exitcode == 0
    return outcome(of)


@long_form
@pytest.mark.slow
def test_a_run_whose_database_is_away_for_a_while_between_two_rounds_waits_and_goes_on(
    service: Emulator, server: Server, tmp_path: Path
) -> None:
    run = order(service, new_database(server), tmp_path)
    started: list[threading.Timer] = []

    def stop_for_a_while(number: int) -> None:
        if number == ROUNDS // 2:
            server.stop()
            started.append(threading.Timer(2.0, server.start))  # meanwhile the round wants to write its intent
            started[0].start()

    found = gone_on(run, stop_for_a_while)
    started[0].join()
    assert len(found.get("measured", [])) == ROUNDS, found
    assert books(service, run.uid) == (ROUNDS, 0)


@long_form
@pytest.mark.slow
def test_runs_of_two_processes_in_one_database_survive_that_it_is_restarted_again_and_again(
    service: Emulator, server: Server, tmp_path: Path
) -> None:
    url = new_database(server)
    runs = [order(service, url, tmp_path) for _ in range(2)]
    over = threading.Event()
    ends: dict[str, list[dict[str, Any]]] = {run.uid: [] for run in runs}

    def go(run: Order) -> None:
        while len(ends[run.uid]) < PATIENCE:
            ends[run.uid].append(gone_on(run, lambda number: None))
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
        assert {each["error"] for each in ends[run.uid][:-1]} <= {"JournalError"}
        assert books(service, run.uid) == (ROUNDS, 0)
        with Journal(url) as journal:
            assert all(row.ended_at is not None for row in journal.sessions(run.uid))


@pytest.mark.slow
def test_two_processes_that_want_one_run_of_a_shared_database_do_it_once(
    service: Emulator, server: Server, tmp_path: Path
) -> None:
    run = order(service, new_database(server), tmp_path)
    found: list[dict[str, Any]] = []

    def second(number: int) -> None:
        if number == 2:
            found.append(gone_on(Order(run.url, run.connection, run.uid, tmp_path / "second.json")))

    first = gone_on(run, second)
    assert [each.get("error") for each in found] == ["RunBusy"]
    assert len(first["measured"]) == ROUNDS
    assert books(service, run.uid) == (ROUNDS, 0)
