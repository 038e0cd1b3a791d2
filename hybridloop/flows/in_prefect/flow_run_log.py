"""This package's log lines in the log of a flow run, without Prefect's settings."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.context import FlowRunContext
from prefect.logging.handlers import APILogHandler

_logger = logging.getLogger("hybridloop")


class _FlowRunHandler(APILogHandler):
    """Handler that sends records from the threads of flow runs to Prefect, and drops others."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.flow_runs = 0  # in progress; changed under `lock_of_runs`
        self.level_before = logging.NOTSET
        self.lock_of_runs = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return False for a record that belongs to no flow run."""
        return FlowRunContext.get() is not None and bool(super().filter(record))


_handler = _FlowRunHandler()


@contextmanager
def log_sent_to_prefect() -> Iterator[None]:
    """Send this package's log lines, from level INFO on, to the flow runs in whose threads they are written."""
    with _handler.lock_of_runs:
        _handler.flow_runs += 1
        if _handler.flow_runs == 1:
            _handler.level_before = _logger.level
            is_unset = _logger.level == logging.NOTSET  # else it is the user's choice
            if is_unset and not _logger.isEnabledFor(logging.INFO):
                _logger.setLevel(logging.INFO)
            if not any(isinstance(handler, APILogHandler) for handler in _logger.handlers):  # as a user's setting adds
                _logger.addHandler(_handler)
    try:
        yield
    finally:
        with _handler.lock_of_runs:
            _handler.flow_runs -= 1
            if not _handler.flow_runs:
                _logger.removeHandler(_handler)
                _logger.setLevel(_handler.level_before)
