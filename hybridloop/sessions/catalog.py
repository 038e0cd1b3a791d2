"""What a workspace has: targets, sessions and jobs, as rows to show."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from hybridloop.errors import InputError, ServiceRefused
from hybridloop.sessions.clock import RealClock
from hybridloop.sessions.service import Service
from hybridloop.sessions.targets import Target, check_circuit_fits, known_targets
from hybridloop.sessions.transport import ExchangeFailed, Trouble

Row = dict[str, Any]
UNAVAILABLE = "Unavailable"


@contextmanager
def service_of(workspace: Any) -> Iterator[Service]:
    """The workspace's service for a few calls."""
    service = Service(workspace, RealClock(), threading.Event())
    try:
        yield service
    finally:
        service.close()


def list_targets(workspace: Any) -> list[Row]:
    """The targets that programs can be sent to; those of other kinds (pulses, estimators) are left out."""
    known = known_targets()
    return [
        {
            "target": target.name,
            "provider": target.provider,
            "state": status.get("currentAvailability"),
            "queue_seconds": status.get("averageQueueTime"),
            "qubits": target.qubits,
            "max_shots": target.max_shots,
            "profile": target.profile,
            "samples": target.samples,
        }
        for name, status in target_statuses(workspace).items()
        if (target := known.get(name)) is not None
    ]


def check_offered(workspace: Any, target: Target, num_qubits: int) -> bool:
    """Raise InputError if the workspace does not offer the target, or not for so many qubits; opens nothing.

    Whether the target is available at the moment; one that is degraded is.
    """
    if (status := target_statuses(workspace).get(target.name)) is None:
        remedy = "Add its provider to the workspace, or choose another target (`hybridloop targets`)."
        raise InputError("target", f"this workspace does not offer {target.name}", remedy)
    limit = status.get("numQubits")  # not every service says it
    if isinstance(limit, int):
        check_circuit_fits(replace(target, qubits=limit), num_qubits)
    return status.get("currentAvailability") != UNAVAILABLE


def unavailable_targets(workspace: Any) -> frozenset[str]:
    """The targets that take no jobs at the moment, by their names in lower case."""
    statuses = target_statuses(workspace)
    return frozenset(name for name, status in statuses.items() if status.get("currentAvailability") == UNAVAILABLE)


def target_statuses(workspace: Any) -> dict[str, Row]:
    """What the service says of each target, under its name in lower case."""
    with service_of(workspace) as service:
        return {status["id"].lower(): status for provider in service.providers() for status in provider["targets"]}


def list_sessions(workspace: Any, limit: int) -> list[Row]:
    """The newest sessions."""
    with service_of(workspace) as service:
        return [_session_row(item) for item in itertools.islice(service.sessions(), limit)]


def show_session(workspace: Any, session_id: str) -> Row:
    """A session with its jobs counted by status. Raises InputError where there is none of that id."""
    with service_of(workspace) as service, _known(session_id):
        row = _session_row(service.session(session_id))
        counted: dict[str, int] = {}
        for job in service.jobs_of_session(session_id):
            counted[job["status"]] = counted.get(job["status"], 0) + 1
    return {**row, "jobs": counted}


def list_jobs(workspace: Any, session_id: str) -> list[Row]:
    """A session's jobs in the order of their creation. Raises InputError where there is no session of that id."""
    with service_of(workspace) as service, _known(session_id):
        return [_job_row(job) for job in service.jobs_of_session(session_id)]


def close_session(workspace: Any, session_id: str) -> Row:
    """Close a session and show it. Raises InputError where there is none of that id."""
    with service_of(workspace) as service:
        if (closed := service.close_session(session_id)) is None:
            raise _missing(session_id)
    return _session_row(closed)


def _session_row(item: Row) -> Row:
    """A session as the service has it, in our words; old ones lack some keys."""
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
def _known(session_id: str) -> Iterator[None]:
    try:
        yield
    except ServiceRefused as error:
        if isinstance(error.__cause__, ExchangeFailed) and error.__cause__.trouble is Trouble.MISSING:
            raise _missing(session_id) from error
        raise


def _missing(session_id: str) -> InputError:
    problem = f"this workspace has no session {session_id}"
    return InputError("session id", problem, "`hybridloop sessions list` shows the ids.")


def _job_row(item: Row) -> Row:
    error = item.get("errorData") or {}
    bill = item.get("costEstimate") or {}
    return {
        "id": item["id"],
        "name": item.get("name"),
        "status": item.get("status"),
        "shots": (item.get("inputParams") or {}).get("shots"),
        "created": item.get("creationTime"),
        "ended": item.get("endExecutionTime"),
        "cost": bill.get("estimatedTotal"),
        "unit": bill.get("currencyCode"),
        "error": " ".join(str(error[key]) for key in ("code", "message") if error.get(key)) or None,
    }
