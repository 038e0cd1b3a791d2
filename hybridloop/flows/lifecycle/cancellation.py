"""Poll Prefect for the cancellation of a flow run, since Prefect notifies only runs that a worker started."""

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

POLL_S = 2.0

_CANCELLED = frozenset({StateType.CANCELLING, StateType.CANCELLED})
_log = logging.getLogger(__name__)


@contextmanager
def cancelled_in_prefect(flow_run_id: str, cancelled: threading.Event, stop: Callable[[], None]) -> Iterator[None]:
    """Set the event and call `stop` when the flow run is cancelled, checked every two seconds.

    An unreachable server is asked again.
    """
    ended = threading.Event()

    def poll() -> None:
        if ended.wait(POLL_S):
            return
        with get_client(sync_client=True) as client:
            while not ended.is_set():
                try:
                    state = client.read_flow_run(UUID(flow_run_id)).state
                except (HTTPError, PrefectException, RuntimeError) as error:
                    _log.debug("the state of the flow run could not be read: %s", error)
                else:
                    if state is not None and state.type in _CANCELLED:
                        cancelled.set()
                        stop()
                        return
                ended.wait(POLL_S)

    # Prefect keeps the server's address in context variables
    thread = threading.Thread(target=copy_context().run, args=(poll,), name="hybridloop-cancelling", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
