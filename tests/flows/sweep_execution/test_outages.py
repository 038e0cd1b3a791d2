"""A sweep through outages of Prefect's server, its database and the journal's: each point once, no attempt lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings

from hybridloop.flows.algorithms import vqe
from hybridloop.flows.in_prefect.process_reuse import SWEEP_TAG
from hybridloop.flows.sweep import sweep
from hybridloop.flows.sweep_execution.scheduler import SweepProgress
from hybridloop.flows.sweep_execution.spec import SweepSpec
from hybridloop.journal import open_journal
from tests.database_helpers import prefect_on
from tests.deployments.worker_helpers import of_hybridloop, place_for, worker
from tests.flow_calls import call_flow
from tests.journal.postgresql_helpers import new_database, running_server
from tests.long_form import long_form, short_or_long
from tests.prefect_server import prefect_client, send_what_is_pending
from tests.server_share import ServerShare
from tests.sweep_helpers import check_sessions, check_table

POINTS, OUTAGE_S = 10, short_or_long(8.0, 60.0)
ATTEMPTS = 1  # an outage that took one would lose a point
AT = (2, 4, 6)  # numbers of points that have ended when an outage begins

pytestmark = [pytest.mark.slow, long_form]


def test_outages_cost_a_sweep_time_and_neither_a_point_nor_an_attempt(
    share: ServerShare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "hybridloop")
    with ExitStack() as held:
        database, of_journal = held.enter_context(running_server()), held.enter_context(running_server())
        journal = new_database(of_journal)
        monkeypatch.setenv("HYBRIDLOOP_JOURNAL", journal)
        process = held.enter_context(prefect_on(database, tmp_path))
        send_what_is_pending()
        held.enter_context(temporary_settings({PREFECT_API_URL: process.server.api_url}))
        held.callback(send_what_is_pending)
        client = held.enter_context(prefect_client(process.server))
        place = held.enter_context(place_for(process.server, share.deploy(client, vqe), tmp_path, journal))
        command = [*of_hybridloop(share.name), "--limit", "3"]
        running = held.enter_context(worker(place.at.shell.environ, tmp_path, command))
        outages = iter(
            (
                _outage(process.kill, process.start),
                _outage(database.stop, database.start),
                _outage(of_journal.stop, of_journal.start),
            )
        )
        threads = list[threading.Thread]()

        def disturb(progress: SweepProgress) -> None:
            if progress.number in AT:
                threads.append(next(outages))
                threads[-1].start()

        spec = SweepSpec.model_validate(
            {
                "name": "through-outages",
                "algorithm": "vqe",
                "problems": ["h2"],
                "settings": {"shots": 500, "precision": 0.01, "search": "measured"},
                "grid": {"seed": list(range(POINTS))},
                "in_flight": 3,
                "attempts": ATTEMPTS,
                "deployment": f"vqe/{share.name}",
            }
        )
        result = call_flow(sweep, place.at.workspace, spec, on_point=disturb)
        for each in threads:
            each.join()
        assert running.process.is_running()
        assert len(threads) == len(AT)
        assert (result.begun, len(result.rows)) == (POINTS, POINTS)
        check_table(result.rows)
        check_sessions(place.at.workspace, place.service, result.rows)
        found: list[FlowRun] = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[f"{SWEEP_TAG}{spec.name}"]))
        )
        _check_one_at_a_time(found, [str(row["run_key"]) for row in result.rows])
        with open_journal() as opened:
            assert {record.status for record in opened.runs()} <= {"converged", "finished"}
        assert not [line for line in caplog.messages if "attempt 2 of" in line]
        # one that ended while the server was away is Running until housekeeping shows its end
        assert {each.state_name for each in found} <= {"Completed", "Running", "Crashed"}


def _check_one_at_a_time(found: list[FlowRun], keys: list[str]) -> None:
    """Check that a flow run of a point is made after the one before has ended without success, as one may in an outage.

    No point has two that work at once, and none that did its work is followed by another.
    """
    of_point: dict[str, list[FlowRun]] = {key: [] for key in keys}
    for each in sorted(found, key=lambda each: 0.0 if each.created is None else each.created.timestamp()):
        of_point[each.parameters["run_key"]].append(each)
    for flow_runs in of_point.values():
        assert flow_runs[-1].state_name in ("Completed", "Running")
        for earlier, later in pairwise(flow_runs):
            assert earlier.state is not None
            assert earlier.state.is_crashed()
            assert later.created is not None
            assert earlier.state.timestamp <= later.created


def _outage(stop: Callable[[], Any], start: Callable[[], Any]) -> threading.Thread:
    def do() -> None:
        stop()
        threading.Event().wait(OUTAGE_S)
        start()

    return threading.Thread(target=do)
