"""This package's log lines in the log of a flow run, and its warnings on standard error, without Prefect's settings."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.context import FlowRunContext
from prefect.logging.handlers import APILogHandler

from hybridloop.runtime.messages import WarningLines

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


def show_warnings() -> None:
    """Print this package's warnings to standard error from now on, unless another handler shows them.

    Prefect's set-up of logging replaces the handlers of the root logger by its own, which the functions of
    `hybridloop.api` turn off: a user of Python would see no warning.
    """
    with _handler.lock_of_runs:
        if not any(isinstance(handler, WarningLines) for handler in _logger.handlers):
            lines = WarningLines()
            lines.addFilter(lambda record: not _is_shown(record))
            _logger.addHandler(lines)


def _is_shown(record: logging.LogRecord) -> bool:
    """Return True if a handler of the user's, or Prefect's on the console, takes the record."""
    handlers = (*_logger.handlers, *logging.getLogger().handlers)
    return any(
        record.levelno >= handler.level and not isinstance(handler, WarningLines | APILogHandler | logging.NullHandler)
        for handler in handlers
    )


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
