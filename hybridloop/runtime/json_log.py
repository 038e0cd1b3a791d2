"""Log lines as JSON, one document each, with the run, the session, the round and the job that they are of."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from hybridloop.errors import InputError

VARIABLE = "HYBRIDLOOP_LOG"
EVENT, FACTS = "hybridloop_event", "hybridloop_facts"  # attributes of the record of a run's event
_FORMATS = ("text", "json")
_OF_RUN = ("session", "round")  # facts of an event that hold for the lines after it
_place: ContextVar[dict[str, Any] | None] = ContextVar("place of log lines", default=None)


def is_json(environ: Mapping[str, str] = os.environ) -> bool:
    """Return True if the user asked for log lines in JSON."""
    return environ.get(VARIABLE, "").lower() == "json"


def check_format(environ: Mapping[str, str] = os.environ) -> None:
    """Raise InputError for a format that there is not."""
    if (text := environ.get(VARIABLE, "")) and text.lower() not in _FORMATS:
        raise InputError(VARIABLE, f"{text!r} is no format of a log", f"Set it to {' or '.join(_FORMATS)}.")


@contextmanager
def lines_of(run: str) -> Iterator[None]:
    """Let the log lines of the block state the run of this key."""
    token = _place.set({"run": run})
    try:
        yield
    finally:
        with suppress(ValueError):  # the block is left in another context than it was entered in, as by another task
            _place.reset(token)


def place_of_lines() -> dict[str, Any] | None:
    """Return what the log lines of the calling code state, for a thread that works for the same run."""
    return _place.get()


def continue_lines(place: dict[str, Any] | None) -> None:
    """Let the log lines of the calling thread state what those of another one do."""
    _place.set(place)


def note_facts(facts: Mapping[str, Any]) -> None:
    """Let the log lines after an event state its session and round."""
    if (place := _place.get()) is not None:
        place.update({name: facts[name] for name in _OF_RUN if facts.get(name) is not None})


def json_line(message: str, level: int, logger: str, more: Mapping[str, Any] = {}) -> str:
    """Return a log line in JSON: time (UTC), level, logger and message, with the run's facts and `more`."""
    document = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": logging.getLevelName(level).lower(),
        "logger": logger,
        "message": message,
        **(_place.get() or {}),
        **more,
    }
    return json.dumps(document, default=str).replace("\x7f", "\\u007f")


class JsonFormatter(logging.Formatter):
    """Formatter of log records as JSON lines; those of a run's event have its kind and its facts."""

    def format(self, record: logging.LogRecord) -> str:
        more = dict(getattr(record, FACTS, {}))
        if (kind := getattr(record, EVENT, None)) is not None:
            more["event"] = kind
        if record.exc_info:
            more["error"] = self.formatException(record.exc_info)
        return json_line(record.getMessage(), record.levelno, record.name, more)
