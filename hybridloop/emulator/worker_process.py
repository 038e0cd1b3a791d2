"""A worker's process as the service holds it: started on demand, asked, bounded in memory, ended."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from hybridloop.emulator.frames import GRANTED, NEEDS, PREFIX_BYTES, REFUSED, lengths_of, packed
from hybridloop.emulator.memory import Memory


class WorkerDied(Exception):
    """The worker's process ended before it answered."""


class WorkerProcess:
    """One worker process; it takes one task at a time."""

    def __init__(self) -> None:
        self._process: Process | None = None

    async def start(self) -> None:
        """Start the process; it loads Aer while nobody waits for it."""
        # a worker has no use for the keys
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HYBRIDLOOP_EMULATOR_")}
        arguments = (sys.executable, "-m", "hybridloop.emulator.worker")
        self._process = await asyncio.create_subprocess_exec(
            *arguments, stdin=PIPE, stdout=PIPE, env={**kept, "OMP_NUM_THREADS": "1"}, limit=2**20
        )

    async def ask(self, header: bytes, data: bytes, memory: Memory) -> tuple[Mapping[str, Any], bytes]:
        """Send a task, and wait for its answer; what it says it needs is taken from `memory` meanwhile."""
        if self._process is None or self._process.returncode is not None:
            await self.start()
        process = self._process
        if process is None:
            raise WorkerDied
        taken = 0
        try:
            await _send(process, header, data)
            while True:
                answer, body = await _received(process)
                if answer["verdict"] != NEEDS:
                    return answer, body
                memory.give_back(taken)  # of a simulation before, of the same job
                taken = 0
                if await taken_for(process, memory, answer["bytes"]):
                    taken = answer["bytes"]
                verdict = GRANTED if taken else REFUSED
                await _send(process, json.dumps({"verdict": verdict, "limit": memory.limit}).encode(), b"")
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            await process.wait()
            raise WorkerDied from error
        finally:
            memory.give_back(taken)

    def kill(self) -> None:
        """End the process, whatever it is doing; the next task starts another."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def stop(self) -> None:
        """End the process and wait until it is gone."""
        self.kill()
        if self._process is not None:
            await self._process.wait()


async def _send(process: Process, header: bytes, data: bytes) -> None:
    if process.stdin is None:
        raise WorkerDied
    process.stdin.write(packed(header, data))
    await process.stdin.drain()


async def _received(process: Process) -> tuple[Mapping[str, Any], bytes]:
    if process.stdout is None:
        raise WorkerDied
    head, body = lengths_of(await process.stdout.readexactly(PREFIX_BYTES))
    message = await process.stdout.readexactly(head + body)
    return json.loads(message[:head]), message[head:]


async def taken_for(process: Process, memory: Memory, needed: int) -> bool:
    """Whether the memory was taken, or can never be; a process that is killed while it waits leaves the queue."""
    turn, gone = asyncio.ensure_future(memory.take(needed)), asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait({turn, gone}, return_when=asyncio.FIRST_COMPLETED)
        if turn.done():
            return turn.result()
        raise WorkerDied
    except asyncio.CancelledError:
        if turn.done() and turn.result():
            memory.give_back(needed)
        raise
    finally:
        gone.cancel()
        turn.cancel()
