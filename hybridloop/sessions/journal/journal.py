"""The journal: what was asked, submitted, measured and spent, written before it is used."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import Connection

from hybridloop.errors import JournalDamaged
from hybridloop.home import home
from hybridloop.sessions.journal import accounts, leases, lineage, programs, pruning, rounds, runs, spans
from hybridloop.sessions.journal.encoding import encode_json
from hybridloop.sessions.journal.location import Location, make_private
from hybridloop.sessions.journal.migrating import migrate
from hybridloop.sessions.journal.owner import Owner
from hybridloop.sessions.journal.records import (
    Charge,
    DamagedRun,
    Effort,
    Event,
    JobIntent,
    JobOutcome,
    Lease,
    NewRun,
    Ping,
    Progress,
    PubRecord,
    RoundRecord,
    RunRecord,
    SessionRow,
    Span,
)
from hybridloop.sessions.journal.rows import rewrite
from hybridloop.sessions.journal.schema import states
from hybridloop.sessions.journal.store import Store

R = TypeVar("R")
BUSY_S = 10.0
_AT_ONCE = 128  # rounds

_log = logging.getLogger(__name__)


def open_journal(environ: Mapping[str, str] = os.environ, *, now: Callable[[], float] = time.time) -> Journal:
    """The journal of HYBRIDLOOP_JOURNAL, else the one in the folder of all state."""
    if url := environ.get("HYBRIDLOOP_JOURNAL"):
        return Journal(url, now=now)
    folder = make_private(home(environ))
    return Journal(journal_url(folder / "journal.db"), now=now)


def journal_url(path: Path) -> str:
    """The URL of a journal in a file."""
    return f"sqlite:///{path}"


class Journal:
    """A journal that is open, for any number of threads; `now` is the time in seconds since the epoch.

    What a run's owner writes takes its lease, which is checked in the same transaction: LeaseLost, and nothing is
    written, if another has taken the run over. All that is read is verified (JournalDamaged). Lists that are gone
    through for every run's sake leave out what is damaged, so that it keeps nobody from the others; a warning says so,
    once for each run. `busy_s` bounds the wait for other processes' locks; once that was in vain, later writes hardly
    wait, until one gets through.
    """

    def __init__(self, url: str, *, now: Callable[[], float] = time.time, busy_s: float = BUSY_S) -> None:
        self._now = now
        self._store = Store(Location.parse(url), busy_s=busy_s)
        self._told: set[str] = set()  # the damaged runs that were named
        try:
            migrate(self._store, busy_s=busy_s)
        except BaseException:  # whatever it was, an interruption too: nobody else has the connections to close
            self._store.close()
            raise

    def __repr__(self) -> str:
        return f"Journal({str(self._store.location)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._store.close()

    # Runs

    def add_run(self, new: NewRun) -> RunRecord:
        """A new run that nobody holds yet; RunKeyTaken if its key is used, InputError if it is no key."""
        with self._store.writing() as connection:
            return runs.add(connection, new, now=self._now())

    def run(self, key_or_uid_prefix: str) -> RunRecord:
        """The run of a key, else the only one whose uid begins so (4 digits or more); InputError else."""
        with self._store.reading() as connection:
            return runs.find(connection, key_or_uid_prefix)

    def run_of_key(self, key: str) -> RunRecord | None:
        """The run of a key, if there is one; a uid is none."""
        with self._store.reading() as connection:
            return runs.of_key(connection, key)

    def run_of_flow(self, flow_run_id: str) -> RunRecord | None:
        """The run that a Prefect flow run began."""
        with self._store.reading() as connection:
            return runs.of_flow(connection, flow_run_id)

    def runs(self, *, limit: int = 100, before: float | None = None) -> Sequence[RunRecord]:
        """Runs that were created before a moment, newest first, without those that are damaged."""
        with self._store.reading() as connection:
            found = runs.newest(connection, limit=limit, before=before)
        return [each for each in found if not isinstance(each, DamagedRun)]

    def overview(self, *, limit: int) -> Sequence[tuple[RunRecord, Effort] | DamagedRun]:
        """The newest runs and how far they are, for a list: their complete rounds are neither read nor verified."""
        with self._store.reading() as connection:
            found = runs.newest(connection, limit=limit, before=None)
            efforts = accounts.efforts(connection, [each.uid for each in found if isinstance(each, RunRecord)])
        return [_with_effort(each, efforts) for each in found]

    def set_status(self, lease: Lease, status: str, reason: str, result: Mapping[str, Any] | None = None) -> None:
        """How the run stands; a result that is there stays unless a new one is given."""
        with self._held(lease) as (connection, state):
            state |= {"status": status, "reason": reason, "updated_at": self._now()}
            rewrite(connection, states, [state if result is None else state | {"result": encode_json(result)}])

    def request_stop(self, run_uid: str) -> None:
        """Ask the run's owner to end in order; it sees so when it renews its lease."""
        self._flag(run_uid, stop_requested=1, resume_requested=0)

    def request_resume(self, run_uid: str) -> None:
        """Ask for the run to be gone on with, which also takes back a request to stop."""
        self._flag(run_uid, stop_requested=0, resume_requested=1)

    def in_status(self, statuses: Collection[str]) -> Sequence[RunRecord]:
        """All runs that stand so, newest first; what is damaged is left out."""
        with self._store.reading() as connection:
            found = runs.in_status(connection, statuses)
        return self._sound(found)

    def asked_for(self) -> Sequence[RunRecord]:
        """All runs that somebody wants to be gone on with, newest first; what is damaged is left out."""
        with self._store.reading() as connection:
            found = runs.asked_for(connection)
        return self._sound(found)

    # What is old

    def old_runs(self, *, older_than: float, statuses: Collection[str] = pruning.ENDED_WELL) -> Sequence[str]:
        """The uids of runs that ended so before a moment (epoch seconds), with no session open."""
        with self._store.reading() as connection:
            return pruning.old(connection, older_than=older_than, statuses=statuses)

    def forget(self, run_uids: Sequence[str]) -> int:
        """Forget these runs, unless somebody holds them, and the programs that no other run needs; their number.

        One that is damaged is left as it is.
        """
        return self._prune(pruning.forget, run_uids)

    def strip(self, run_uids: Sequence[str]) -> int:
        """Forget what was measured of these runs, unless somebody holds them, and keep their results; their number.

        One that is damaged is left as it is.
        """
        return self._prune(pruning.strip, run_uids)

    def compact(self) -> int:
        """Give the room of what was forgotten back to the disk, where it is worth it; the number of bytes.

        Nothing is done while somebody holds a run, because it keeps the journal from all writers; a server does it by
        itself.
        """
        with self._store.reading() as connection:
            is_in_use = pruning.is_any_held(connection, now=self._now())
        return 0 if is_in_use else self._store.compact()

    def _prune(self, act: Callable[..., int], run_uids: Sequence[str]) -> int:
        done, left = 0, list[DamagedRun]()
        for first in range(0, len(run_uids), pruning.AT_ONCE):
            with self._store.writing() as connection:
                done += act(connection, run_uids[first : first + pruning.AT_ONCE], left, now=self._now())
        self._sound(left)
        if done:
            with self._store.writing() as connection:
                programs.forget_unused(connection)
        return done

    # The lease

    def claim(self, run_uid: str, *, now: float | None = None, owner: Owner | None = None) -> Lease:
        """Hold the run for 60 s; RunBusy if a process that may live does, JournalDamaged if rounds are missing."""
        with self._store.writing() as connection:
            at = self._now() if now is None else now
            return leases.claim(connection, run_uid, owner or Owner.of_this_process(), now=at)

    def renew(self, lease: Lease, *, now: float | None = None) -> RunRecord:
        """Hold the run for another 60 s; the run, which tells whether it is asked to stop. LeaseLost if taken over."""
        with self._store.writing() as connection:
            leases.renew(connection, lease, now=self._now() if now is None else now)
            return runs.by_uid(connection, lease.run_uid)

    def release(self, lease: Lease) -> None:
        """Hold the run no longer; no error if it was lost before."""
        with self._store.writing() as connection:
            leases.release(connection, lease)

    # Rounds

    def begin_round(
        self,
        lease: Lease,
        stream: str,
        sequence: int,
        target: str,
        pubs: Sequence[PubRecord],
        jobs: Sequence[JobIntent],
        programs: Mapping[str, bytes],
        *,
        at: float | None = None,
    ) -> None:
        """Write a round before anything of it is submitted; programs of keys that are there are left as they are.

        `at` is the time of the run's own clock; left out: this journal's.
        """
        asked = RoundRecord(stream, sequence, target, tuple(pubs), (), complete=False)
        with self._held(lease) as (connection, state):
            rounds.begin(connection, state, asked, jobs, programs)
            spans.begin(connection, lease.run_uid, spans.round_place(stream, sequence), self._time(at))

    def add_attempts(
        self,
        lease: Lease,
        stream: str,
        sequence: int,
        jobs: Sequence[JobIntent],
        programs: Mapping[str, bytes] | None = None,
    ) -> None:
        """Write further attempts of jobs of a round before they are submitted."""
        with self._held(lease) as (connection, state):
            rounds.add_attempts(connection, state, stream, sequence, jobs, programs or {})

    def submitted(self, lease: Lease, ids: Sequence[str]) -> None:
        """The service has these jobs."""
        with self._held(lease) as (connection, _):
            rounds.mark_submitted(connection, lease.run_uid, ids)

    def finished(
        self,
        lease: Lease,
        stream: str,
        sequence: int,
        outcomes: Sequence[JobOutcome],
        *,
        complete: bool,
        at: float | None = None,
    ) -> None:
        """What became of jobs of a round, and whether it is complete. A job that is done keeps its counts."""
        with self._held(lease) as (connection, _):
            rounds.finish(connection, lease.run_uid, stream, sequence, outcomes, complete=complete)
            if complete:
                spans.end(connection, lease.run_uid, spans.round_place(stream, sequence), self._time(at))

    def round(self, run_uid: str, stream: str, sequence: int) -> RoundRecord | None:
        """The round of a place; None if it was never begun."""
        with self._store.reading() as connection:
            return next(iter(rounds.span(connection, run_uid, stream, sequence, 1)), None)

    def rounds(self, run_uid: str) -> Iterator[RoundRecord]:
        """All rounds, stream by stream in the order of their numbers."""
        with self._store.reading() as connection:
            streams = rounds.streams(connection, runs.state_of(connection, run_uid))
        for stream, number in streams.items():
            for first in range(0, number, _AT_ONCE):
                with self._store.reading() as connection:
                    found = rounds.span(connection, run_uid, stream, first, min(_AT_ONCE, number - first))
                yield from found

    def program(self, key: str) -> bytes | None:
        """The program of a key."""
        with self._store.reading() as connection:
            return programs.body_of(connection, key)

    # Sessions, pings, events

    def add_session(self, lease: Lease, row: SessionRow) -> None:
        """Write a session before it is opened."""
        with self._held(lease) as (connection, state):
            lineage.add_session(connection, state, row)

    def end_session(self, lease: Lease | None, run_uid: str, ordinal: int, status: str, now: float) -> None:
        """How a session ended. Without a lease only for a run whose owner is gone: LeaseLost if it may live."""
        with self._store.writing() as connection:
            leases.held_or_gone(connection, run_uid, lease, now=now)
            lineage.end_session(connection, run_uid, ordinal, status, now)

    def sessions(self, run_uid: str) -> Sequence[SessionRow]:
        """The run's sessions in their order."""
        with self._store.reading() as connection:
            return lineage.sessions_of(connection, run_uid)

    def open_sessions(self) -> Sequence[tuple[RunRecord, SessionRow]]:
        """All sessions that are not known to have ended, with their runs; what is damaged is left out."""
        with self._store.reading() as connection:
            found = lineage.open_sessions(connection)
        return self._sound(found)

    def add_ping(self, lease: Lease, ping: Ping) -> None:
        """Write a ping before it is submitted."""
        with self._held(lease) as (connection, state):
            lineage.add_ping(connection, state, ping)

    def end_ping(
        self,
        lease: Lease,
        ping_id: str,
        state: str,
        billed: Mapping[str, float] | None = None,
        *,
        at: float | None = None,
    ) -> None:
        """How a ping stands; `at` as in `begin_round`."""
        with self._held(lease) as (connection, _):
            session, n = lineage.end_ping(connection, lease.run_uid, ping_id, state, billed)
            if state != "lost":  # which was never sent
                note = spans.begin if state == "submitted" else spans.end
                note(connection, lease.run_uid, spans.ping_place(session, n), self._time(at))

    def pings(self, run_uid: str) -> Sequence[Ping]:
        """The run's pings in the order of their sessions and numbers."""
        with self._store.reading() as connection:
            return lineage.pings_of(connection, run_uid)

    def spans(self, run_uid: str) -> Mapping[str, Span]:
        """When the run's rounds and pings were in flight, by `round_place` and `ping_place`.

        One from before this was written down is not there.
        """
        with self._store.reading() as connection:
            return spans.of_run(connection, run_uid)

    def note(self, lease: Lease, kind: str, facts: Mapping[str, Any]) -> None:
        """Write an event: a renewal, a takeover, a repeat, a stop."""
        with self._held(lease) as (connection, state):
            lineage.add_event(connection, state, kind, facts, self._now())

    def events(self, run_uid: str) -> Sequence[Event]:
        """The run's events in the order of their writing."""
        with self._store.reading() as connection:
            return lineage.events_of(connection, run_uid)

    # Accounts

    def charges(self, run_uid: str) -> Sequence[Charge]:
        """What each job and ping of the run may cost, and did."""
        with self._store.reading() as connection:
            return accounts.charges(connection, run_uid)

    def progress(self, run_uid: str) -> Progress:
        """How far the run is."""
        with self._store.reading() as connection:
            return accounts.progress(connection, run_uid)

    def _sound(self, found: Sequence[R | DamagedRun]) -> list[R]:
        """What is not damaged; what is, is named."""
        sound: list[R] = []
        for each in found:
            if not isinstance(each, DamagedRun):
                sound.append(each)
            elif each.uid not in self._told:
                self._told.add(each.uid)
                _log.warning("run %s is left alone: %s", each.key or each.uid, each.error)
        return sound

    def _time(self, at: float | None) -> float:
        return self._now() if at is None else at

    @contextmanager
    def _held(self, lease: Lease) -> Iterator[tuple[Connection, dict[str, Any]]]:
        with self._store.writing() as connection:
            yield connection, leases.held(connection, lease)

    def _flag(self, run_uid: str, **flags: int) -> None:
        with self._store.writing() as connection:
            rewrite(connection, states, [runs.locked_state_of(connection, run_uid) | flags])


def _with_effort(
    run: RunRecord | DamagedRun, efforts: Mapping[str, Effort | JournalDamaged]
) -> tuple[RunRecord, Effort] | DamagedRun:
    if isinstance(run, DamagedRun):
        return run
    effort = efforts[run.uid]
    return DamagedRun(run.uid, run.key, effort) if isinstance(effort, JournalDamaged) else (run, effort)
