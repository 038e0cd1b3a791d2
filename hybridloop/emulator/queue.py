"""Accepted jobs wait here and go to worker processes, as many as the machine has cores."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from hybridloop.emulator.billing import Usage
from hybridloop.emulator.frames import DONE
from hybridloop.emulator.job import JobError
from hybridloop.emulator.memory import Memory
from hybridloop.emulator.records import JobRecord
from hybridloop.emulator.worker_process import WorkerDied, WorkerProcess

GROW_AFTER_S = 1.0  # a further worker takes a second of a core to start: no gain for jobs that wait less than that
GROW_WHEN_COLD_AFTER_S = 5.0  # the same while the first worker has answered nothing: it may still be loading Aer
DIED = JobError("InternalError", "The process that ran the job ended unexpectedly.")


class Books(Protocol):
    """Where a job's task comes from and its outcome goes."""

    def begin(self, key: int) -> tuple[bytes, bytes] | None: ...

    def wants(self, key: int) -> bool: ...

    def succeed(self, key: int, result: bytes, usage: Usage) -> None: ...

    def fail(self, key: int, error: JobError) -> None: ...


@dataclass(frozen=True, slots=True)
class Capacity:
    """What may run at once: so many workers, and simulations that fit into the memory together."""

    workers: int
    memory: Memory


class WorkQueue:
    """First come, first served, over workers that are started as the backlog asks for them."""

    def __init__(self, books: Books, capacity: Capacity, on_idle: Callable[[], None]) -> None:
        self._books = books
        self._memory = capacity.memory
        self._on_idle = on_idle
        self._waiting: deque[tuple[int, float]] = deque()  # a job's number, and since when it waits
        self._workers = [WorkerProcess()]
        self._idle = list(self._workers)
        self._unstarted = capacity.workers - 1
        self._running: dict[int, WorkerProcess] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._growth: asyncio.TimerHandle | None = None
        self._is_cold = True
        self._stopped = False

    async def start(self) -> None:
        """Start the first worker."""
        await self._idle[0].start()

    @property
    def is_computing(self) -> bool:
        """Whether any job runs, or waits for a worker."""
        return bool(self._waiting or self._tasks)

    def add(self, job: JobRecord) -> None:
        """Put an accepted job at the end."""
        self._waiting.append((job.key, asyncio.get_running_loop().time()))
        self._pump()

    def drop(self, key: int) -> None:
        """Stop a job that has ended in the books meanwhile; one that still waits is skipped when its turn comes."""
        worker = self._running.get(key)
        if worker is not None:
            worker.kill()

    async def stop(self) -> None:
        """End all workers; what is unfinished stays in the books."""
        self._stopped = True
        if self._growth is not None:
            self._growth.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(worker.stop() for worker in self._workers))

    def _pump(self) -> None:
        while self._waiting and self._idle and not self._stopped:
            (key, _), worker = self._waiting.popleft(), self._idle.pop()
            task = asyncio.create_task(self._run(key, worker))
            self._tasks.add(task)
            task.add_done_callback(self._forget)
        if self._waiting and self._unstarted and self._growth is None and not self._stopped:
            self._growth = asyncio.get_running_loop().call_at(self._grows_at(), self._grow)

    def _grows_at(self) -> float:
        """When the job that waits longest has waited long enough for a further worker."""
        return self._waiting[0][1] + (GROW_WHEN_COLD_AFTER_S if self._is_cold else GROW_AFTER_S)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self.is_computing:
            self._on_idle()
        if not task.cancelled():
            task.result()  # whatever went wrong there is shown by the loop at once

    def _grow(self) -> None:
        self._growth = None
        if self._waiting and self._unstarted and asyncio.get_running_loop().time() >= self._grows_at():
            self._unstarted -= 1
            self._workers.append(WorkerProcess())
            self._idle.append(self._workers[-1])
        self._pump()

    async def _run(self, key: int, worker: WorkerProcess) -> None:
        try:
            started = self._books.begin(key)
            if started is not None:
                self._running[key] = worker
                await self._ask_twice(key, worker, *started)
        finally:
            self._running.pop(key, None)
            self._idle.append(worker)
            self._pump()

    async def _ask_twice(self, key: int, worker: WorkerProcess, header: bytes, data: bytes) -> None:
        """A worker can die through no fault of its task, so that is tried once more; twice is the task's fault."""
        for _ in range(2):
            try:
                answer, result = await worker.ask(header, data, self._memory)
            except WorkerDied:
                if self._stopped or not self._books.wants(key):
                    return
            else:
                self._finish(key, answer, result)
                return
        self._books.fail(key, DIED)

    def _finish(self, key: int, answer: Mapping[str, Any], result: bytes) -> None:
        self._is_cold = False
        if answer["verdict"] == DONE:
            self._books.succeed(key, result, Usage(**answer["usage"]))
        else:
            self._books.fail(key, JobError(answer["code"], answer["message"]))
