"""A simulation worker that never becomes ready is ended, and its task fails as that of one that has died."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process

import pytest

from hybridloop.emulator.simulation import worker_process
from hybridloop.emulator.simulation.worker_process import MemoryPool, WorkerDied, WorkerProcess


class Silent(WorkerProcess):
    """A worker whose process says nothing."""

    async def start(self) -> Process:
        command = (sys.executable, "-c", "import sys; sys.stdin.buffer.read()")
        self._process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
        return self._process


def test_a_worker_that_is_never_ready_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "READY_S", 0.3)

    async def scenario() -> int | None:
        worker = Silent(60.0, 1 << 30)
        with pytest.raises(WorkerDied):
            await worker.run_task(b"{}", b"", MemoryPool(1 << 30))
        await worker.stop()
        assert worker._process is not None
        return worker._process.returncode

    assert asyncio.run(scenario()) is not None
