"""Foreign text with its control characters escaped, and a logging handler that prints warnings so."""

from __future__ import annotations

import logging
import re
import sys

# C0 and C1 control characters but tab and line break, marks that turn the direction of text, separators of lines
_CONTROL = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]")


def escape_control(text: str) -> str:
    r"""Return the text with control characters, but tabs and line breaks, as escape sequences.

    >>> print(escape_control("\x1b[2J"))
    \x1b[2J
    """
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class WarningLines(logging.Handler):
    """Logging handler that prints warnings to the `sys.stderr` of the moment, which a live view replaces."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.setFormatter(logging.Formatter("hybridloop: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record to standard error."""
        print(escape_control(self.format(record)), file=sys.stderr, flush=True)


def level_of(error: BaseException) -> int:
    """Return the level at which an error is logged that ends nothing: a repeated one of an outage is no warning."""
    return logging.DEBUG if getattr(error, "is_repeated", False) else logging.WARNING
