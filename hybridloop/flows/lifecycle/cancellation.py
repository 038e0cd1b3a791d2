"""Notices that a flow run was cancelled in Prefect, which tells a run that no worker started only when asked."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from uuid import UUID

from httpx import HTTPError
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.exceptions import PrefectException

ASK_EVERY_S = 2.0

_CANCELLED = frozenset({StateType.CANCELLING, StateType.CANCELLED})
_log = logging.getLogger(__name__)


@contextmanager
def cancelled_in_prefect(flow_run_id: str, cancelled: threading.Event, stop: Callable[[], None]) -> Iterator[None]:
    """Have the event set and `stop` called when the flow run is cancelled. A server that is away is asked again.

    A run that ends within two seconds never asks.
    """
    ended = threading.Event()

    def look() -> None:
        if ended.wait(ASK_EVERY_S):
            return
        with get_client(sync_client=True) as client:
            while not ended.is_set():
                try:
                    state = client.read_flow_run(UUID(flow_run_id)).state
                except (HTTPError, PrefectException, RuntimeError) as error:
                    _log.debug("whether the flow run was cancelled can't be told: %s", error)
                else:
                    if state is not None and state.type in _CANCELLED:
                        cancelled.set()
                        stop()
                        return
                ended.wait(ASK_EVERY_S)

    # Prefect keeps the server's address in context variables
    watcher = threading.Thread(target=copy_context().run, args=(look,), name="hybridloop-cancelling", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
