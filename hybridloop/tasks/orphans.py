"""Closes the sessions that runs left open whose process is gone, and no others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hybridloop.azure.client import ServiceClient
from hybridloop.azure.listing import open_client
from hybridloop.azure.workspace import identity_of
from hybridloop.errors import HybridloopError, JournalDamaged, LeaseLost, RunBusy
from hybridloop.journal import Journal, Lease, RunRecord, SessionRow
from hybridloop.runtime.clock import RealClock

_UNDER_WAY = frozenset({"created", "running"})


@dataclass(frozen=True, slots=True)
class Swept:
    """A session that was open by the journal, and what was done: closed, or left for the reason given."""

    run_key: str
    session: str
    done: str


def sweep(journal: Journal, workspace: Any) -> list[Swept]:
    """Close what is open of all runs whose owner is gone, and mark those runs interrupted."""
    open_ = journal.open_sessions()
    with open_client(workspace) as service:
        swept = _swept(journal, service, identity_of(workspace), open_)
    for record in journal.runs_by_status(_UNDER_WAY):
        _mark(journal, record)
    return swept


def sweep_run(journal: Journal, record: RunRecord, workspace: Any) -> list[Swept]:
    """The same for one run. Nothing is sent where nothing is open."""
    open_ = [(record, row) for row in journal.sessions(record.uid) if row.ended_at is None]
    swept: list[Swept] = []
    if open_:
        with open_client(workspace) as service:
            swept = _swept(journal, service, identity_of(workspace), open_)
    _mark(journal, record)
    return swept


def unfinished_jobs(journal: Journal, run_uid: str) -> list[str]:
    """The ids of the run's jobs of which it is not known how they ended."""
    return [
        job.id
        for round_ in journal.rounds(run_uid)
        if not round_.complete
        for job in round_.jobs
        if job.state in {"intended", "submitted"}
    ]


def is_orphaned(record: RunRecord, now: float) -> bool:
    """Whether a run is under way by the journal, or was about to be, and the process that held it is gone."""
    is_begun = record.status == "running" or (record.status == "created" and record.owner is not None)
    return is_begun and not is_held(record, now)


def is_held(record: RunRecord, now: float) -> bool:
    """Whether a process that may live holds the run."""
    lapsed = record.lease_expires_at is not None and now >= record.lease_expires_at
    return record.owner is not None and not lapsed and not record.owner.is_known_dead()


def _swept(
    journal: Journal, service: ServiceClient, here: dict[str, str], open_: Iterable[tuple[RunRecord, SessionRow]]
) -> list[Swept]:
    return [Swept(record.key, row.id, _close(journal, service, here, record, row)) for record, row in open_]


def _close(journal: Journal, service: ServiceClient, here: dict[str, str], record: RunRecord, row: SessionRow) -> str:
    if record.settings.get("workspace", here) != here:
        return "left: it is in another workspace"
    lease: Lease | None
    try:
        lease = journal.claim(record.uid)
    except RunBusy as error:
        return f"left: its run is held by {error.holder}"
    except JournalDamaged:  # nothing can be gone on with; its session is closed all the same
        lease = None
    try:
        found = service.close_session(row.id)
        status = "never opened" if found is None else str(found["status"])
        journal.end_session(lease, record.uid, row.ordinal, status, RealClock().now())
        return f"closed: {status}"
    except LeaseLost:
        return "left: another process took its run over"
    except HybridloopError as error:
        return f"left: {error}"
    finally:
        if lease is not None:
            _let_go(journal, lease, record)


def _mark(journal: Journal, record: RunRecord) -> None:
    """Say of a run that is under way by the journal, and in nobody's hands, that it was interrupted."""
    if not is_orphaned(record, RealClock().now()):
        return
    try:
        lease = journal.claim(record.uid)
    except (RunBusy, JournalDamaged):
        return
    try:
        if journal.run(record.uid).status in _UNDER_WAY:
            journal.set_status(lease, "interrupted", "its process ended without a word")
    finally:
        _let_go(journal, lease, record)


def _let_go(journal: Journal, lease: Lease, record: RunRecord) -> None:
    """Hold the run no longer; a wish that it be gone on with, which a claim takes for met, is written down again."""
    journal.release(lease)
    if record.resume_requested:
        journal.request_resume(record.uid)
