"""The sessions of a run, one after the other, one open at a time: opened, adopted, renewed and closed here alone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from hybridloop.azure.client import CLOSE_TIMEOUT_S, ServiceClient
from hybridloop.azure.retry import ATTEMPTS
from hybridloop.azure.targets import Target
from hybridloop.errors import AccessDenied, HybridloopError, InputError, ServiceRefused, SessionEnded
from hybridloop.journal import SessionRow
from hybridloop.journal.claimed_run import ClaimedRun
from hybridloop.runtime.clock import Clock, ClockLock
from hybridloop.runtime.crash_points import crash_point
from hybridloop.tasks.failure_policy import FailurePolicy
from hybridloop.tasks.submission.job_ids import session_id

TERMINAL = frozenset({"Succeeded", "Failed", "TimedOut"})
_NOT_BY_US = frozenset({"TimedOut", "Failed"})

_log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HeldSession:
    """A session that is open as far as we know: the run's `ordinal`-th, from 0."""

    ordinal: int
    id: str


class SessionRenewal:
    """Gives the session that a job is to go to, whichever that is by now. May be used from several threads.

    `on_open` is called with every session that is opened or adopted and the moment it was opened, under no lock.
    """

    def __init__(
        self,
        service: ServiceClient,
        run: ClaimedRun,
        target: Target,
        policy: FailurePolicy,
        clock: Clock,
        *,
        name: str,
        on_open: Callable[[HeldSession, float], None] = lambda _held, _at: None,
    ) -> None:
        self._service = service
        self._run = run
        self._target = target
        self._policy = policy
        self._clock = clock
        self._name = name
        self._on_open = on_open
        self._lock = ClockLock(clock)  # held over exchanges with the service, and the waits between them
        self._held: HeldSession | None = None
        self._next_reason = ""
        self._rows = list(run.journal.sessions(run.uid))  # nobody else writes them while we hold the run
        self._renewals = sum(row.reason in _NOT_BY_US for row in self._rows)
        self._closed = False

    @property
    def rows(self) -> list[SessionRow]:
        """All sessions of the run so far, in order."""
        return list(self._rows)

    @property
    def held(self) -> HeldSession | None:
        """The session that is open, if one is."""
        return self._held

    def current(self) -> HeldSession:
        """The open session; where there is none, the run's last one is adopted if it lives, else the next is opened.

        Raises SessionEnded when the run is leaving, or where the policy allows no further session.
        """
        with self._lock:
            if self._closed:
                raise SessionEnded(
                    "the session has been closed", "Nothing was submitted.", "Open a new one for more rounds."
                )
            if self._held is not None:
                return self._held
            held, opened_at = self._adopted() or self._opened()
            self._held = held
        self._on_open(held, opened_at)
        return held

    def over(self, ordinal: int) -> None:
        """Take note that the service ended a session of ours; the next job opens the next one.

        Raises SessionEnded where the policy allows none.
        """
        with self._lock:
            if self._held is None or self._held.ordinal != ordinal:
                return  # somebody else has noticed
            found = self._service.find_session(self._held.id)
            status = str(found["status"]) if found else "gone"
            self._ended(ordinal, status)
            self._held = None
            self._next_reason = status
            self._renewals += 1
            fails = self._policy.on_session_lost == "fail"
            if fails or self._renewals > self._policy.max_renewals:
                why = "the failure policy allows no other" if fails else f"it was renewed {self._renewals - 1} times"
                raise SessionEnded(
                    f"the service ended the session ({status}), and {why}",
                    "All results so far are kept; jobs that were cancelled with it gave none.",
                    "Resume the run (`hybridloop runs resume`), which opens another session.",
                )

    def is_over(self, ordinal: int) -> bool:
        """Whether the service has ended that session of the run."""
        held = self._held
        if held is None or held.ordinal != ordinal:
            return True
        return self._service.get_session(held.id)["status"] in TERMINAL

    def lapse(self, reason: str) -> None:
        """Close the open session because it would idle; the next job opens the next one."""
        with self._lock:
            if self._held is None:
                return
            held, self._held, self._next_reason = self._held, None, reason
            crash_point("renew.before")
            found = self._service.close_session(held.id)
            self._ended(held.ordinal, found["status"] if found else "gone")
            crash_point("renew.after")
        _log.info("session %s was closed: %s; the next job opens another", held.id, reason)

    def ordinal_of(self, identifier: object, default: int) -> int:
        """The number of the run's session of that id."""
        return next((row.ordinal for row in self.rows if row.id == identifier), default)

    def close(self, *, attempts: int = ATTEMPTS, timeout_s: float = CLOSE_TIMEOUT_S) -> str | None:
        """Close whatever session of the run is open, this process's or an earlier one's; its status, if there was one.

        Raises ServiceError; then it stays open until somebody sweeps it or the service ends it.
        """
        with self._lock:
            self._closed = True
            status = None
            for row in self.rows:
                if row.ended_at is None:
                    status = self._close(row, attempts, timeout_s)
                elif row.is_draining:
                    swallowed(partial(self._look_again, row))
            self._held = None
            return status

    def _close(self, row: SessionRow, attempts: int, timeout_s: float) -> str:
        crash_point("close.before")
        found = self._service.close_session(row.id, attempts=attempts, timeout_s=timeout_s)
        status = "never opened" if found is None else str(found["status"])  # its opening was only written down
        crash_point("close.after")
        self._ended(row.ordinal, status)
        return status

    def _look_again(self, row: SessionRow) -> None:
        """Note how a session stands that was closed over its running jobs, as a run does that is parked."""
        found = self._service.find_session(row.id)
        self._ended(row.ordinal, "gone" if found is None else str(found["status"]))

    def _ended(self, ordinal: int, status: str) -> None:
        row = self._rows[ordinal]
        now = self._clock.now() if row.ended_at is None else row.ended_at
        self._rows[ordinal] = replace(row, status=status, ended_at=now)
        self._run.journal.end_session(self._run.lease, self._run.uid, ordinal, status, now)

    def _adopted(self) -> tuple[HeldSession, float] | None:
        rows = self._rows
        if not rows or rows[-1].ended_at is not None:
            self._next_reason = self._next_reason or ("resumed" if rows else "")
            return None
        row = rows[-1]
        found = self._service.find_session(row.id)
        if found is None:
            self._put(row.id)
        elif found["status"] in TERMINAL:
            self._ended(row.ordinal, found["status"])
            self._next_reason = found["status"]
            return None
        _log.info("session %s goes on", row.id)
        return HeldSession(row.ordinal, row.id), row.opened_at

    def _opened(self) -> tuple[HeldSession, float]:
        ordinal = len(self._rows)
        held = HeldSession(ordinal, session_id(self._run.uid, ordinal))
        now = self._clock.now()
        row = SessionRow(ordinal, held.id, self._target.name, "Waiting", self._next_reason, now, None)
        self._run.journal.add_session(self._run.lease, row)
        self._rows.append(row)
        step = "renew" if ordinal else "open"
        crash_point(f"{step}.before")
        self._put(held.id)
        crash_point(f"{step}.after")
        if ordinal:
            _log.info("session %s follows as number %d: %s", held.id, ordinal, self._next_reason)
        self._next_reason = ""
        return held, now

    def _put(self, identifier: str) -> None:
        policy = self._policy.session_on_job_failure.capitalize()
        try:
            self._service.open_session(identifier, self._name, self._target, policy)
        except (InputError, AccessDenied, ServiceRefused):
            # for certain; an unclear answer may hide a session that is open, and the close that is owed tells
            ordinal = self._rows[-1].ordinal
            self._ended(ordinal, "refused")
            raise


def swallowed(last_act: Callable[[], T]) -> T | None:
    """What a last act came to, where something else is on its way out already and must not be hidden by its trouble."""
    try:
        return last_act()
    except HybridloopError as error:
        _log.warning("while leaving the run: %s", error)
        return None
