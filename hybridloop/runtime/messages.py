"""Warnings as lines of standard error."""

from __future__ import annotations

import logging
import sys
import threading

from hybridloop.runtime.escaping import escape_control
from hybridloop.runtime.json_log import JsonFormatter, is_json

_logger = logging.getLogger("hybridloop")
_setting_up = threading.Lock()
_TO_SERVER = "APILogHandler"  # Prefect's, which shows nothing here; it is not imported


class EscapedFormatter(logging.Formatter):
    """Formatter whose lines have no control characters of a text of others."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        return escape_control(super().format(record))


class WarningLines(logging.Handler):
    """Logging handler that prints warnings to the `sys.stderr` of the moment, which a live view replaces.

    In JSON it prints a run's events, too.
    """

    def __init__(self) -> None:
        super().__init__(logging.INFO if is_json() else logging.WARNING)
        self.setFormatter(JsonFormatter() if is_json() else EscapedFormatter("hybridloop: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record to standard error."""
        print(self.format(record), file=sys.stderr, flush=True)


def show_warnings() -> None:
    """Print this package's warnings to standard error from now on, unless another handler shows them.

    Prefect's set-up of logging replaces the handlers of the root logger by its own, which the functions of
    `hybridloop.api` turn off: a user of Python would see no warning.
    """
    with _setting_up:
        if not any(isinstance(handler, WarningLines) for handler in _logger.handlers):
            lines = WarningLines()
            if is_json():
                log_in_json()
            else:
                lines.addFilter(lambda record: not _is_shown(record))
            _logger.addHandler(lines)


def log_in_json() -> None:
    """Let this package's log lines, from level INFO on, be shown by its own handler alone."""
    _logger.setLevel(min(_logger.level or logging.INFO, logging.INFO))
    _logger.propagate = False


def _is_shown(record: logging.LogRecord) -> bool:
    """Return True if a handler of the user's, or Prefect's on the console, takes the record."""
    return any(
        record.levelno >= handler.level
        and not isinstance(handler, WarningLines | logging.NullHandler)
        and not any(base.__name__ == _TO_SERVER for base in type(handler).__mro__)
        for handler in (*_logger.handlers, *logging.getLogger().handlers)
    )


def level_of(error: BaseException) -> int:
    """Return the level at which an error is logged that ends nothing: a repeated one of an outage is no warning."""
    return logging.DEBUG if getattr(error, "is_repeated", False) else logging.WARNING
