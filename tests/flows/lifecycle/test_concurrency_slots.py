"""Slots of a Prefect concurrency limit: never more holders than slots; a dead run's slot and session are recovered."""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from azure.quantum.job.session import Session
from httpx import ConnectError
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient

from hybridloop.azure.listing import show_session
from hybridloop.errors import InputError, StopRequested
from hybridloop.flows.in_prefect.concurrency_slots import poll_for_slot, session_slot
from hybridloop.flows.in_prefect.watch import PrefectWatch
from hybridloop.journal import Journal, Owner, SessionRow, journal_url
from hybridloop.journal.held_run import HeldRun, hold_run, new_run
from hybridloop.local_stack import PrefectServer
from hybridloop.tasks.submission.job_ids import session_id
from tests.clock_helpers import ManualClock
from tests.conftest import Emulator
from tests.prefect_server import prefect_client
from tests.waiting import PATIENCE_S

TARGET = "rigetti.sim.qvm"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with closing(Journal(journal_url(tmp_path / "journal.db"))) as opened:
        yield opened


@pytest.fixture
def limit(prefect_server: PrefectServer) -> Iterator[str]:
    """Create a limit of one slot."""
    name = f"sessions of {uuid.uuid4()}"
    with prefect_client(prefect_server) as client:
        client.upsert_global_concurrency_limit_by_name(name, 1)
        yield name
        assert client.read_global_concurrency_limit_by_name(name).active_slots == 0


def added(journal: Journal) -> str:
    uid = str(uuid.uuid4())
    journal.add_run(new_run(uid, key=uid, algorithm="session", problem="", target=TARGET, seed=1))
    return uid


def in_a_flow(body: Any) -> Any:
    """Call the body inside a flow run, whose id is the slot's holder; return its result."""
    return flow(name="slots", persist_result=False)(body)()


def held(limit: str | None, run: HeldRun, workspace: Any = None) -> Any:
    return session_slot(limit, run, workspace, PrefectWatch())


def test_a_missing_limit_is_named(journal: Journal, prefect_server: PrefectServer) -> None:
    def body() -> None:
        with hold_run(journal, added(journal)) as run, held("no such limit", run):
            raise AssertionError("it was let in")

    with pytest.raises(InputError, match="prefect gcl create 'no such limit'"):
        in_a_flow(body)


def test_a_slot_is_free_only_after_its_holder_leaves(journal: Journal, limit: str) -> None:
    entered = threading.Event()

    def body() -> None:
        with hold_run(journal, added(journal)) as one, hold_run(journal, added(journal)) as other:

            def enter() -> None:
                with held(limit, other):
                    entered.set()

            waiting = threading.Thread(target=copy_context().run, args=(enter,), daemon=True)
            with held(limit, one):
                waiting.start()
                assert not entered.wait(1.0)
            waiting.join(PATIENCE_S)

    in_a_flow(body)
    assert entered.is_set()


def test_a_run_that_waits_for_a_slot_can_be_stopped(journal: Journal, limit: str) -> None:
    def body() -> None:
        with hold_run(journal, added(journal)) as one, hold_run(journal, added(journal), renew_every_s=0.1) as other:
            with held(limit, one):
                threading.Timer(0.5, lambda: journal.request_stop(other.uid)).start()
                with held(limit, other):
                    raise AssertionError("there was one slot for two")

    with pytest.raises(StopRequested):
        in_a_flow(body)


def test_a_wait_for_a_slot_fails_once_the_server_has_been_away_for_five_minutes() -> None:
    clock, stopped, answers = ManualClock(), threading.Event(), list[float]()
    began = clock.now()

    def acquire() -> None:
        if clock.now() < began + 400.0:  # all slots are held
            answers.append(clock.now())
            return
        if clock.now() > began + 1000.0:
            stopped.set()
        raise ConnectError("connection refused")

    with pytest.raises(ConnectError):
        poll_for_slot(acquire, stopped, clock)
    assert 300.0 < clock.now() - answers[-1] < 310.0


def test_a_resume_with_another_limit_holds_a_slot_of_that_limit_and_the_next_process_takes_over_the_first(
    journal: Journal, limit: str, prefect_server: PrefectServer
) -> None:
    uid = added(journal)

    def body(client: SyncPrefectClient, other: str) -> None:
        with hold_run(journal, uid) as first:
            lost = held(limit, first)
            lost.__enter__()  # never released, as by a killed process
        with hold_run(journal, uid) as second, held(other, second):
            assert client.read_global_concurrency_limit_by_name(other).active_slots == 1
        with hold_run(journal, uid) as third, held(limit, third):
            pass  # the first limit's slot is taken over and released

    with prefect_client(prefect_server) as client:
        other = f"{limit}, the other"
        client.upsert_global_concurrency_limit_by_name(other, 1)
        in_a_flow(lambda: body(client, other))


def test_a_run_with_a_slot_closes_sessions_that_dead_runs_left_open_also_beside_a_damaged_one(
    journal: Journal, limit: str, emulator: Emulator, tmp_path: Path
) -> None:
    workspace = emulator.workspace("slots")
    dead, living, rotten = (added(journal) for _ in range(3))
    of_dead, of_living, _ = (
        left_open(journal, workspace, uid, now) for uid, now in ((dead, 0.0), (living, time.time()), (rotten, 0.0))
    )
    lease = journal.take_lease(rotten, now=100.0)
    journal.add_session(lease, SessionRow(1, session_id(rotten, 1), TARGET, "Waiting", "", 0.0))
    journal.release(lease)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as database, database:
        database.execute("UPDATE sessions SET reason = 'x' WHERE run_uid = ? AND ordinal = 1", (rotten,))

    def body() -> None:
        with hold_run(journal, added(journal)) as run, held(limit, run, workspace):
            assert show_session(workspace, of_dead)["status"] == "Succeeded"
            assert show_session(workspace, of_living)["status"] == "Waiting"

    in_a_flow(body)
    assert journal.run(dead).status == "interrupted"


def left_open(journal: Journal, workspace: Any, uid: str, now: float) -> str:
    """Return the id of a session of a run that a remote process has held since then; the lease lasts a minute."""
    owner = Owner(host="elsewhere", boot_id="", pid=1, started_at=0.0, token=uid)
    lease = journal.take_lease(uid, now=now, owner=owner)
    journal.set_status(lease, "running", "")
    session = session_id(uid, 0)
    journal.add_session(lease, SessionRow(0, session, TARGET, "Waiting", "", now))
    workspace.open_session(Session(workspace, id=session, name="left", target=TARGET, provider_id="rigetti"))
    return session
