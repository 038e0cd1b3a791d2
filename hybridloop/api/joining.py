"""Join a session that is open at the service: with the run of the journal that opened it, or with a new run."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hybridloop.errors import InputError, LeaseLost
from hybridloop.journal import SessionRow, open_journal

if TYPE_CHECKING:
    from hybridloop.azure.listing import Row
    from hybridloop.journal.held_run import HeldRun

_LIST = "`hybridloop sessions list` and hybridloop.sessions() list them."


@dataclass(frozen=True, slots=True)
class JoinedSession:
    """A session to join, and the key and seed of the run that is resumed in it; None: a run without a key, a new seed.

    `active_at` is its last activity, from which its idle time counts, in seconds since the epoch.
    """

    session: SessionRow
    run_key: str | None
    seed: int | None
    active_at: float


def find_joined(
    workspace: Any, session_id: str, target: str | None, run_key: str | None, seed: int | None, *, now: float
) -> JoinedSession:
    """Look up an open session at the service, and its run in the journal; `now` is in seconds since the epoch.

    Raises InputError for a session that is unknown, has ended, is on another target or belongs to another run.
    """
    from hybridloop.azure.listing import list_jobs, open_client, session_expected, session_row
    from hybridloop.tasks.session_renewal import TERMINAL

    try:
        identifier = str(uuid.UUID(session_id))
    except (ValueError, TypeError, AttributeError):
        raise InputError("session_id", f"{session_id!r} is not the id of a session", _LIST) from None
    with open_client(workspace) as client, session_expected(identifier):
        row = session_row(client.get_session(identifier))
    if row["status"] in TERMINAL:
        remedy = f"Open a new one, without session_id; hybridloop.session({identifier!r}).jobs() has its jobs."
        raise InputError("session_id", f"session {identifier} has ended: {row['status']}", remedy)
    if target not in (None, row["target"]):
        raise InputError("target", f"session {identifier} is on {row['target']}, not {target}", "Leave target out.")
    with open_journal() as journal:
        run = journal.run_of_session(identifier)
    active_at = min(now, _last_activity(row, list_jobs(workspace, identifier), now))
    opened_at = min(now, _seconds(row["created"], active_at))
    session = SessionRow(0, identifier, str(row["target"]), str(row["status"]), "joined", opened_at)
    if run is None or run.has_drawn_key:
        return JoinedSession(session, run_key, seed, active_at)
    if run.algorithm != "session" or run.problem:
        problem = f"session {identifier} belongs to run {run.key!r} ({run.problem or run.algorithm})"
        remedy = "Call the flow again with that run_key." if run.algorithm == "session" else "Resume that run."
        raise InputError("session_id", problem, f"{remedy} `hybridloop runs show {run.key}` says how it ended.")
    if run_key not in (None, run.key):
        problem = f"session {identifier} belongs to run {run.key!r}, not {run_key!r}"
        raise InputError("run_key", problem, "Leave run_key out: the run of the session is resumed.")
    return JoinedSession(session, run.key, run.seed if seed is None else seed, active_at)


def join_session(run: HeldRun, session: SessionRow) -> None:
    """Make the session the first one of a new run; a run with a key that opened it has it already. Raises InputError.

    A run with a drawn key whose process has died has it no longer: it would be closed as orphaned.
    """
    known = run.journal.sessions(run.uid)
    if not known:
        if (before := run.journal.run_of_session(session.id)) is not None:
            (ordinal,) = [row.ordinal for row in run.journal.sessions(before.uid) if row.id == session.id]
            with suppress(LeaseLost):
                run.journal.end_session(None, before.uid, ordinal, "Joined", time.time())
        run.journal.add_session(run.lease, session)
    elif session.id not in {row.id for row in known}:
        problem = f"run {run.record.key!r} has sessions of its own"
        raise InputError("session_id", problem, "Leave session_id out, or give another run_key.")


def _last_activity(row: Row, jobs: Sequence[Row], now: float) -> float:
    """Return the latest time that the service states; now with a job in flight, or without any time."""
    from hybridloop.tasks.submission.jobs import TERMINAL

    if any(job["status"] not in TERMINAL for job in jobs):
        return now
    stated = [row["created"], *(job[name] for job in jobs for name in ("created", "ended"))]
    return max((_seconds(text, now) for text in stated if text is not None), default=now)


def _seconds(text: Any, default: float) -> float:
    """Parse a time of the service; `default` if it is missing or unreadable, as old versions of the service have it."""
    with suppress(TypeError, ValueError):
        return datetime.fromisoformat(text).timestamp()
    return default
