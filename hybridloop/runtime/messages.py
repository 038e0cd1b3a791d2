"""Foreign text with its control characters escaped, and warnings that are printed so."""

from __future__ import annotations

import logging
import re
import sys
import threading

from hybridloop.runtime.json_log import JsonFormatter, is_json

# C0 and C1 control characters but tab and line break, marks that turn the direction of text, separators of lines
_CONTROL = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]")


def escape_control(text: str) -> str:
    r"""Return the text with control characters, but tabs and line breaks, as escape sequences.

    >>> print(escape_control("\x1b[2J"))
    \x1b[2J
    """
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


_logger = logging.getLogger("hybridloop")
_setting_up = threading.Lock()
_TO_SERVER = "APILogHandler"  # Prefect's, which shows nothing here; it is not imported


class WarningLines(logging.Handler):
    """Logging handler that prints warnings to the `sys.stderr` of the moment, which a live view replaces.

    In JSON it prints a run's events, too.
    """

    def __init__(self) -> None:
        super().__init__(logging.INFO if is_json() else logging.WARNING)
        self.setFormatter(JsonFormatter() if is_json() else logging.Formatter("hybridloop: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record to standard error."""
        print(escape_control(self.format(record)), file=sys.stderr, flush=True)


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
