"""A round in flight: its jobs are submitted side by side, watched by one list a tick, and collected as they end."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from hybridloop.algorithms.rounds import Counts, Measured
from hybridloop.errors import JobFailed, RunStopped
from hybridloop.sessions.clock import Clock
from hybridloop.sessions.jobs import SUCCEEDED, TERMINAL, JobSpec
from hybridloop.sessions.places import RoundPlace
from hybridloop.sessions.programs import Program
from hybridloop.sessions.results import UnreadableResult, merge_counts, read_results_v2, spread
from hybridloop.sessions.service import Service
from hybridloop.sessions.targets import Target
from hybridloop.sessions.workers import Workers

_FOREVER_S = 3600.0


@dataclass(slots=True)
class _Job:
    spec: JobSpec
    container: str = ""
    collecting: bool = False
    counts: Counts | None = None


_CREDITS = {"hqc": "HQC", "ehqc": "eHQC"}  # Quantinuum's, which the service counts beside a total of 0 USD


class Bill:
    """What the service says that the ended jobs cost, in the units that their providers bill: money or credits."""

    def __init__(self) -> None:
        self._total: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    def add(self, estimate: Mapping[str, Any] | None) -> None:
        """Add a job's cost estimate; the service states none for failed and old jobs, and may leave its fields null."""
        stated = estimate or {}
        charges: list[tuple[object, object]] = [
            (_CREDITS[line["dimensionId"]], line.get("amountBilled"))
            for line in stated.get("events") or ()
            if line.get("dimensionId") in _CREDITS
        ]
        for unit, amount in charges or [(stated.get("currencyCode"), stated.get("estimatedTotal"))]:
            if isinstance(unit, str) and isinstance(amount, int | float):
                with self._lock:
                    self._total[unit] += amount

    def total(self) -> dict[str, float]:
        """The amounts so far."""
        with self._lock:
            return dict(self._total)


@dataclass(frozen=True, slots=True)
class Connection:
    """What a round needs of its session."""

    service: Service
    session_id: str
    target: Target
    clock: Clock
    workers: Workers
    bill: Bill


class RoundInFlight:
    """The jobs of one round, from their submission to their counts. `result()` waits; nothing else does."""

    def __init__(self, place: RoundPlace, programs: Sequence[Program], specs: Sequence[JobSpec]) -> None:
        self.place = place
        self._programs = programs
        self._jobs = {spec.id: _Job(spec) for spec in specs}
        self._points: defaultdict[tuple[int, int], list[_Job]] = defaultdict(list)
        for job in self._jobs.values():
            self._points[job.spec.place.pub, job.spec.place.point].append(job)
        self._lock = threading.Lock()
        self._unsent = len(specs)
        self._uncollected = len(specs)
        self._failure: Exception | None = None
        self.ended = threading.Event()

    @property
    def size(self) -> int:
        """Number of jobs."""
        return len(self._jobs)

    @property
    def shots(self) -> int:
        """Number of shots of all its jobs."""
        return sum(job.spec.shots for job in self._jobs.values())

    @property
    def in_flight(self) -> int:
        """Number of jobs without counts yet."""
        return self._uncollected

    def start(self, connection: Connection, on_submitted: Callable[[], None]) -> None:
        """Submit all jobs side by side; the call returns at once. on_submitted runs when the last one is accepted."""
        for job in self._jobs.values():
            connection.workers.do(partial(self._submit, connection, job, on_submitted))

    def observe(self, connection: Connection, listed: Mapping[str, Any]) -> None:
        """Take a job as the service lists it; one that has ended is collected."""
        job = self._jobs.get(listed["id"])
        status = listed.get("status")
        if job is None or status not in TERMINAL:
            return
        with self._lock:
            if job.collecting:
                return
            job.collecting = True
        connection.bill.add(listed.get("costEstimate"))
        if status in SUCCEEDED:
            connection.workers.do(partial(self._collect, connection, job, listed.get("outputDataUri")))
        else:
            self.fail(_job_failed(job.spec, listed))

    def fail(self, error: Exception) -> None:
        """End the round with an error; the first one counts."""
        with self._lock:
            if self._failure is None and self._uncollected:
                self._failure = error
        self.ended.set()

    def stop(self) -> None:
        """End the wait for the round; its jobs are left to the service."""
        self.fail(RunStopped(self.in_flight))

    def result(self, clock: Clock) -> list[Measured]:
        """The counts by PUB and point, once all jobs have ended. Raises what ended the round."""
        while not clock.wait(self.ended, _FOREVER_S):
            pass
        if self._failure is not None:
            raise self._failure
        return [
            Measured(program.points, tuple(self._point(i, j, program) for j in range(len(program.payloads))))
            for i, program in enumerate(self._programs)
        ]

    def _point(self, pub: int, point: int, program: Program) -> Counts:
        parts = [job.counts for job in self._points[pub, point] if job.counts is not None]
        return spread(merge_counts(parts), program.measured, program.num_clbits)

    def _submit(self, connection: Connection, job: _Job, on_submitted: Callable[[], None]) -> None:
        if self.ended.is_set():
            return
        spec, service = job.spec, connection.service
        try:
            job.container = service.container(spec.id)
            service.upload(job.container, spec.payload)
            service.submit(spec.id, job.container, spec.body(connection.session_id, connection.target))
        except Exception as error:  # handed to whoever waits for the round, and raised there
            self.fail(error)
            return
        with self._lock:
            self._unsent -= 1
            last = self._unsent == 0
        if last:
            on_submitted()

    def _collect(self, connection: Connection, job: _Job, url: str | None) -> None:
        spec = job.spec
        try:
            if not url:
                raise UnreadableResult("the service does not say where it is")
            data = connection.service.download(url, job.container)
            job.counts = read_results_v2(data, spec.num_bits, exact=not connection.target.samples, shots=spec.shots)
        except UnreadableResult as error:
            self.fail(_unreadable(spec, error))
            return
        except Exception as error:  # handed to whoever waits for the round, and raised there
            self.fail(error)
            return
        with self._lock:
            self._uncollected -= 1
            last = self._uncollected == 0
        if last:
            self.ended.set()


def _job_failed(spec: JobSpec, listed: Mapping[str, Any]) -> JobFailed:
    error = listed.get("errorData") or {}
    said = " ".join(str(error[key]) for key in ("code", "message") if error.get(key))
    status = str(listed.get("status"))
    return JobFailed(
        f"job {spec.id} ended {status}: {said or 'the service gave no reason'}",
        "Its counts are lost; the round's other jobs run on and are billed.",
        "Start the run again; if it fails with the same words, the circuit or the shots do not suit the target.",
    )


def _unreadable(spec: JobSpec, error: UnreadableResult) -> JobFailed:
    return JobFailed(
        f"the result of job {spec.id} can't be read: {error}",
        "The job is done and billed, and its result stays in the workspace's storage.",
        "Start the run again; if that job's output looks right to you, report it with its id.",
    )
