"""Soak test: frequent runs on a service of which one call in twenty fails; finds leaks and duplicate jobs.

    python -m benchmarks.soak --minutes 30

A long-lived process, such as a notebook or a user's service, makes one run after the other: QAOA, VQE, a loop of
its own, and parked runs that housekeeping resumes. From five minutes on a process worker runs the same flows, too,
on schedules of less than a minute. At the end all sessions must be closed, each job paid once, and
memory, handles, threads and processes may not have grown since the first quarter.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from benchmarks.bounds import Bound, Side, conclude
from benchmarks.local import local_service
from hybridloop import local_stack as stack
from hybridloop.emulator.pytest_plugin import RESOURCE_GROUP, SUBSCRIPTION, Emulator

FAULTS = {
    "seed": 7,
    "rules": [
        {"fault": "throttled", "every": 25},
        {"fault": "error", "status": 503, "probability": 0.01},
        {"fault": "reset-after-commit", "probability": 0.01},
        {"fault": "answer-dropped", "operation": ["submit", "close", "open"], "probability": 0.03},
        {"fault": "job-fails", "code": "TransientFailure", "probability": 0.05},
    ],
}
QUEUED, QUEUE_S = "rigetti.qpu.cepheus-1-108q", 3.0  # target on which runs are parked
WORKER_FROM_MINUTES = 5.0
MIN_SAMPLES = 20  # samples: with fewer, growth cannot be judged
ACTIONS = 5  # runs of one turn of `_actions`; it stops at the end of a turn, so that parked runs are resumed
NOT_OVER = frozenset({"created", "running", "parked", "interrupted"})
ENDED = frozenset({"Succeeded", "Failed", "TimedOut"})
MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Sample:
    """Memory, handles and threads of a process at one moment."""

    megabytes: float
    handles: int
    threads: int

    @classmethod
    def of(cls, process: psutil.Process) -> Sample:
        """Sample the process now."""
        with process.oneshot():
            return cls(process.memory_info().rss / MEGABYTE, process.num_fds(), process.num_threads())


@dataclass(slots=True)
class SoakFigures:
    """Figures of a whole soak."""

    runs: int
    failed: int
    series: dict[str, list[Sample]]
    open_sessions: int
    duplicates: int
    jobs: int
    faults: int
    running_flow_runs: int
    left_processes: int
    by_schedule: int
    unfinished: int

    def bounds(self) -> list[Bound]:
        """Return the figures with their bounds."""
        figures = [
            Bound("runs", self.runs, Side.AT_LEAST, 3),
            Bound("runs that failed, of 100", 100.0 * self.failed / max(1, self.runs), Side.AT_MOST, 5),
            Bound("faults that were met", self.faults, Side.AT_LEAST, 1),
            Bound("sessions left open", self.open_sessions, Side.AT_MOST, 0),
            Bound("jobs paid twice", self.duplicates, Side.AT_MOST, 0),
            Bound("flow runs left running", self.running_flow_runs, Side.AT_MOST, 0),
            Bound("runs left unfinished", self.unfinished, Side.AT_MOST, 0),
            Bound("processes left", self.left_processes, Side.AT_MOST, 0),
        ]
        if "worker" in self.series:
            figures.append(Bound("runs by schedule", self.by_schedule, Side.AT_LEAST, 1))
        for name, samples in self.series.items():
            if len(samples) < MIN_SAMPLES:
                continue
            grown = growth(samples)
            allowed_megabytes = max(40.0, 0.2 * samples[0].megabytes)
            figures.append(Bound(f"{name}: memory grown", grown.megabytes, Side.AT_MOST, allowed_megabytes, "MB"))
            figures.append(Bound(f"{name}: handles grown", grown.handles, Side.AT_MOST, 10))
            figures.append(Bound(f"{name}: threads grown", grown.threads, Side.AT_MOST, 6))
        return figures


def growth(samples: Sequence[Sample]) -> Sample:
    """Return the growth of the medians from the second quarter of the samples to the last."""
    quarter = max(1, len(samples) // 4)
    early, late = samples[quarter : 2 * quarter] or samples[:1], samples[-quarter:]
    return Sample(
        *(
            statistics.median(getattr(sample, name) for sample in late)
            - statistics.median(getattr(sample, name) for sample in early)
            for name in ("megabytes", "handles", "threads")
        )
    )


def run_soak(seconds: float, folder: Path, *, with_worker: bool) -> SoakFigures:
    """Make runs in this process for so many seconds, with state in the folder; return the figures."""
    os.environ |= {"HYBRIDLOOP_HOME": str(folder), "HYBRIDLOOP_JOURNAL": f"sqlite:///{folder}/journal.db"}
    with ExitStack() as held:
        service = held.enter_context(local_service(folder / "service"))  # in memory it keeps all jobs
        held.callback(stack.down, os.environ)
        os.environ["AZURE_QUANTUM_CONNECTION_STRING"] = connection(service)
        server = stack.ensure_prefect()
        os.environ.update(server.environment)
        service.admin("targets", {QUEUED: {"queue_s": QUEUE_S}})
        service.admin("faults", FAULTS)
        watched = {"runs' process": psutil.Process(), "service": psutil.Process(service.process.pid)}
        watched["Prefect's server"] = psutil.Process(stack.status().components[0].pid)
        if with_worker:
            from benchmarks.soak_worker import scheduled

            watched["worker"] = psutil.Process(held.enter_context(scheduled(server.api_url, folder)))
        return _counted(seconds, service, server.api_url, watched)


def _counted(seconds: float, service: Emulator, api_url: str, watched: dict[str, psutil.Process]) -> SoakFigures:
    from hybridloop.api.environment import default_workspace
    from hybridloop.errors import HybridloopError

    series: dict[str, list[Sample]] = {name: [] for name in watched}
    runs = failed = 0
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    until = time.monotonic() + seconds
    for number, act in enumerate(_actions(), start=1):
        try:
            act()
        except HybridloopError as error:
            failed += 1
            print(f"a run failed: {error}", file=sys.stderr)
        runs += 1
        for name, process in watched.items():
            series[name].append(_sample(name, process))
        if number % ACTIONS == 0 and time.monotonic() > until:
            break
    faults = service.admin("faults/log")["injected"]
    service.admin("faults", {"rules": []})
    by_schedule = 0
    if "worker" in watched:
        from benchmarks.soak_worker import come_to_rest

        by_schedule = come_to_rest(api_url)
    unfinished = _let_parked_end()
    books = service.admin("ledger?top=1")
    before |= {child.pid for child in watched["service"].children()}  # its simulator starts with the first job
    left = [child for child in psutil.Process().children(recursive=True) if child.pid not in before and _lives(child)]
    return SoakFigures(
        runs,
        failed,
        series,
        sum(session.details.status not in ENDED for session in default_workspace().list_sessions()),
        books["duplicates"]["count"],
        books["jobs"] if isinstance(books.get("jobs"), int) else len(books["entries"]),
        faults,
        _running(api_url),
        len(left),
        by_schedule,
        unfinished,
    )


def _let_parked_end() -> int:
    """Run housekeeping until all runs have ended, for two minutes at most; return how many have not."""
    from hybridloop.api import sweeps as api
    from hybridloop.journal import open_journal

    until = time.monotonic() + 120.0
    while True:
        api.run_housekeeping()
        with open_journal() as journal:
            left = len(journal.runs_by_status(NOT_OVER))
        if not left or time.monotonic() > until:
            return left
        time.sleep(QUEUE_S)


def _actions() -> Iterator[Any]:
    """Yield the runs of the soak in turn, without end."""
    import hybridloop as hl
    from hybridloop.api import sweeps as api

    @hl.session_flow(target="rigetti.sim.qvm")
    def own_loop(session: Any, rounds: int = 3) -> int:
        from qiskit import QuantumCircuit

        circuit = QuantumCircuit(1, 1)
        circuit.x(0)
        circuit.measure(0, 0)
        for _ in range(rounds):
            session.sampler(shots=10).run([circuit]).result()
        return rounds

    seeds = itertools.count()
    while True:
        yield lambda: hl.qaoa("petersen", seed=next(seeds))
        yield lambda: hl.vqe("h2", seed=next(seeds), target="ionq.simulator")
        yield lambda: own_loop()
        yield lambda: hl.qaoa("petersen", seed=next(seeds), target=QUEUED, detach_after=1.0)
        yield api.run_housekeeping


def _running(api_url: str) -> int:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
    from prefect.client.schemas.objects import StateType

    running = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING])))
    with SyncPrefectClient(api_url, auth_string=os.environ.get("PREFECT_API_AUTH_STRING")) as client:
        return len(client.read_flow_runs(flow_run_filter=running))


def _sample(name: str, process: psutil.Process) -> Sample:
    try:
        return Sample.of(process)
    except psutil.NoSuchProcess:
        raise SystemExit(f"{name} ended in the midst of the soak (process {process.pid})") from None


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def connection(service: Emulator) -> str:
    """Return a connection string of the soak's workspace."""
    return (
        f"SubscriptionId={SUBSCRIPTION};ResourceGroupName={RESOURCE_GROUP};WorkspaceName=soak;"
        f"ApiKey={service.api_key};QuantumEndpoint={service.endpoint};"
    )


def main() -> int:
    """Run the soak, print its figures, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    minutes = parser.parse_args().minutes
    with TemporaryDirectory(prefix="hybridloop-soak-") as folder:
        figures = run_soak(60.0 * minutes, Path(folder), with_worker=minutes >= WORKER_FROM_MINUTES)
    print(
        f"{figures.runs} runs here, {figures.by_schedule} by schedule, {figures.jobs} jobs, {figures.faults} faults met"
    )
    for name, samples in figures.series.items():
        first, last = samples[0], samples[-1]
        print(f"{name:<18} {first.megabytes:6.0f} → {last.megabytes:6.0f} MB, {first.handles} → {last.handles} handles")
    return conclude(figures.bounds())


if __name__ == "__main__":
    sys.exit(main())
