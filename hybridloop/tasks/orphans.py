"""Close the sessions that runs left open whose process is gone, and no others."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hybridloop.azure.client import BRIEF_CLOSE, ServiceClient
from hybridloop.azure.listing import close_session, open_client
from hybridloop.azure.retry import ATTEMPTS
from hybridloop.azure.workspace import identity_of
from hybridloop.data.states import ORPHANED, State
from hybridloop.data.statuses import NEVER_OPENED
from hybridloop.errors import HybridloopError, JournalDamaged, LeaseLost, RunBusy
from hybridloop.journal import UNSETTLED, Journal, Lease, RunRecord, SessionRow
from hybridloop.runtime.waits import CLOSE_TIMEOUT_S
from hybridloop.tasks.submission.jobs import ACTIVE

_ACTIVE = frozenset({State.NEW, State.RUNNING})
NAME = "hybridloop"  # begins the name of a session that was given none


@dataclass(frozen=True, slots=True)
class OrphanedSession:
    """A session that is open in the journal, and the result: closed, or left open with the reason."""

    run_key: str
    session: str
    done: str


def close_orphaned_sessions(journal: Journal, workspace: Any) -> list[OrphanedSession]:
    """Close the open sessions of all runs whose owner is gone, and mark those runs as interrupted."""
    open_sessions = journal.open_sessions()
    with open_client(workspace) as service:
        orphans = _close_all(journal, service, workspace, open_sessions, (ATTEMPTS, CLOSE_TIMEOUT_S))
    for record in journal.runs_by_status(_ACTIVE):
        _mark_interrupted(journal, record)
    return orphans


def close_session_by_hand(journal: Journal, workspace: Any, session_id: str) -> dict[str, Any]:
    """Close a session and cancel its jobs that no run waits for; return it with their number.

    A run of this journal without a result waits for its jobs, if its user gave it a key, and so may other programs than
    hybridloop. Raises InputError if no session has that id.
    """
    closed, record = close_session(workspace, session_id), journal.run_of_session(session_id)
    is_over = record is not None and (record.result is not None or record.has_drawn_key)
    is_left = (closed["name"] or "").startswith(NAME) if record is None else is_over
    active = list[str]()
    if is_left:
        with open_client(workspace) as client:
            active = [job["id"] for job in client.list_session_jobs(session_id) if job.get("status") in ACTIVE]
            for job_id in active:
                client.cancel_job(job_id)
    return {**closed, "cancelled_jobs": len(active)}


def close_sessions_of_run(journal: Journal, record: RunRecord, workspace: Any) -> list[OrphanedSession]:
    """Close one run's open sessions and mark it as interrupted; the service is called only if a session is open.

    The attempts are few and short: the process that crashed has tried already, and its user waits for its end.
    """
    orphans: list[OrphanedSession] = []
    if open_sessions := [(record, row) for row in journal.sessions(record.uid) if row.ended_at is None]:
        with open_client(workspace) as service:
            orphans = _close_all(journal, service, workspace, open_sessions, BRIEF_CLOSE)
    _mark_interrupted(journal, record)
    return orphans


def unfinished_jobs(journal: Journal, run_uid: str) -> list[str]:
    """Return the ids of the run's jobs whose end is not recorded."""
    return [
        job.id
        for round_ in journal.rounds(run_uid)
        if not round_.complete
        for job in round_.jobs
        if job.state in UNSETTLED
    ]


def _close_all(
    journal: Journal,
    service: ServiceClient,
    workspace: Any,
    open_sessions: Sequence[tuple[RunRecord, SessionRow]],
    limits: tuple[int, float],
) -> list[OrphanedSession]:
    here = identity_of(workspace)
    return [
        OrphanedSession(record.key, row.id, _close(journal, service, here, record, row, limits))
        for record, row in open_sessions
    ]


def _close(
    journal: Journal,
    service: ServiceClient,
    here: dict[str, str],
    record: RunRecord,
    row: SessionRow,
    limits: tuple[int, float],
) -> str:
    if record.settings.get("workspace", here) != here:
        return "left: it is in another workspace"
    lease: Lease | None
    try:
        lease = journal.take_lease(record.uid)
    except RunBusy as error:
        return f"left: its run is held by {error.holder}"
    except JournalDamaged:  # the run can't be resumed; its session is closed all the same
        lease = None
    try:
        session = service.close_session(row.id, attempts=limits[0], timeout_s=limits[1])
        status = NEVER_OPENED if session is None else str(session["status"])
        journal.end_session(lease, record.uid, row.ordinal, status, time.time())
        return f"closed: {status}"
    except LeaseLost:
        return "left: another process took its run over"
    except HybridloopError as error:
        return f"left: {error}"
    finally:
        if lease is not None:
            _release(journal, lease, record)


def _mark_interrupted(journal: Journal, record: RunRecord) -> None:
    """Set the status of an orphaned run to interrupted."""
    if not record.is_orphaned(time.time()):
        return
    try:
        lease = journal.take_lease(record.uid)
    except (RunBusy, JournalDamaged):
        return
    try:
        if journal.run(record.uid).status in _ACTIVE:
            journal.set_status(lease, "interrupted", ORPHANED)
    finally:
        _release(journal, lease, record)


def _release(journal: Journal, lease: Lease, record: RunRecord) -> None:
    """Release the lease; a resume request, which holding it cleared, is set again."""
    journal.release(lease)
    if record.resume_requested:
        journal.request_resume(record.uid)
