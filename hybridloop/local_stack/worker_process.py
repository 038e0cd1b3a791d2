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
from collections import Counter
from contextlib import suppress
from typing import Any
from uuid import UUID

import httpx
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import Abort, ObjectNotFound
from prefect.logging.configuration import setup_logging
from prefect.states import AwaitingRetry, Pending
from prefect.utilities.engine import propose_state
from prefect.workers.process import ProcessWorker

from hybridloop.runtime.escaping import escape_control
from hybridloop.runtime.lifeline import end_with_parent

MAX_VAIN_STARTS = 20  # of one flow run, by one worker that its server answers otherwise

_log = logging.getLogger("prefect.worker.hybridloop")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it takes the place of Prefect's class for the type "process"

    class LastingWorker(ProcessWorker):
        """Prefect's process worker, which waits while its server fails; its runs live on, and hold their slots."""

        is_away = False

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._vain_starts = Counter[UUID]()
            self._without_process = set[UUID]()  # taken or ended here; Prefect may have them as taken still

        async def get_and_submit_flow_runs(self) -> list[FlowRun]:
            """Start the runs that are due; none while the server fails."""
            try:
                await self._give_back()
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
            self._without_process.discard(flow_run.id)
            try:
                await super()._submit_run(flow_run)
            except Exception as error:  # before its process: it is due at the next look, here or elsewhere
                self._tell_away(error)
                self._without_process.add(flow_run.id)
                self._release_limit_slot(flow_run.id)
                self._submitting_flow_run_ids.discard(flow_run.id)

        async def _propose_pending_state(self, flow_run: FlowRun) -> bool:
            """Take a flow run in this worker's name, which tells whose it is where the server's answer is lost."""
            try:
                state = await propose_state(self.client, Pending(message=self._taken), flow_run_id=flow_run.id)
            except Abort:  # another worker has it, or it was cancelled
                return False
            return bool(state.is_pending())

        async def _submit_run_and_capture_errors(self, flow_run: FlowRun, task_status: Any = None) -> Any:
            try:
                return await super()._submit_run_and_capture_errors(flow_run, task_status)
            finally:
                self._without_process.add(flow_run.id)

        async def _give_back(self) -> None:
            """Have flow runs wait for a worker again that this one took and that never began: a request had failed."""
            for taken in list(self._without_process):
                with suppress(ObjectNotFound):
                    flow_run = await self.client.read_flow_run(taken)
                    state, label = flow_run.state, flow_run.labels.get("prefect.worker.name")
                    is_own = state is not None and (state.message == self._taken or label == self.name)
                    if state is not None and state.type is StateType.PENDING and is_own:
                        waits: State[Any] = AwaitingRetry(scheduled_time=flow_run.expected_start_time)
                        await self.client.set_flow_run_state(taken, waits)
                        _log.warning("flow run %s did not begin, and waits for a worker again", flow_run.name)
                self._without_process.discard(taken)

        @property
        def _taken(self) -> str:
            return f"taken by {self.name}"

        async def _propose_crashed_state(self, flow_run: FlowRun, message: str, client: Any = None) -> None:
            """Report a crash once: Prefect does it before and after the hooks, and may undo a restart meanwhile.

            A start that a failing server prevented is no crash: the flow run is given back, so often and no more.
            """
            error = sys.exception()  # Prefect reports a start that failed while it handles its error
            if error is not None and _is_of_server(error) and self._vain_starts[flow_run.id] < MAX_VAIN_STARTS:
                self._vain_starts[flow_run.id] += 1
                self._tell_away(error)
                return
            with suppress(Exception):
                present = await self.client.read_flow_run(flow_run.id)
                if present.state is not None and (present.state.is_final() or present.state.is_scheduled()):
                    return
            await super()._propose_crashed_state(flow_run, message, client)

        def _tell_away(self, error: BaseException) -> None:
            if not self.is_away:
                self.is_away = True
                _log.warning("Prefect's server fails: %s; the worker's runs go on, and it waits", error)

        def _tell_back(self) -> None:
            if self.is_away:
                self.is_away = False
                _log.warning("Prefect's server answers again")


def _is_of_server(error: BaseException) -> bool:
    """True where Prefect's server, or the way to it, failed a request; one that it refused fails again."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500 or error.response.status_code in (408, 429)
    return isinstance(error, httpx.TransportError)


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
    print(escape_control(text), flush=True)
