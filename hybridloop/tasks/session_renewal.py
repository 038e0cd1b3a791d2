"""Sessions of a run, one after the other and one open at a time: opened, adopted, renewed and closed only here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TypeVar

from hybridloop.azure.client import ServiceClient
from hybridloop.azure.job_document import billed_amounts, checked_amount
from hybridloop.azure.retry import ATTEMPTS
from hybridloop.data.statuses import NEVER_OPENED
from hybridloop.errors import AccessDenied, HybridloopError, InputError, ServiceRefused, SessionEnded
from hybridloop.journal import SessionRow
from hybridloop.journal.held_run import HeldRun, how_to_resume
from hybridloop.runtime.clock import Clock, ClockLock
from hybridloop.runtime.crash_points import crash_point
from hybridloop.runtime.durations import format_duration
from hybridloop.runtime.messages import level_of
from hybridloop.runtime.run_events import report
from hybridloop.runtime.text_table import count_text
from hybridloop.runtime.waits import CLOSE_TIMEOUT_S
from hybridloop.settings.failure_policy import FailurePolicy
from hybridloop.settings.keep_alive import IDLE_LIMIT_S
from hybridloop.targets import Target
from hybridloop.tasks.submission.job_ids import session_id

TERMINAL = frozenset({"Succeeded", "Failed", "TimedOut"})
_ENDED_BY_SERVICE = frozenset({"TimedOut", "Failed"})

_log = logging.getLogger(__name__)

T = TypeVar("T")


class SessionRenewal:
    """Opens, renews and closes the sessions of a run; thread-safe.

    `on_open` is called with every session that is opened or adopted, without holding a lock.
    """

    def __init__(
        self,
        service: ServiceClient,
        run: HeldRun,
        target: Target,
        policy: FailurePolicy,
        clock: Clock,
        *,
        name: str,
        on_open: Callable[[SessionRow], None] = lambda _: None,
    ) -> None:
        self._service = service
        self._run = run
        self._target = target
        self._policy = policy
        self._clock = clock
        self._name = name
        self._on_open = on_open
        self._lock = ClockLock(clock)  # held during requests to the service and the waits between them
        self._open_row: SessionRow | None = None
        self._rows = list(run.journal.sessions(run.uid))  # only the holder of the run writes them
        before = [event.facts["sessions"] for event in run.extensions[-1:]]
        self._next_reason = "extended" if before == [len(self._rows)] else ""
        self.active_at: float | None = None  # last activity of a joined session, before this process
        self._renewals = sum(row.reason in _ENDED_BY_SERVICE for row in self._rows)
        self._closed = False

    @property
    def rows(self) -> list[SessionRow]:
        """All sessions of the run so far, in order."""
        return list(self._rows)

    @property
    def open_row(self) -> SessionRow | None:
        """Record of the open session, as it was opened or adopted; None without one."""
        return self._open_row

    def current(self) -> SessionRow:
        """Return the open session; if none is open, adopt the run's last one if it lives, else open the next one.

        Raises SessionEnded if the run is being closed, or if the policy allows no further session.
        """
        with self._lock:
            if self._closed:
                raise SessionEnded(
                    "the session has been closed", "This round was not submitted.", "Open a new one for more rounds."
                )
            if self._open_row is not None:
                return self._open_row
            self._open_row = row = self._adopt() or self._open_next()
        self._on_open(row)
        return row

    def mark_ended(self, ordinal: int, idle_s: float | None = None) -> None:
        """Record that the service ended a session; the next job opens the next one.

        `idle_s`: seconds since its last activity, if nothing was in flight. Raises SessionEnded if the policy allows no
        further session.
        """
        with self._lock:
            if self._open_row is None or self._open_row.ordinal != ordinal:
                return  # another thread was first
            session = self._service.find_session(self._open_row.id)
            status = str(session["status"]) if session else "gone"
            row = self._open_row
            self._record_end(ordinal, status)
            self._open_row = None
            self._next_reason = status
            self._renewals += 1
            fails, most = self._policy.on_session_lost == "fail", self._policy.max_renewals
            kind = "session.timed-out" if status == "TimedOut" else "session.ended"
            message = f"the service ended session {row.id}: {status}"
            if idle_s is not None and idle_s >= IDLE_LIMIT_S:
                message = f"session {row.id} lapsed during a step of {format_duration(idle_s)}"
            is_last = fails or self._renewals > most
            if not is_last:
                message += f"; the next job opens another (renewal {self._renewals} of {most})"
            report(kind, message, {"session": row.id, "status": status}, level=logging.WARNING)
            if is_last:
                why = "the failure policy allows no other" if fails else f"it was renewed {self._renewals - 1} times"
                raise SessionEnded(
                    f"the service ended the session ({status}), and {why}",
                    "All results so far are kept; jobs that were cancelled with it gave none.",
                    f"To resume the run in another session: {how_to_resume(self._run.record)}",
                )

    def has_ended(self, ordinal: int) -> bool:
        """Return True if the service has ended that session of the run."""
        row = self._open_row
        if row is None or row.ordinal != ordinal:
            return True
        return self._service.get_session(row.id)["status"] in TERMINAL

    def close_idle(self) -> None:
        """Close the open session because it is about to idle out; the next job opens the next one.

        One that another program opened stays open, because that program may have used it since.
        """
        with self._lock:
            if self._open_row is None or self._open_row.reason == "joined":
                return
            row, self._open_row, self._next_reason = self._open_row, None, "idle"
            crash_point("renew.before")
            session = self._service.close_session(row.id)
            self._record_end(row.ordinal, session["status"] if session else "gone")
            crash_point("renew.after")
        _log.info("session %s was closed: idle; the next job opens another", row.id)

    def ordinal_of(self, identifier: object, default: int) -> int:
        """Return the ordinal of the run's session with that id."""
        return next((row.ordinal for row in self.rows if row.id == identifier), default)

    def close(self, *, attempts: int = ATTEMPTS, timeout_s: float = CLOSE_TIMEOUT_S) -> str | None:
        """Close all sessions of the run that may be open; return the last one's status, None without one.

        Raises ServiceError; then it stays open until it is closed as orphaned or the service ends it.
        """
        with self._lock, ExitStack() as closed:  # each is closed, even if another one can't be
            self._closed = True
            self._open_row = None
            for row in reversed(self.rows):
                if row.ended_at is None:
                    closed.callback(self._close, row, attempts, timeout_s)
                elif row.is_draining:
                    closed.callback(log_errors, partial(self._update_status, row))
        return self._rows[-1].status if self._rows else None

    def _close(self, row: SessionRow, attempts: int, timeout_s: float) -> str:
        crash_point("close.before")
        session = self._service.close_session(row.id, attempts=attempts, timeout_s=timeout_s)
        status = NEVER_OPENED if session is None else str(session["status"])
        crash_point("close.after")
        self._record_end(row.ordinal, status)
        return status

    def _update_status(self, row: SessionRow) -> None:
        """Record the status of a session that was closed while jobs were running, as a parked run does."""
        session = self._service.find_session(row.id)
        self._record_end(row.ordinal, "gone" if session is None else str(session["status"]))

    def _record_end(self, ordinal: int, status: str) -> None:
        row = self._rows[ordinal]
        now = self._clock.now() if row.ended_at is None else row.ended_at
        self._rows[ordinal] = replace(row, status=status, ended_at=now)
        self._run.journal.end_session(self._run.lease, self._run.uid, ordinal, status, now)

    def _adopt(self) -> SessionRow | None:
        """Return the run's last session if an earlier process left it open and it lives."""
        rows = self._rows
        if not rows or rows[-1].ended_at is not None:
            self._next_reason = self._next_reason or ("resumed" if rows else "")
            return None
        row = rows[-1]
        session = self._service.find_session(row.id)
        if session is None:
            self._put(row)
        else:
            self._count_unknown_jobs(row)
            if session["status"] in TERMINAL:
                self._record_end(row.ordinal, session["status"])
                self._next_reason = session["status"]
                return None
        report("session.adopted", f"session {row.id} continues", {"session": row.id, "number": row.ordinal})
        return row if self.active_at is None else replace(row, opened_at=self.active_at)

    def _open_next(self) -> SessionRow:
        """Open the next session; the journal may be an earlier copy, and then further ones have been there already."""
        while (row := self._open_one()).ended_at is not None:
            self._next_reason = "restored"
        return row

    def _open_one(self) -> SessionRow:
        ordinal, reason = len(self._rows), self._next_reason
        identifier = session_id(self._run.uid, ordinal)
        row = SessionRow(ordinal, identifier, self._target.name, "Waiting", reason, self._clock.now(), None)
        self._run.journal.add_session(self._run.lease, row)
        self._rows.append(row)
        step = "renew" if ordinal else "open"
        crash_point(f"{step}.before")
        status = self._put(row)
        crash_point(f"{step}.after")
        self._next_reason = ""
        if status != "Waiting":  # a new one is
            self._count_unknown_jobs(row)
        if status in TERMINAL:
            _log.warning("session %s is known to the service: %s. The journal is of a time before it", row.id, status)
            self._record_end(ordinal, status)
            return self._rows[ordinal]
        self._report_opened(row)
        return row

    def _count_unknown_jobs(self, row: SessionRow) -> None:
        """Count under limits what the run's ended jobs cost that the journal lacks, as after a backup was restored."""
        found = {
            job["id"]: (int(checked_amount((job.get("inputParams") or {}).get("shots")) or 0), billed)
            for job in self._service.list_session_jobs(row.id)
            if str((job.get("metadata") or {}).get("place")).startswith(self._run.uid)
            and (billed := billed_amounts(job.get("costEstimate"))) is not None
        }
        if missing := self._run.journal.count_found(self._run.lease, found):
            number = count_text(missing, "job")
            _log.warning(
                "session %s has %s that this journal does not know: their cost counts from now", row.id, number
            )

    def _report_opened(self, row: SessionRow) -> None:
        page = self._service.session_page(row.id)
        kind, message = "session.opened", f"session {row.id} is open on {row.target}: {page}"
        if row.ordinal:
            kind, message = "session.renewed", f"session {row.id} follows as number {row.ordinal}: {row.reason}"
        report(
            kind,
            message,
            {"session": row.id, "number": row.ordinal, "target": row.target, "reason": row.reason, "page": page},
            level=logging.WARNING if row.reason in _ENDED_BY_SERVICE else logging.INFO,
            began_at=row.opened_at,
            ended_at=self._clock.now(),
        )

    def _name_of(self, row: SessionRow) -> str:
        """Return the name of the run's sessions, of a later one with the first digits of the id of that before it."""
        return f"{self._name} (after {self._rows[row.ordinal - 1].id[:8]})" if row.ordinal else self._name

    def _put(self, row: SessionRow) -> str:
        """Open a session, if it is not there already; return its status."""
        policy = self._policy.session_on_job_failure.capitalize()
        try:
            return str(self._service.open_session(row.id, self._name_of(row), self._target, policy)["status"])
        except (InputError, AccessDenied, ServiceRefused):
            # only these are certain: an unclear answer may hide an open session, which the close then finds
            self._record_end(row.ordinal, "refused")
            raise


def closed_with_its_block() -> SessionEnded:
    """Return the error of a round that is asked for after the `with` block of its session."""
    remedy = "Run circuits inside of the block, or open a session again."
    return SessionEnded("the session was closed at the end of its with block", "Nothing was submitted.", remedy)


def log_errors(action: Callable[[], T]) -> T | None:
    """Return the action's result; its HybridloopError is logged, so that it does not hide the error in flight."""
    try:
        return action()
    except HybridloopError as error:
        _log.log(level_of(error), "while leaving the run: %s", error)
        return None
