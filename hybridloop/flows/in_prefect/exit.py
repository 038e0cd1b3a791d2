"""Bounded exit of the interpreter: Prefect's services for logs and events would wait for a server without a limit."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import Any

from prefect._internal.concurrency.services import _QueueServiceBase

from hybridloop.runtime.waits import PREFECT_EXIT_S

_drain = _QueueServiceBase.drain  # called by each service when the interpreter exits
_deadlines: list[float] = []  # of the exit, once it has begun


def bound_exit() -> None:
    """Let the interpreter's exit wait PREFECT_EXIT_S at most for Prefect; what its services still hold then is dropped.

    They hold log lines and events of flow runs, which the journal has. Prefect has no setting for this wait.
    """
    _QueueServiceBase.drain = _drain_within_limit  # type: ignore[method-assign, assignment]


def _drain_within_limit(service: Any, at_exit: bool = False) -> Any:  # noqa: FBT001, FBT002  # Prefect's signature
    if not at_exit:
        return _drain(service)
    if not _deadlines:
        _deadlines.append(time.monotonic() + PREFECT_EXIT_S)
        # a flow run that still waits for the server must not start a service again: no thread can be started now
        for name, logger in logging.root.manager.loggerDict.items():
            if name.partition(".")[0] == "prefect" and isinstance(logger, logging.Logger):
                logger.disabled = True
    with suppress(TimeoutError):
        service._drain(at_exit=True).result(max(0.0, _deadlines[0] - time.monotonic()))
    return None
