"""Handle on a worker process in the service, and the memory limit for the simulations of all workers together."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from hybridloop.emulator.simulation.protocol import GRANTED, NEEDS, PREFIX_BYTES, REFUSED, pack_frame, unpack_lengths

READY_S = 120.0  # until a process has imported Aer, which takes a second on an idle machine
IDLE_LIMIT_S = 30.0  # an idle process keeps 55 MB, and another takes a second to start
MOST_THREADS = 16  # of a simulation: each has a stack and an arena in the limit of address space
# Qiskit's allocator (mimalloc) would reserve 1 GiB in advance, which the limit of address space would not count
WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": str(MOST_THREADS),  # Aer asks for those that it may use
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "MIMALLOC_ARENA_RESERVE": "0",
}


def thread_limit() -> int:
    """Return the threads of a simulation that is alone."""
    return min(MOST_THREADS, os.cpu_count() or 1)


class MemoryPool:
    """First-in-first-out semaphore of `limit` bytes; the order keeps small requests from starving large ones."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._free = limit
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def acquire(self, size: int) -> bool:
        """Wait until `size` bytes are free and take them; False at once if the pool is smaller than that."""
        if size > self.limit:
            return False
        if not self._waiting and size <= self._free:
            self._free -= size
            return True
        grant: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, grant))
        try:
            await grant
        except asyncio.CancelledError:
            if grant.done() and not grant.cancelled():  # granted just before the cancellation
                self.release(size)
            else:
                self._waiting = deque(entry for entry in self._waiting if entry[1] is not grant)
                self._grant_waiting()  # the next request may be smaller
            raise
        return True

    def release(self, size: int) -> None:
        """Return `size` bytes to the pool and grant the requests that fit now."""
        self._free += size
        self._grant_waiting()

    def _grant_waiting(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            size, grant = self._waiting.popleft()
            if not grant.cancelled():
                self._free -= size
                grant.set_result(None)


class WorkerDied(Exception):
    """The worker's process ended before it replied."""


class TimeLimitReached(Exception):
    """The task ran for longer than its limit; the worker's process was killed."""


class WorkerProcess:
    """One worker process; it takes one task at a time, of at most `time_limit_s` seconds and `memory_limit` bytes.

    It starts with a task, and ends after IDLE_LIMIT_S without one.
    """

    def __init__(self, time_limit_s: float, memory_limit: int) -> None:
        self._time_limit_s = time_limit_s
        self._memory_limit = memory_limit
        self._process: Process | None = None
        self._is_ready = False
        self._is_killed = False  # while its process starts, which ends it as soon as it can be
        self._idle_timer: asyncio.TimerHandle | None = None

    @property
    def is_ready(self) -> bool:
        """True once the process has imported Aer, until it ends."""
        return self._is_ready and self._process is not None and self._process.returncode is None

    async def start(self) -> Process:
        """Start the process; it imports Aer, then takes its task."""
        # without the service's keys, which a worker does not need
        inherited = {n: value for n, value in os.environ.items() if not n.startswith("HYBRIDLOOP_EMULATOR_")}
        arguments = (sys.executable, "-P", "-m", "hybridloop.emulator.simulation.worker", str(self._memory_limit))
        self._process = await asyncio.create_subprocess_exec(
            *arguments, stdin=PIPE, stdout=PIPE, env={**inherited, **WORKER_ENVIRONMENT}, limit=2**20
        )
        self._is_ready = False
        return self._process

    async def run_task(
        self, header: bytes, data: bytes, memory: MemoryPool, begins: Callable[[float], int] = lambda seconds: 1
    ) -> tuple[Mapping[str, Any], bytes]:
        """Send a task and wait for its reply, as header and body; the worker's requests are granted from `memory`.

        `begins` is called with the seconds of a simulation on one thread, and returns the threads that it may use.
        Raises WorkerDied if the process ends before it replies, and TimeLimitReached, for which the wait for memory
        does not count. All memory is released at the end.
        """
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        process, self._is_killed = self._process, False
        if process is None or process.returncode is not None:
            process = await self.start()
            if self._is_killed:
                self.kill()
        # the task, then memory for each of its simulations, until the reply
        acquired, left_s, loop = 0, self._time_limit_s, asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None if self._is_ready else READY_S):
                await _send(process, header, data)
                if not self._is_ready:
                    await _receive(process)
                    self._is_ready = True
            while True:
                began = loop.time()
                async with asyncio.timeout(left_s):
                    reply, body = await _receive(process)
                left_s -= loop.time() - began
                if reply["verdict"] != NEEDS:
                    return reply, body
                memory.release(acquired)  # of an earlier simulation of the same job
                acquired = 0
                if await acquire_memory(process, memory, reply["bytes"]):
                    acquired = reply["bytes"]
                verdict = GRANTED if acquired else REFUSED
                answer = {"verdict": verdict, "limit": memory.limit, "threads": begins(reply["seconds"])}
                await _send(process, json.dumps(answer).encode(), b"")
        except TimeoutError as error:
            await self.stop()
            raise (TimeLimitReached if self._is_ready else WorkerDied) from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            await process.wait()
            raise WorkerDied from error
        finally:
            memory.release(acquired)
            self._idle_timer = loop.call_later(IDLE_LIMIT_S, self._end_idle)

    def kill(self) -> None:
        """Kill the process at once, or one that is just being started; the next task starts another."""
        self._is_killed = True
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    def _end_idle(self) -> None:
        self.kill()
        self._process = None  # the next task does not wait for its end

    async def stop(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self.kill()
        if self._process is not None:
            await self._process.wait()


async def _send(process: Process, header: bytes, data: bytes) -> None:
    if process.stdin is None:
        raise WorkerDied
    process.stdin.write(pack_frame(header, data))
    await process.stdin.drain()


async def _receive(process: Process) -> tuple[Mapping[str, Any], bytes]:
    if process.stdout is None:
        raise WorkerDied
    header_size, body_size = unpack_lengths(await process.stdout.readexactly(PREFIX_BYTES))
    header = await process.stdout.readexactly(header_size)
    return json.loads(header), await process.stdout.readexactly(body_size)


async def acquire_memory(process: Process, memory: MemoryPool, size: int) -> bool:
    """Acquire `size` bytes for a worker; False if that is more than the limit.

    Raises WorkerDied if the process ends while it waits; it loses its turn then.
    """
    acquisition, exit_wait = asyncio.ensure_future(memory.acquire(size)), asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait({acquisition, exit_wait}, return_when=asyncio.FIRST_COMPLETED)
        if acquisition.done():
            return acquisition.result()
        raise WorkerDied
    except asyncio.CancelledError:
        if acquisition.done() and acquisition.result():
            memory.release(size)
        raise
    finally:
        exit_wait.cancel()
        acquisition.cancel()
