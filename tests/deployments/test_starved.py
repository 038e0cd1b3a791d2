"""Housekeeping rescues runs while all slots are taken: a killed run's session is closed, and it is first in line."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, StateType

from hybridloop.flows.algorithms import vqe
from hybridloop.local_stack import PrefectServer, run_flows_on
from tests.database_helpers import on_postgresql
from tests.deployments.worker_helpers import Place, of_hybridloop, place_for, prefects_own, worker
from tests.prefect_server import prefect_client, send_what_is_pending
from tests.server_share import ServerShare
from tests.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.slow
RESUMED = {"seed": 7, "ansatz": "uccsd", "grouping": "qubit-wise", "resume_automatically": "interrupted"}
PROMISED_S = 120.0  # from a death to the rescue


@contextmanager
def on_sqlite(server: PrefectServer, share: ServerShare, folder: Path) -> Iterator[Place]:
    with prefect_client(server) as client:
        deployment = share.deploy(client, vqe)
    with place_for(server, deployment, folder) as held:
        yield held


@contextmanager
def on_postgres(share: ServerShare, folder: Path) -> Iterator[Place]:
    import os

    with on_postgresql(folder) as (server, _), run_flows_on(server):
        with prefect_client(server) as client:
            deployment = share.deploy(client, vqe)
        with place_for(server, deployment, folder, os.environ["HYBRIDLOOP_JOURNAL"]) as held:
            yield held
        send_what_is_pending()


@pytest.mark.parametrize("database", ["SQLite", "PostgreSQL"])
def test_a_killed_run_is_rescued_while_a_long_run_has_the_only_slot(
    database: str, request: pytest.FixtureRequest, share: ServerShare, tmp_path: Path
) -> None:
    with ExitStack() as held:
        if database == "SQLite":
            place = held.enter_context(on_sqlite(request.getfixturevalue("prefect_server"), share, tmp_path))
        else:
            place = held.enter_context(on_postgres(share, tmp_path))
        _starve(place, share, held, tmp_path)


def _starve(place: Place, share: ServerShare, held: ExitStack, folder: Path) -> None:
    """Kill a deployed run with its worker, and one from the command line, beside a worker that is full."""
    place.slow_down(6)
    theirs = held.enter_context(worker(place.at.shell.environ, _new(folder, "theirs"), prefects_own(share.name)))
    killed = _started(place, RESUMED)
    eventually(lambda: place.has_next_round_submitted(killed))
    for process in [theirs.process, *theirs.children()]:
        process.suspend()  # the worker takes none of the runs below
    long = _started(place, {**RESUMED, "resume_automatically": "never"})
    waiting = [_started(place, RESUMED) for _ in range(2)]
    command = [*of_hybridloop(share.name), "--limit", "1"]
    held.enter_context(worker(place.at.shell.environ, _new(folder, "ours"), command))
    eventually(lambda: place.has_measured(long))
    place.slow_down(9)
    alone = place.at.shell.start(
        "run", "vqe", "h2", "--run-key", "alone", "--seed", "7", "--ansatz", "uccsd", "--grouping", "qubit-wise",
        "--resume-automatically", "interrupted",
    )  # fmt: skip
    eventually(lambda: _has_session(place, "alone"))
    began = time.monotonic()
    alone.kill()
    alone.wait(PATIENCE_S)
    for process in [theirs.process, *theirs.children()]:
        process.kill()
    of_alone = place.journal.run("alone").epoch
    eventually(lambda: place.is_closed(killed) and place.state(killed).type is StateType.SCHEDULED)
    eventually(lambda: place.journal.run("alone").epoch > of_alone)
    rescued_s = time.monotonic() - began
    # what took so long is the load of the machine: a lease, a look, and the requests of one look
    assert place.state(long).type is StateType.RUNNING
    assert {place.state(each).type for each in waiting} == {StateType.SCHEDULED}
    line = sorted([killed, *waiting], key=lambda run: _due(place.client, run.id))
    assert line[0].id == killed.id
    place.slow_down(0)
    eventually(lambda: place.state(killed).type is StateType.COMPLETED)
    assert rescued_s < PATIENCE_S
    eventually(lambda: place.journal.run("alone").status == "converged")
    result = place.record(killed).result
    assert result is not None
    assert result["value"] == place.journal.run("alone").result["value"]  # type: ignore[index]
    print(f"rescued {rescued_s:.0f} s after the death")


def _new(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


def _started(place: Place, settings: dict[str, Any]) -> FlowRun:
    parameters = {"problem": {"name": "h2"}, "settings": settings}
    return place.client.create_flow_run_from_deployment(place.deployment, parameters=parameters)


def _has_session(place: Place, key: str) -> bool:
    record = place.journal.run_by_key(key)
    return record is not None and any(row.ended_at is None for row in place.journal.sessions(record.uid))


def _due(client: SyncPrefectClient, flow_run: UUID) -> str:
    state = client.read_flow_run(flow_run).state
    assert state is not None
    return str(state.state_details.scheduled_time)
