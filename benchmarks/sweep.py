"""Cost of a sweep of a thousand points in its leading process, and the time of a thousand trivial points.

First the runs are replaced by a no-op, which writes a result into the journal and ends: once in processes of this
machine, once as flow runs of a deployment whose workers are replaced by a stand-in. The rest is the sweep's own work:
its CPU time per point, and its memory. Then real trivial runs are made, on the local service with the local stack.
Last, one worker runs short points twice: in a process each, and in processes that take one point after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.bounds import Bound, Side, conclude, machine
from benchmarks.local import WORKSPACE, local_service
from hybridloop import local_stack as stack
from hybridloop.flows.sweep_execution.spec import SweepSpec, points_of
from hybridloop.journal import Journal, open_journal
from hybridloop.journal.held_run import new_run
from hybridloop.runtime.signals import exit_on_sigterm
from hybridloop.settings import ProblemText

POINTS, QUICK = 1000, 100
SHORT_POINTS, QUICK_SHORT_POINTS = 48, 24  # in reused processes; a third of them otherwise, at a constant pace
CPU_LIMIT_MS, GROWTH_LIMIT_MB, REAL_LIMIT_S = 50.0, 20.0, 600.0
HERE = {"name": "nowhere"}
RESULT = {"value": -1.1, "standard_error": 1e-3, "exact": -1.1, "error": 0.0, "reference": -1.0, "rounds": 3}
DONE = {**RESULT, "jobs": {"total": 9}, "shots": 900, "costs": {}, "sessions": [], "wall_seconds": 0.0}
AT_ONCE = 8
PROCESSES = 4  # of the worker at once
PACE_LIMIT, MEMORY_LIMIT = 3.0, 1.2  # ratios: of the points a minute, of the memory
POOL = "one-worker"
WORKER = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("prefect", run_name="__main__")
"""


def spec_of(points: int, name: str) -> SweepSpec:
    """Return a sweep over seeds with one job per point: QAOA at fixed angles, on 8 qubits."""
    return SweepSpec(
        name=name,
        algorithm="qaoa",
        problems=(ProblemText(name="ring-8"),),
        settings={"shots": 100},
        grid={"seed": list(range(points))},
    )


def end_at_once(journal: Journal, order: Mapping[str, Any]) -> None:
    """Write a run with a result without measuring anything: the no-op."""
    seed, key = order["settings"]["seed"], order["run_key"]
    described = {"problem": order["problem"], "settings": order["settings"], "workspace": HERE}
    begun = new_run(
        str(uuid.uuid4()), key=key, algorithm="qaoa", problem="ring-8", target="none", seed=seed, settings=described
    )
    lease = journal.take_lease(journal.add_run(begun).uid)
    journal.set_status(lease, "converged", "nothing was done", DONE)
    journal.release(lease)


def point_process() -> int:
    """Stand-in for a process that runs points."""
    sys.stdin.readline()  # the configuration
    with open_journal() as journal:
        for line in sys.stdin:
            end_at_once(journal, json.loads(line))
            print("{}", flush=True)
    return 0


def worker(deployment: str) -> int:
    """Stand-in for a deployment's workers: takes its flow runs and ends them."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        DeploymentFilter,
        DeploymentFilterId,
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.states import Completed

    waiting = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])))
    ours = DeploymentFilter(id=DeploymentFilterId(any_=[uuid.UUID(deployment)]))
    with open_journal() as journal, get_client(sync_client=True) as client:
        while True:
            for run in client.read_flow_runs(flow_run_filter=waiting, deployment_filter=ours, limit=50):
                end_at_once(journal, run.parameters)
                client.set_flow_run_state(run.id, Completed(), force=True)
            time.sleep(0.25)


class Meter:
    """Meter of the leading process's CPU time and memory, from the first ended point to the last."""

    def __init__(self) -> None:
        self.memory: list[float] = []
        self._process = psutil.Process()

    def __call__(self, _standing: object) -> None:
        """Record that a point has ended."""
        self.memory.append(self._process.memory_info().rss / 1e6)

    @property
    def growth_mb(self) -> float:
        """Memory growth in MB since a tenth of the points, when all modules are imported."""
        return self.memory[-1] - self.memory[len(self.memory) // 10]


def led(points: int, name: str, execution: Any) -> list[Bound]:
    """Run a sweep whose points are no-ops."""
    from hybridloop.flows.sweep_execution.scheduler import run_points

    meter = Meter()
    with open_journal() as journal:
        cpu, began = time.process_time(), time.perf_counter()
        rows, _ = run_points(
            points_of(spec_of(points, name)), execution(journal), journal, HERE, attempts=1, on_point=meter
        )
        cpu, wall = time.process_time() - cpu, time.perf_counter() - began
    if any(row["status"] != "converged" for row in rows) or len(rows) != points:
        raise RuntimeError(f"{name}: of {points} points {rows[:1]} …")
    print(f"{name:<10} {points} no-ops in {wall:.1f} s, at most {AT_ONCE} at once, {meter.memory[-1]:.0f} MB")
    return [
        Bound(f"{name}: CPU of the leading process, a point", 1e3 * cpu / points, Side.AT_MOST, CPU_LIMIT_MS, "ms"),
        Bound(f"{name}: growth of its memory", meter.growth_mb, Side.AT_MOST, GROWTH_LIMIT_MB, "MB"),
    ]


def in_processes(points: int) -> list[Bound]:
    """Measure points in processes of this machine."""
    from hybridloop.flows.sweep_execution.process_pool import ProcessPool

    command = (sys.executable, "-m", "benchmarks.sweep", "--point-process")
    pool = ProcessPool(2, os.environ, {}, command)
    try:
        return led(points, "processes", lambda _: pool)
    finally:
        pool.close()


def on_workers(points: int) -> list[Bound]:
    """Measure points as flow runs of a deployment."""
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.context import SyncClientContext

    from hybridloop.flows.algorithms import qaoa
    from hybridloop.flows.deploying.deployments import Deployment
    from hybridloop.flows.sweep_execution.deployment_pool import DeploymentPool

    with SyncClientContext.get_or_create() as context:  # the state inside a flow
        client = context.client
        client.create_work_pool(WorkPoolCreate(name="nobody", type="process"))
        deployment = client.create_deployment(client.create_flow(qaoa), "swept", work_pool_name="nobody", pull_steps=[])
        command = [sys.executable, "-m", "benchmarks.sweep", "--worker", str(deployment)]
        with subprocess.Popen(command) as process:
            try:
                asked = Deployment(deployment, "qaoa/swept", 1)
                return led(
                    points,
                    "workers",
                    lambda journal: DeploymentPool(client, asked, journal, HERE, size=AT_ONCE, tags=["sweep:workers"]),
                )
            finally:
                process.kill()


def real(points: int) -> list[Bound]:
    """Measure real trivial runs on the local service, each with its own session."""
    import hybridloop as hl

    with local_service() as service:
        result = hl.sweep(spec_of(points, "real"), workspace=service.workspace(WORKSPACE), deployment="none")
        sessions = service.admin("ledger?top=1")["duplicates"]["count"]
    if not result.is_complete or sessions:
        raise RuntimeError(f"{result.counts}, {sessions} duplicates")
    print(f"real       {points} trivial runs in {result.wall_seconds:.1f} s, by {os.cpu_count()} processes")
    whole = result.wall_seconds * POINTS / points
    return [Bound(f"{POINTS} trivial runs on this machine", whole, Side.AT_MOST, REAL_LIMIT_S, "s")]


class WorkerMemory(threading.Thread):
    """Sampler of the memory of a worker's processes: `peak_mb` is the maximum of their sum, the worker's left out."""

    def __init__(self, worker: int) -> None:
        super().__init__(daemon=True)
        self.peak_mb, self.most = 0.0, 0
        self._worker, self._ended = psutil.Process(worker), threading.Event()

    def run(self) -> None:
        """Sample until the block ends."""
        while not self._ended.wait(0.2):
            sizes = []
            for process in self._worker.children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    sizes.append(process.memory_info().rss / 1e6)
            self.peak_mb, self.most = max(self.peak_mb, sum(sizes)), max(self.most, len(sizes))

    def __enter__(self) -> WorkerMemory:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


@contextmanager
def one_worker(client: Any, workspace: Any) -> Iterator[tuple[int, Any]]:
    """Hold one worker with at most `PROCESSES` runs, and a deployment of VQE; yield its process id and the latter."""
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.workers.process import ProcessWorker

    from hybridloop.azure.workspace import connection_string_of
    from hybridloop.flows.algorithms import vqe
    from hybridloop.flows.deploying.deployments import find_deployment
    from hybridloop.local_stack.processes import wait_until
    from hybridloop.runtime.workspace_variables import CONNECTION_VARIABLE

    template = ProcessWorker.get_default_base_job_template()
    client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template))
    client.create_deployment(
        client.create_flow(vqe),
        "short",
        entrypoint="hybridloop.flows.algorithms.vqe",
        work_pool_name=POOL,
        pull_steps=[],
    )
    command = [sys.executable, "-c", WORKER, "worker", "start", "--pool", POOL, "--limit", str(PROCESSES)]
    environ = {**os.environ, CONNECTION_VARIABLE: connection_string_of(workspace)}
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, env=environ, stdout=log, stderr=log) as process:
        try:
            if not wait_until(lambda: client.read_workers_for_work_pool(POOL), within_s=120.0, poll_s=0.5):
                raise RuntimeError("the worker did not start")
            yield process.pid, find_deployment(client, "vqe", "vqe/short")
        finally:
            for child in psutil.Process(process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.kill()
            process.kill()


def in_reused_processes(points: int) -> list[Bound]:
    """Measure short points on one worker: with the tag of a sweep its processes are reused, without it they are not."""
    from prefect.client.orchestration import get_client

    from hybridloop.azure.workspace import identity_of
    from hybridloop.flows.in_prefect.process_reuse import SWEEP_TAG
    from hybridloop.flows.sweep_execution.deployment_pool import DeploymentPool
    from hybridloop.flows.sweep_execution.scheduler import run_points

    paces, peaks = list[float](), list[float]()
    with local_service() as service, get_client(sync_client=True) as client, open_journal() as journal:
        workspace = service.workspace(WORKSPACE)
        identity = identity_of(workspace)
        with one_worker(client, workspace) as (worker, deployment):
            for name, tag, count in (("once", "single points", points // 3), ("reused", f"{SWEEP_TAG}reused", points)):
                spec = SweepSpec(
                    name=name,
                    algorithm="vqe",
                    problems=(ProblemText(name="h2"),),
                    settings={"shots": 100, "precision": 0.05},
                    grid={"seed": list(range(count))},
                )
                pool = DeploymentPool(client, deployment, journal, identity, size=PROCESSES, tags=[tag])
                with WorkerMemory(worker) as memory:
                    began = time.perf_counter()
                    rows, _ = run_points(points_of(spec), pool, journal, identity, attempts=3, on_point=lambda _: None)
                    minutes = (time.perf_counter() - began) / 60
                if any(row["value"] is None for row in rows):
                    raise RuntimeError(f"{name}: {[row for row in rows if row['value'] is None][:1]} …")
                paces.append(count / minutes)
                peaks.append(memory.peak_mb)
                print(
                    f"{name:<10} {count} points of H2 in {60 * minutes:.0f} s on one worker, {count / minutes:.1f} a "
                    f"minute, at most {memory.most} processes with {memory.peak_mb:.0f} MB"
                )
        if service.admin("ledger?top=1")["duplicates"]["count"]:
            raise RuntimeError("a job was paid twice")
    return [
        Bound("points a minute, processes reused / not", paces[1] / paces[0], Side.AT_LEAST, PACE_LIMIT),
        Bound("memory of the processes, reused / not", peaks[1] / peaks[0], Side.AT_MOST, MEMORY_LIMIT),
    ]


@contextmanager
def own_stack() -> Iterator[None]:
    """Hold a local stack with its state in a temporary folder, for this process and its children."""
    with tempfile.TemporaryDirectory() as home:
        foreign = ("PREFECT_", "AZURE_", "HYBRIDLOOP_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(
            {**kept, **stack.QUIET, "HYBRIDLOOP_HOME": home, "PREFECT_PROFILES_PATH": str(Path(home) / "none.toml")}
        )
        try:
            server = stack.ensure_prefect()
            os.environ.update(server.environment)
            with stack.run_flows_on(server):
                yield
        finally:
            _tell_all()
            stack.down()
            os.environ.clear()
            os.environ.update(before)


def _tell_all() -> None:
    """Send this process's flow run logs while the server still runs."""
    from prefect.logging.handlers import APILogHandler

    APILogHandler().flush()


def main() -> int:
    """Measure, print the figures, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} points in place of {POINTS}")
    parser.add_argument("--point-process", type=int, metavar="PARENT", help=argparse.SUPPRESS)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.point_process:
        return point_process()
    if options.worker:
        return worker(options.worker)
    points = QUICK if options.quick else POINTS
    print(f"machine    {machine()}")
    with exit_on_sigterm(), own_stack():
        short = QUICK_SHORT_POINTS if options.quick else SHORT_POINTS
        bounds = [*in_processes(points), *on_workers(points), *real(points), *in_reused_processes(short)]
    return conclude(bounds)


if __name__ == "__main__":
    sys.exit(main())
