"""Watch of Prefect beside a run: its flow run may be cancelled or asked to stop, and its slot must be renewed.

It polls, since Prefect notifies only runs that a worker started.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from uuid import UUID

from httpx import HTTPError, HTTPStatusError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound, PrefectException

from hybridloop.flows.lifecycle.host import Cancellation

POLL_S = 2.0
STOP_TAG = "hybridloop:stop"  # of a flow run whose run shall stop
SLOT_LEASE_S = 120.0  # longer than a run's lease of 60 s: when a dead run's slot is free, its session can be closed
RENEW_EVERY_S = 30.0

_CANCELLED = frozenset({StateType.CANCELLING, StateType.CANCELLED})
_GONE = (404, 410)
_log = logging.getLogger(__name__)


class PrefectWatch(Cancellation):
    """The watch of one flow run, which may be cancelled, or given `STOP_TAG` by another machine."""

    def __init__(self) -> None:
        super().__init__()
        self._slot: UUID | None = None
        self._renewed_at = 0.0

    @contextmanager
    def holding(self, slot: UUID) -> Iterator[None]:
        """Renew the lease of a slot during the block."""
        self._slot, self._renewed_at = slot, time.monotonic()
        try:
            yield
        finally:
            self._slot = None

    def look(self, client: SyncPrefectClient, flow_run_id: UUID, request_stop: Callable[[], None]) -> None:
        """Ask the server once for what is due; an unreachable one is asked again the next time.

        `request_stop` is called for the `STOP_TAG`, which is taken off.
        """
        try:
            if not self.cancelled.is_set():
                self._look_for_cancellation(client, flow_run_id, request_stop)
            if self._slot is not None and time.monotonic() - self._renewed_at >= RENEW_EVERY_S:
                self._renew_slot(client, self._slot)
        except (HTTPError, PrefectException, RuntimeError) as error:
            _log.debug("Prefect's server could not be asked: %s", error)

    def _look_for_cancellation(
        self, client: SyncPrefectClient, flow_run_id: UUID, request_stop: Callable[[], None]
    ) -> None:
        flow_run = client.read_flow_run(flow_run_id)
        if STOP_TAG in flow_run.tags:
            client.update_flow_run(flow_run_id, tags=[tag for tag in flow_run.tags if tag != STOP_TAG])
            request_stop()
        state = flow_run.state
        if state is not None and state.type in _CANCELLED:
            self.cancel()

    def _renew_slot(self, client: SyncPrefectClient, slot: UUID) -> None:
        if renew_slot(client, slot):
            self._renewed_at = time.monotonic()
        elif self._slot == slot:
            self._slot = None
            _log.warning("the slot expired: its lease was not renewed for %.0f s", SLOT_LEASE_S)


@contextmanager
def watch_flow_run(watch: PrefectWatch, flow_run_id: str, request_stop: Callable[[], None]) -> Iterator[None]:
    """Watch a flow run for the block, in a thread with a client of its own."""
    ended = threading.Event()

    def keep_looking() -> None:
        if ended.wait(POLL_S):
            return
        with get_client(sync_client=True) as client:
            while not ended.is_set():
                watch.look(client, UUID(flow_run_id), request_stop)
                ended.wait(POLL_S)

    # Prefect keeps the server's address in context variables
    threading.Thread(
        target=copy_context().run, args=(keep_looking,), name="hybridloop-prefect-watch", daemon=True
    ).start()
    try:
        yield
    finally:
        ended.set()


def renew_slot(client: SyncPrefectClient, slot: UUID) -> bool:
    """Renew the lease of a slot; return False if it has expired."""
    try:
        client.renew_concurrency_lease(slot, SLOT_LEASE_S)
    except ObjectNotFound:
        return False
    except HTTPStatusError as error:
        if error.response.status_code in _GONE:
            return False
        raise
    return True
