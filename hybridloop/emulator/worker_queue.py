"""Queue of accepted jobs over worker processes, at most one per CPU core: sessions take turns, each in its order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from hybridloop.emulator.model.billing import Usage
from hybridloop.emulator.model.job import JobError
from hybridloop.emulator.simulation.protocol import DONE
from hybridloop.emulator.simulation.worker_process import (
    MemoryPool,
    TimeLimitReached,
    WorkerDied,
    WorkerProcess,
    thread_limit,
)
from hybridloop.emulator.store.records import StoredJob

# a further worker takes a second of a core to start: no gain for jobs that wait less than that
ADD_WORKER_AFTER_S = 1.0
ADD_WORKER_WHEN_COLD_AFTER_S = 5.0  # while no worker is ready: it may still be loading Aer
WORKER_DIED_TWICE = JobError("InternalError", "The process that ran the job ended unexpectedly, twice.")


class JobLifecycle(Protocol):
    """Source of a job's task, and receiver of its outcome."""

    def begin(self, key: int) -> tuple[bytes, bytes] | None: ...

    def is_pending(self, key: int) -> bool: ...

    def succeed(self, key: int, result: bytes, usage: Usage) -> None: ...

    def fail(self, key: int, error: JobError) -> None: ...


class WorkQueue:
    """Jobs that wait for a worker, and the workers; further workers start while a backlog lasts.

    Each session with waiting jobs gives one in turn, so that a script's backlog delays no other.
    All workers' simulations share `memory`. A job that runs for longer than `time_limit_s` seconds fails.
    """

    def __init__(
        self,
        jobs: JobLifecycle,
        workers: int,
        memory: MemoryPool,
        on_idle: Callable[[], None],
        *,
        time_limit_s: float,
    ) -> None:
        self._jobs = jobs
        self._time_limit_s = time_limit_s
        self._memory = memory
        self._on_idle = on_idle
        # by session: jobs' keys, and the loop's time of their arrival; the next turn first
        self._waiting: dict[int | None, deque[tuple[int, float]]] = {}
        self._workers = [WorkerProcess(time_limit_s, memory.limit)]
        self._idle = list(self._workers)
        self._unstarted = workers - 1
        self._running: dict[int, WorkerProcess] = {}
        self._expected_s: dict[int, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._growth_timer: asyncio.TimerHandle | None = None
        self._stopped = False

    @property
    def is_computing(self) -> bool:
        """True while a job runs or waits for a worker."""
        return bool(self._waiting or self._tasks)

    def add(self, job: StoredJob) -> None:
        arrival = job.key, asyncio.get_running_loop().time()
        self._waiting.setdefault(job.session_key, deque()).append(arrival)
        self._dispatch()

    def drop(self, key: int) -> None:
        """Stop a running job that has ended meanwhile; one that waits is skipped when its turn comes."""
        worker = self._running.get(key)
        if worker is not None:
            worker.kill()

    async def stop(self) -> None:
        """End all workers; unfinished jobs stay pending in the store."""
        self._stopped = True
        if self._growth_timer is not None:
            self._growth_timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(worker.stop() for worker in self._workers))

    def _dispatch(self) -> None:
        """Give waiting jobs to idle workers, and schedule a further worker if some must wait on."""
        while self._waiting and self._idle and not self._stopped:
            key, worker = self._next(), self._idle.pop()
            task = asyncio.create_task(self._run(key, worker))
            self._tasks.add(task)
            task.add_done_callback(self._on_task_done)
        if self._waiting and self._unstarted and self._growth_timer is None and not self._stopped:
            self._growth_timer = asyncio.get_running_loop().call_at(self._growth_due(), self._add_worker)

    def _next(self) -> int:
        """Take the first job of the session whose turn it is, which is last after that."""
        session = next(iter(self._waiting))
        jobs = self._waiting.pop(session)
        key, _ = jobs.popleft()
        if jobs:
            self._waiting[session] = jobs
        return key

    def _growth_due(self) -> float:
        """Loop time at which the oldest waiting job has waited long enough for a further worker."""
        is_cold = not any(worker.is_ready for worker in self._workers)
        oldest = min(jobs[0][1] for jobs in self._waiting.values())
        return oldest + (ADD_WORKER_WHEN_COLD_AFTER_S if is_cold else ADD_WORKER_AFTER_S)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self.is_computing:
            self._on_idle()
        if not task.cancelled():
            task.result()  # raises an unexpected exception here, so that the event loop logs it at once

    def _add_worker(self) -> None:
        self._growth_timer = None
        if self._waiting and self._unstarted and asyncio.get_running_loop().time() >= self._growth_due():
            self._unstarted -= 1
            self._workers.append(WorkerProcess(self._time_limit_s, self._memory.limit))
            self._idle.append(self._workers[-1])
        self._dispatch()

    async def _run(self, key: int, worker: WorkerProcess) -> None:
        try:
            started = self._jobs.begin(key)
            if started is not None:
                self._running[key] = worker
                await self._run_with_retry(key, worker, *started)
        finally:
            self._running.pop(key, None)
            self._expected_s.pop(key, None)
            self._idle.append(worker)
            self._dispatch()

    async def _run_with_retry(self, key: int, worker: WorkerProcess, header: bytes, data: bytes) -> None:
        """Run a task, and once more if its worker dies: the first time may be no fault of the task."""
        for _ in range(2):
            try:
                answer, result = await worker.run_task(header, data, self._memory, partial(self._begins, key))
            except WorkerDied:
                if self._stopped or not self._jobs.is_pending(key):
                    return
            except TimeLimitReached:
                message = f"The job ran for longer than the limit of {self._time_limit_s:g} s."
                self._jobs.fail(key, JobError("RuntimeError", message))
                return
            else:
                self._finish(key, answer, result)
                return
        self._jobs.fail(key, WORKER_DIED_TWICE)

    def _begins(self, key: int, seconds: float) -> int:
        """Note the time of a job's simulation that begins; return its threads: all cores' if it is alone, else one.

        The job's parsing, of 0 seconds, asks for memory alone.
        """
        threads = thread_limit() if len(self._running) == 1 and not self._waiting else 1
        if seconds:
            self._expected_s[key] = seconds / threads
        return threads

    def expected_s(self, key: int) -> float | None:
        """Return the seconds that a running job is expected to take; None if they are few, or if it does not run."""
        return self._expected_s.get(key)

    def _finish(self, key: int, answer: Mapping[str, Any], result: bytes) -> None:
        if answer["verdict"] == DONE:
            self._jobs.succeed(key, result, Usage(**answer["usage"]))
        else:
            self._jobs.fail(key, JobError(answer["code"], answer["message"]))
