"""Listings of a workspace: the status of its targets, and its sessions and jobs as rows to print."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from hybridloop.azure.client import ServiceClient
from hybridloop.azure.job_document import billed_amounts, checked_amount
from hybridloop.azure.transport import FailureKind, RequestFailed
from hybridloop.errors import InputError, InvalidValue, ServiceRefused
from hybridloop.runtime.clock import RealClock
from hybridloop.targets import Target, as_served, check_circuit_fits
from hybridloop.targets.provider_options import stated_qubits

Row = dict[str, Any]
UNAVAILABLE = "Unavailable"
SESSION_STATUSES = ("Waiting", "Executing", "Succeeded", "Failed", "Failure(s)", "TimedOut")


@contextmanager
def open_client(workspace: Any) -> Iterator[ServiceClient]:
    """Open a client of the workspace's service for a few calls; its connections are closed at the end."""
    client = ServiceClient(workspace, RealClock(), threading.Event())
    try:
        yield client
    finally:
        client.close()


def check_offered(workspace: Any, target: Target, num_qubits: int) -> bool:
    """Check that the workspace offers the target for so many qubits; return True if it is available now.

    A degraded target counts as available. No session is opened. Raises InputError.
    """
    if (status := target_statuses(workspace).get(target.name)) is None:
        remedy = "Add its provider to the workspace, or choose another target (`hybridloop targets`)."
        raise InputError("target", f"this workspace does not offer {target.name}", remedy)
    limit = stated_qubits(target, status.get("numQubits"))  # not every service states it
    stated = target if limit is None else replace(target, qubits=limit)
    check_circuit_fits(as_served(stated, status), num_qubits)
    return status.get("currentAvailability") != UNAVAILABLE


def unavailable_targets(workspace: Any) -> frozenset[str]:
    """Return the targets that take no jobs at the moment, by name in lower case."""
    statuses = target_statuses(workspace)
    return frozenset(name for name, status in statuses.items() if status.get("currentAvailability") == UNAVAILABLE)


def target_statuses(workspace: Any) -> dict[str, Row]:
    """Return the service's status of each target, by name in lower case; a target without a name is left out.

    The status has its provider's id as `providerId`.
    """
    with open_client(workspace) as client:
        return statuses_from(client)


def statuses_from(client: ServiceClient) -> dict[str, Row]:
    """Return the same from a client that is open."""
    statuses = [
        (provider.get("id"), status) for provider in client.list_providers() for status in provider.get("targets") or ()
    ]
    return {
        status["id"].lower(): {
            **status,
            "providerId": provider,
            "averageQueueTime": checked_amount(status.get("averageQueueTime")),
        }
        for provider, status in statuses
        if isinstance(status, dict) and isinstance(status.get("id"), str)
    }


def list_sessions(workspace: Any, limit: int, terms: Sequence[str] = ()) -> list[Row]:
    """List the newest sessions that meet the terms of `session_filter`, at most `limit`."""
    with open_client(workspace) as client:
        return [session_row(item) for item in itertools.islice(client.list_sessions(terms), limit)]


def session_filter(
    status: Iterable[str] = (),
    target: Iterable[str] = (),
    since: date | str | None = None,
    until: date | str | None = None,
) -> list[str]:
    """Return the terms of the service's filter for sessions of one of the statuses and targets, created in these days.

    The days are of UTC, `date` or text as 2026-11-28, both inclusive. Raises InputError for an unknown status, and for
    what is no target's name or no day.
    """
    known = {_letters(name): name for name in SESSION_STATUSES}
    statuses, targets = list(status), list(target)
    if unknown := [name for name in statuses if _letters(name) not in known]:
        raise InputError("status", f"no session is {unknown[0]!r}", f"Give some of {', '.join(SESSION_STATUSES)}.")
    if odd := [name for name in targets if not re.fullmatch(r"[\w.-]+", name)]:
        raise InputError("target", f"{odd[0]!r} is no name of a target", "`hybridloop targets` lists them.")
    equal = {"State": [known[_letters(name)] for name in statuses], "Target": targets}
    terms = ["(" + " or ".join(f"{of} eq '{name}'" for name in names) + ")" for of, names in equal.items() if names]
    days = {"since": ("ge", since), "until": ("le", until)}
    return terms + [f"CreationTime {how} {_day(name, day)}" for name, (how, day) in days.items() if day is not None]


def _letters(name: str) -> str:
    return re.sub(r"\W", "", name).lower()


def _day(name: str, day: date | str) -> str:
    if isinstance(day, datetime):
        return day.astimezone(UTC).date().isoformat()
    try:
        return (day if isinstance(day, date) else date.fromisoformat(day.strip())).isoformat()
    except ValueError as error:
        raise InvalidValue(name, f"must be a day, for example 2026-11-28, got {day!r}") from error


def show_session(workspace: Any, session_id: str) -> Row:
    """Return a session with its number of jobs by status. Raises InputError if no session has that id."""
    with open_client(workspace) as client, session_expected(session_id):
        row = session_row(client.get_session(session_id))
        by_status: dict[str, int] = {}
        for job in client.list_session_jobs(session_id):
            by_status[job["status"]] = by_status.get(job["status"], 0) + 1
    return {**row, "jobs": by_status}


def list_jobs(workspace: Any, session_id: str) -> list[Row]:
    """List a session's jobs in order of creation. Raises InputError if no session has that id."""
    with open_client(workspace) as client, session_expected(session_id):
        return [_job_row(job) for job in client.list_session_jobs(session_id)]


def close_session(workspace: Any, session_id: str) -> Row:
    """Close a session and return it. Raises InputError if no session has that id."""
    with open_client(workspace) as client:
        if (closed := client.close_session(session_id)) is None:
            raise _unknown_session(session_id)
    return session_row(closed)


def session_row(item: Row) -> Row:
    """Return a row of a session's JSON; sessions of old versions of the service lack some keys."""
    return {
        "id": item["id"],
        "name": item.get("name"),
        "target": item.get("target"),
        "status": item.get("status"),
        "session_on_job_failure": (item.get("jobFailurePolicy") or "").lower() or None,
        "created": item.get("creationTime"),
        "ended": item.get("endExecutionTime"),
    }


@contextmanager
def session_expected(session_id: str) -> Iterator[None]:
    """Translate the service's 404 into an InputError that names the session."""
    try:
        yield
    except ServiceRefused as error:
        if isinstance(error.__cause__, RequestFailed) and error.__cause__.kind is FailureKind.MISSING:
            raise _unknown_session(session_id) from error
        raise


def _unknown_session(session_id: str) -> InputError:
    problem = f"this workspace has no session {session_id}"
    return InputError("session id", problem, "`hybridloop sessions list` shows the ids.")


def _job_row(item: Row) -> Row:
    error = item.get("errorData") or {}
    billed = billed_amounts(item.get("costEstimate")) or {}
    unit = max(billed, key=lambda unit: billed[unit], default=None)  # one provider's jobs are billed in one unit
    return {
        "id": item["id"],
        "name": item.get("name"),
        "status": item.get("status"),
        "shots": checked_amount((item.get("inputParams") or {}).get("shots")),
        "created": item.get("creationTime"),
        "ended": item.get("endExecutionTime"),
        "cost": None if unit is None else billed[unit],
        "unit": unit,
        "error": " ".join(error[key] for key in ("code", "message") if error.get(key)) or None,
    }
