"""A sweep on two workers, of which one is killed with its runs; in the long form the database restarts, too.

The short form has few points on the tests' own Prefect server. The long form (`make soak`) is an H2 curve of forty
points, with Prefect and the journal on PostgreSQL, first with nothing in its way.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.settings import PREFECT_API_URL, temporary_settings

from hybridloop.flows.algorithms import vqe
from hybridloop.flows.in_prefect.process_reuse import PROCESS_LABEL, SWEEP_TAG
from hybridloop.flows.rescue.delivery import OWN_S, deliver_ends
from hybridloop.flows.sweep import sweep
from hybridloop.flows.sweep_execution.results import SweepResult
from hybridloop.flows.sweep_execution.scheduler import SweepProgress
from hybridloop.flows.sweep_execution.spec import SweepSpec
from hybridloop.journal import open_journal
from hybridloop.local_stack import PrefectServer
from hybridloop.local_stack.processes import wait_until
from tests.cli.shell_helpers import connection_string
from tests.conftest import Emulator
from tests.flow_calls import call_flow
from tests.forked_processes import ForkedPython
from tests.hydrogen_helpers import h2_fcidump
from tests.long_form import IS_LONG, long_form, long_only, short_or_long
from tests.prefect_server import prefect_client, send_what_is_pending
from tests.server_share import ServerShare
from tests.sweep_helpers import check_sessions, check_table
from tests.waiting import PATIENCE_S, eventually

POINTS, LIMIT, WORKERS = short_or_long(8, 40), short_or_long(2, 3), 2
IN_FLIGHT = LIMIT + 1  # one run waits for its slot
KILLED_AT, RESTARTED_AT = short_or_long(2, 10), 20
PREFERRED_S = 15.0
WORKER = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("prefect", run_name="__main__")
"""

pytestmark = [pytest.mark.slow, long_form]


@dataclass
class WorkerFarm:
    """Surroundings of a sweep: a Prefect server, a journal, and workers that a test may kill."""

    pool: str
    deployment: UUID
    environ: Mapping[str, str]
    folder: Path
    workers: list[ForkedPython] = field(default_factory=list)

    def start_worker(self) -> None:
        """Start one more worker, which leads a process group."""
        number = len(self.workers)
        command = [sys.executable, "-c", WORKER, "worker", "start", "--pool", self.pool, "--name", f"worker-{number}"]
        with (self.folder / f"worker-{number}.log").open("wb") as log:
            self.workers.append(
                ForkedPython(
                    command,
                    env=dict(self.environ),
                    cwd=self.folder,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def kill_one_with_runs(self, server: PrefectServer) -> int:
        """Kill a worker with its runs while a run of it is in the journal; return the number of runs.

        Preferably while none is starting: the end of a process that has announced nothing is only detected after
        minutes, as is that of a worker which has taken a flow run without a process. One worker may have all runs while
        the other one still starts.
        """
        leaders = [psutil.Process(worker.pid) for worker in self.workers]
        found: list[tuple[psutil.Process, int]] = []
        announced: set[int] = set()

        def is_one_at_work(*, wholly: bool) -> bool:
            held = {record.owner.pid for record in journal.runs_by_status({"created", "running"}) if record.owner}
            announced.update(held)
            for leader in leaders:
                runs = {child.pid for child in leader.children()}
                is_calm = runs <= announced and not client.read_flow_runs(flow_run_filter=pending)
                if at_work := runs & held if not wholly or is_calm else set():
                    found.append((leader, len(at_work)))
                    return True
            return False

        pending = FlowRunFilter(  # of this farm alone: other tests leave flow runs pending on the server
            deployment_id=FlowRunFilterDeploymentId(any_=[self.deployment]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PENDING])),
        )
        with open_journal() as journal, prefect_client(server) as client:
            for wholly, within_s in ((True, PREFERRED_S), (False, PATIENCE_S)):
                if wait_until(partial(is_one_at_work, wholly=wholly), within_s=within_s, poll_s=0.05):
                    break
            else:
                return 0
        ((leader, at_work),) = found
        gone = [leader, *leader.children(recursive=True)]
        for process in gone:
            process.kill()
        psutil.wait_procs(gone)
        return at_work

    def stop_workers(self) -> None:
        """End all workers, in order where they live."""
        for worker in self.workers:
            worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            try:
                worker.wait(PATIENCE_S)
            finally:
                if worker.poll() is None:
                    worker.kill()


@contextmanager
def farm(
    client: SyncPrefectClient, share: ServerShare, environ: Mapping[str, str], folder: Path
) -> Iterator[WorkerFarm]:
    """Deploy the flow, and hold workers until the block ends."""
    deployment = share.deploy(client, vqe)
    polling = {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_WORKER_HEARTBEAT_SECONDS": "5"}
    found = WorkerFarm(share.name, deployment, {**environ, **polling}, folder)
    try:
        for _ in range(WORKERS):
            found.start_worker()
        eventually(lambda: len(client.read_workers_for_work_pool(share.name)) == WORKERS, poll_s=0.2)
        yield found
    finally:
        found.stop_workers()


def molecules() -> list[dict[str, str]]:
    """Return H2 at distances from 0.5 to 2.4 Å, as texts."""
    return [
        {"name": f"h2-{length:.3f}", "text": h2_fcidump(length)} for length in np.linspace(0.5, 2.4, POINTS).tolist()
    ]


@dataclass(frozen=True, slots=True)
class SweepResults:
    """Results of a sweep during which a worker with `killed` runs died; in the long form of an undisturbed one, too."""

    calm: SweepResult | None
    result: SweepResult
    again: SweepResult
    killed: int
    workspace: Any
    flow_runs: list[FlowRun]

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        """Return the rows of both sweeps."""
        return [*(self.calm.rows if self.calm else ()), *self.result.rows]


@pytest.fixture(scope="module")
def swept(
    request: pytest.FixtureRequest, share: ServerShare, emulator: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SweepResults]:
    folder = tmp_path_factory.mktemp("farm")
    with ExitStack() as held:
        if IS_LONG:
            from tests.database_helpers import on_postgresql

            server, restart = held.enter_context(on_postgresql(folder))
        else:
            server, restart = request.getfixturevalue("prefect_server"), lambda: None
        yield _swept(held, server, share, restart, emulator, folder)


def _swept(
    held: ExitStack, server: PrefectServer, share: ServerShare, restart: Any, emulator: Emulator, folder: Path
) -> SweepResults:
    workspace = emulator.workspace("farm")
    text = connection_string(emulator.endpoint, emulator.api_key, "farm")
    environ = {**os.environ, **server.environment, "AZURE_QUANTUM_CONNECTION_STRING": text}
    send_what_is_pending()
    held.enter_context(temporary_settings({PREFECT_API_URL: server.api_url}))
    held.callback(send_what_is_pending)
    client = held.enter_context(prefect_client(server))
    workers = held.enter_context(farm(client, share, environ, folder))
    killed = list[int]()

    def kill() -> None:
        killed.append(workers.kill_one_with_runs(server))
        workers.start_worker()

    killing = threading.Thread(target=kill)

    def disturb(progress: SweepProgress) -> None:
        if progress.number == KILLED_AT:
            killing.start()
        if progress.number == RESTARTED_AT:
            restart()

    spec = SweepSpec.model_validate(
        {
            "name": "farmed",
            "algorithm": "vqe",
            "problems": molecules(),
            "settings": {"shots": 500, "precision": 0.005, "seed": 7},
            "max_sessions": LIMIT,
            "in_flight": IN_FLIGHT,
            "deployment": f"vqe/{share.name}",
        }
    )
    calm = None
    if IS_LONG:
        calm = call_flow(sweep, workspace, spec.model_copy(update={"name": "calm"}))
    result = call_flow(sweep, workspace, spec, on_point=disturb)
    killing.join()
    again = call_flow(sweep, workspace, spec)
    tagged = FlowRunFilter(tags=FlowRunFilterTags(all_=[f"{SWEEP_TAG}{spec.name}"]))
    flow_runs = list[FlowRun]()

    def are_all_shown() -> bool:
        """Return whether Prefect shows each end.

        Where its server is too busy, a sweep takes ends from the journal; and a process that is killed at its end has
        told the journal alone, so that a housekeeping tells the server.
        """
        with open_journal() as journal:
            deliver_ends(journal, client, now=time.time() + OWN_S)
        flow_runs[:] = client.read_flow_runs(flow_run_filter=tagged)
        return len(_completed(flow_runs)) >= len(result.rows)

    wait_until(are_all_shown, PATIENCE_S)
    return SweepResults(calm, result, again, sum(killed), workspace, flow_runs)


def _completed(flow_runs: Sequence[FlowRun]) -> list[FlowRun]:
    return [flow_run for flow_run in flow_runs if flow_run.state_name in {"Completed", "Finished"}]


def test_every_point_has_its_value_although_a_worker_was_killed(swept: SweepResults) -> None:
    assert swept.killed >= 1
    assert (swept.result.begun, len(swept.result.rows)) == (POINTS, POINTS)
    check_table(swept.rows)


def test_the_limit_of_open_sessions_holds_and_no_job_is_paid_twice(swept: SweepResults, emulator: Emulator) -> None:
    assert check_sessions(swept.workspace, emulator, swept.rows) <= LIMIT


def test_a_process_runs_several_points_each_in_its_own_flow_run(swept: SweepResults) -> None:
    completed = _completed(swept.flow_runs)
    assert sorted(flow_run.parameters["run_key"] for flow_run in completed) == sorted(
        row["run_key"] for row in swept.result.rows
    )
    processes = [flow_run.labels[PROCESS_LABEL] for flow_run in completed if PROCESS_LABEL in flow_run.labels]
    assert len(set(processes)) < len(processes), [flow_run.labels for flow_run in completed]


@long_only
def test_the_table_equals_that_of_an_undisturbed_sweep(swept: SweepResults) -> None:
    assert swept.calm is not None
    measured = ("problem", "status", "value", "standard_error", "rounds", "total_shots")
    disturbed, calm = ([[row[name] for name in measured] for row in each.rows] for each in (swept.result, swept.calm))
    assert disturbed == calm


def test_a_completed_sweep_started_again_runs_nothing(swept: SweepResults) -> None:
    assert (swept.again.begun, swept.again.rows) == (0, swept.result.rows)


def test_the_plot_has_the_measured_and_the_exact_curve(swept: SweepResults) -> None:
    (axes,) = swept.result.plot().axes
    (exact,) = [line for line in axes.lines if line.get_label() == "exact"]
    assert axes.get_xlabel() == "number after h2"
    drawn = dict(zip(exact.get_xdata(), exact.get_ydata(), strict=True))
    for row in swept.result.rows:
        assert drawn[float(row["problem"].partition("-")[2])] == pytest.approx(row["exact"], abs=1e-9)
    assert len(drawn) == POINTS  # these have no geometries between them
