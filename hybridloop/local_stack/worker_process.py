"""Prefect's worker as a process that ends with the one that started it, and that an outage of the server does not end.

Prefect's own worker ends with all its runs when the server answers one request with an error (3.9: `read_deployment`,
after a restart of the database), or none for some minutes.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import secrets
import signal
import sys
import warnings
from contextlib import suppress
from typing import Any

from prefect.client.schemas.objects import FlowRun
from prefect.logging.configuration import setup_logging
from prefect.workers.process import ProcessWorker

from hybridloop.runtime.lifeline import end_with_parent

_log = logging.getLogger("prefect.worker.hybridloop")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it takes the place of Prefect's class for the type "process"

    class LastingWorker(ProcessWorker):
        """Prefect's process worker, which waits while its server fails; its runs live on, and hold their slots."""

        is_away = False

        async def get_and_submit_flow_runs(self) -> list[FlowRun]:
            """Start the runs that are due; none while the server fails."""
            try:
                started = await super().get_and_submit_flow_runs()
            except Exception as error:  # whatever the server or the way to it does
                self._tell_away(error)
                return []
            self._tell_back()
            return started

        async def sync_with_backend(self) -> None:
            """Tell the server that this worker is alive; the next time, if it fails."""
            try:
                await super().sync_with_backend()
            except Exception as error:
                self._tell_away(error)

        async def _submit_run(self, flow_run: FlowRun) -> None:
            try:
                await super()._submit_run(flow_run)
            except Exception as error:  # before the run was taken: it is due at the next look, here or elsewhere
                self._tell_away(error)
                self._release_limit_slot(flow_run.id)
                self._submitting_flow_run_ids.discard(flow_run.id)

        async def _propose_crashed_state(self, flow_run: FlowRun, message: str, client: Any = None) -> None:
            """Report a crash once: Prefect does it before and after the hooks, and may undo a restart meanwhile."""
            with suppress(Exception):
                present = await self.client.read_flow_run(flow_run.id)
                if present.state is not None and (present.state.is_final() or present.state.is_scheduled()):
                    return
            await super()._propose_crashed_state(flow_run, message, client)

        def _tell_away(self, error: Exception) -> None:
            if not self.is_away:
                self.is_away = True
                _log.warning("Prefect's server fails: %s; the worker's runs go on, and it waits", error)

        def _tell_back(self) -> None:
            if self.is_away:
                self.is_away = False
                _log.warning("Prefect's server answers again")


def main() -> None:
    """Run a worker of the pool that the first argument names, with at most as many runs as the second says."""
    end_with_parent()
    setup_logging()
    _, pool, limit = sys.argv
    name = f"hybridloop {platform.node()} {secrets.token_hex(3)}"
    asyncio.run(_run(LastingWorker(name=name, work_pool_name=pool, limit=int(limit) if limit else None)))


async def _run(worker: LastingWorker) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with suppress(asyncio.CancelledError):
        await worker.start(printer=_say)


def _say(text: str) -> None:
    print(text, flush=True)
