"""Journal: the open database of runs, with one method for each thing that is written or read."""

from __future__ import annotations

import logging
import math
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Self, TypeVar

from sqlalchemy import Connection

from hybridloop.data.statuses import WITH_RESULT
from hybridloop.errors import NOTHING_SUBMITTED, InputError, LimitReached
from hybridloop.journal import (
    amounts,
    charges,
    kept_amounts,
    leases,
    limits,
    programs,
    rounds,
    runs,
    sessions,
    spans,
    sums,
)
from hybridloop.journal.limits import LIMIT, LimitState, RunLimit
from hybridloop.journal.owner import Owner, note_ended
from hybridloop.journal.records import (
    Charge,
    DamagedRun,
    DayAmount,
    Event,
    FlowRunEnd,
    Job,
    Lease,
    Ping,
    PubRecord,
    RoundRecord,
    RunLabel,
    RunProgress,
    RunRecord,
    RunTotals,
    SessionRow,
    Settle,
    Span,
)
from hybridloop.journal.storage.database import WAIT_VARIABLE, Database
from hybridloop.journal.storage.location import Location, journal_url_of, make_private_folder, own_file
from hybridloop.journal.storage.migrate import migrate
from hybridloop.runtime.leaves import leaf
from hybridloop.runtime.waits import JOURNAL_BUSY_S, JOURNAL_SERVER_S

if TYPE_CHECKING:
    from hybridloop.journal import pruning
else:
    pruning = leaf("hybridloop.journal.pruning")

P = ParamSpec("P")
R = TypeVar("R")
Reserve = Callable[[Literal["jobs", "pings"], Sequence[Mapping[str, Any]]], None]
FLOW_RUN_VARIABLE = "PREFECT__FLOW_RUN_ID"  # in which a worker tells a process its flow run
_ROUNDS_PER_READ = 128

_log = logging.getLogger(__name__)


def open_journal(environ: Mapping[str, str] = os.environ, *, now: Callable[[], float] = time.time) -> Journal:
    """Open the journal that HYBRIDLOOP_JOURNAL names, else `journal.db` in the state folder.

    A worker's process waits for a server that does not answer: no user is there to start its run again. Raises
    InputError for an invalid variable.
    """
    if (url := journal_url_of(environ)) is not None:
        return Journal(url, now=now, waits=FLOW_RUN_VARIABLE in environ, wait_s=_wait_s(environ))
    path = own_file(environ)
    make_private_folder(path.parent)
    return Journal(journal_url(path), now=now)


def has_journal(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether there may be a journal already, for those who only look: `open_journal` makes one."""
    return journal_url_of(environ) is not None or own_file(environ).exists()


def _wait_s(environ: Mapping[str, str]) -> float:
    text = environ.get(WAIT_VARIABLE)
    try:
        wait_s = JOURNAL_SERVER_S if text is None else float(text)
    except ValueError:
        wait_s = math.nan
    if not 0 <= wait_s < math.inf:
        raise InputError(WAIT_VARIABLE, f"{text!r} is no time", "Give seconds, as 300.", NOTHING_SUBMITTED)
    return wait_s


def journal_url(path: Path) -> str:
    """Return the URL of a journal in an SQLite file."""
    return f"sqlite:///{path}"


class Journal:
    """An open journal, safe for several threads; `now` returns seconds since the epoch.

    Writes for a run need its lease, which is checked in the same transaction: LeaseLost is raised and nothing is
    written if another process has taken the run over. Everything read is verified (JournalDamaged). Lists over all runs
    leave damaged ones out, with one warning for each. A write waits up to `busy_s` for other processes' locks; after a
    write that timed out, later ones wait only a moment until one succeeds. A server that stops answering is
    waited for, `wait_s` seconds; with `waits`, also one that has not answered yet, whose address may be wrong.
    """

    def __init__(
        self,
        url: str,
        *,
        now: Callable[[], float] = time.time,
        busy_s: float = JOURNAL_BUSY_S,
        waits: bool = False,
        wait_s: float = JOURNAL_SERVER_S,
    ) -> None:
        self._now = now
        self._database = Database(Location.parse(url), busy_s=busy_s, waits=waits, wait_s=wait_s)
        self._warned_of: set[str] = set()  # uids of damaged runs
        self._has_warned_of_days = False
        try:
            migrate(self._database, busy_s=busy_s)
        except BaseException:  # KeyboardInterrupt too: the caller gets no journal to close
            self._database.close()
            raise

    def __repr__(self) -> str:
        return f"Journal({str(self._database.location)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()

    @property
    def location(self) -> Location:
        """The location of its database; `str()` of it has no password."""
        return self._database.location

    def copy_to(self, file: Path) -> int:
        """Copy the journal as it is now to an empty SQLite file; return the number of runs in it."""
        if self.location.is_file:
            self._database.save(file)
        else:
            with (
                tempfile.TemporaryDirectory(prefix="hybridloop-") as folder,
                Journal(journal_url(Path(folder) / file.name)) as copy,
            ):
                self._database.copy_to(copy._database)
                copy._database.save(file)
        with closing(sqlite3.connect(file)) as saved:
            return int(saved.execute("SELECT count(*) FROM runs").fetchone()[0])

    @contextmanager
    def replacing(self) -> Iterator[Callable[[Journal], None]]:
        """Keep all writers out; yield a function that puts the content of a journal in a file in this one's place."""
        with self._database.replacing() as replace:
            yield lambda other: replace(other._database)

    def take_over(self, other: Journal, *, keeps: bool) -> tuple[list[str], dict[str, float]]:
        """Take over limits and costs from the journal that this one, its backup, is to replace.

        That is the stricter one of two limits, and what jobs cost that this one lacks. Without `keeps` nothing is
        written. Returns a sentence for each limit that differs, and the cost by unit.
        """
        with (
            other._database.read_transaction() as source,
            self._database.write_transaction() as connection,
            connection.begin_nested() as trial,
        ):
            own = limits.read(connection)
            if keeps:
                limits.keep_stricter(connection, source)
            changes = limits.differences(limits.read_whole(source), own, limits.read(connection))
            cost = kept_amounts.carry(connection, source)
            if not keeps:
                trial.rollback()
        return changes, cost

    @property
    def id(self) -> str:
        """The id that the journal was given when it was created. A copy has it, too."""
        return self._read(runs.read_journal_id)

    @property
    def num_runs(self) -> int:
        """Number of runs, damaged ones included."""
        return self._read(runs.count)

    @property
    def size_bytes(self) -> int:
        """Size of its tables in the database, or of the file with its log."""
        return self._database.size_bytes()

    @property
    def num_unsettled(self) -> int:
        """Number of jobs whose end is not recorded."""
        return self._read(rounds.count_unsettled)

    def status_counts(self) -> Mapping[str, int]:
        """Return the number of runs by status, without reading their results; damaged ones are counted, too."""
        return self._read(runs.count_by_status)

    def oldest(self, status: str) -> float | None:
        """Return the time since which the first run has had this status; None without one."""
        return self._read(runs.oldest, status)

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    # Runs

    def add_run(self, new: RunRecord) -> RunRecord:
        """Add a run without owner. Raises RunKeyTaken if its key is in use, InputError if its key is invalid."""
        with self._database.write_transaction() as connection:
            return runs.add(connection, new, now=self._now())

    def settle_run(self, lease: Lease, run: RunRecord) -> None:
        """Write what preparation has found for a run that was added before: its versions, and its flow run."""
        with self._held(lease) as (connection, _):
            runs.settle(connection, run)

    def run(self, key_or_uid_prefix: str) -> RunRecord:
        """Return the run with this key, else the one whose uid begins so (4 digits or more). Raises InputError."""
        return self._read(runs.find, key_or_uid_prefix)

    def run_by_key(self, key: str) -> RunRecord | None:
        """Return the run with this key (not uid), if there is one."""
        return self._read(runs.by_key, key)

    def run_by_flow_run(self, flow_run_id: str) -> RunRecord | None:
        """Return the run that a Prefect flow run began, the latest if there are several."""
        return self._read(runs.by_flow_run, flow_run_id)

    def runs(self, *, limit: int = 100, before: float | None = None) -> Sequence[RunRecord]:
        """Return runs created before a time (epoch seconds), newest first, without damaged ones."""
        records = self._read(runs.newest, limit=limit, before=before)
        return [record for record in records if not isinstance(record, DamagedRun)]

    def overview(
        self, *, limit: int, statuses: Collection[str] | None = None
    ) -> Sequence[tuple[RunRecord, RunTotals] | DamagedRun]:
        """Return the newest runs with their totals; complete rounds are neither read nor verified.

        With statuses, these are all runs that have one of them, without damaged ones.
        """
        with self._database.read_transaction() as connection:
            if statuses is None:
                return charges.with_totals(connection, runs.newest(connection, limit=limit, before=None))
            return charges.with_totals(connection, self._intact(runs.by_status(connection, statuses)))

    def labels(self) -> Mapping[str, RunLabel | None]:
        """Return by uid what groups and names each run; None for a damaged one. States and results are not read."""
        return self._read(runs.labels)

    def set_status(
        self,
        lease: Lease,
        status: str,
        reason: str,
        result: Mapping[str, Any] | None = None,
        *,
        event: tuple[str, Mapping[str, Any]] | None = None,
        shown_in: tuple[str, int, bool] | None = None,
    ) -> None:
        """Write the run's status, and at once an event of this kind; a stored result stays unless one is given.

        An end in a flow run, `shown_in` its id, its start number and whether it was cancelled, waits in the outbox.
        """
        with self._held(lease) as (connection, state):
            if event is not None:
                sessions.add_event(connection, state, *event, self._now())
                state = runs.read_state(connection, lease.run_uid)
            state |= {"status": status, "reason": reason, "updated_at": self._now()}
            runs.write_state(connection, state, result)
            if shown_in is not None:
                flow_run, starts, cancelled = shown_in
                end = FlowRunEnd(flow_run, lease.run_uid, starts, status, reason, cancelled, state["updated_at"])
                runs.write_end(connection, end)

    def untold_ends(self) -> Sequence[FlowRunEnd]:
        """Return the ends that Prefect's server is not known to have, the oldest first."""
        return self._read(runs.read_ends)

    def forget_end(self, flow_run: str) -> None:
        """Note that Prefect's server has the end of a flow run."""
        with self._database.write_transaction() as connection:
            runs.forget_end(connection, flow_run)

    def request_stop(self, run_uid: str) -> None:
        """Ask the run's owner to stop; it sees the request when it renews its lease. Cancels a request to resume."""
        self._flag(run_uid, stop_requested=1, resume_requested=0)

    def request_resume(self, run_uid: str) -> None:
        """Ask for the run to be resumed; cancels a request to stop."""
        self._flag(run_uid, stop_requested=0, resume_requested=1)

    def runs_by_status(self, statuses: Collection[str]) -> Sequence[RunRecord]:
        """Return all runs with one of these statuses, newest first, without damaged ones."""
        return self._intact(self._read(runs.by_status, statuses))

    def runs_to_resume(self) -> Sequence[RunRecord]:
        """Return all runs with a request to resume, newest first, without damaged ones."""
        return self._intact(self._read(runs.by_resume_request))

    # Pruning

    def old_runs(self, *, older_than: float, statuses: Collection[str] = WITH_RESULT) -> Sequence[str]:
        """Return the uids of runs that ended with one of these statuses before a time, with no session open."""
        return self._read(pruning.find_old, older_than=older_than, statuses=statuses)

    def delete_runs(self, run_uids: Sequence[str]) -> int:
        """Delete runs and the programs that only they used; return their number. Held and damaged runs stay."""
        return self._prune(pruning.delete_runs, run_uids)

    def delete_measurements(self, run_uids: Sequence[str]) -> int:
        """Delete the measurements of runs but not their results; return their number. Held and damaged runs stay."""
        return self._prune(pruning.delete_measurements, run_uids)

    def compact(self) -> int:
        """Shrink an SQLite file after deletions if it is worth it (VACUUM); return the number of bytes freed.

        It does nothing while a process owns a run, because it locks all writers out. PostgreSQL frees its space itself.
        """
        return 0 if self._read(pruning.is_any_held, now=self._now()) else self._database.compact()

    def _prune(self, delete: Callable[..., int], run_uids: Sequence[str]) -> int:
        pruned, damaged = 0, list[DamagedRun]()
        for first in range(0, len(run_uids), pruning.RUNS_PER_TRANSACTION):
            batch = run_uids[first : first + pruning.RUNS_PER_TRANSACTION]
            with self._database.write_transaction() as connection:
                pruned += delete(connection, batch, damaged, now=self._now())
        self._intact(damaged)
        if pruned:
            with self._database.write_transaction() as connection:
                programs.delete_unused(connection)
        return pruned

    # The lease

    def take_lease(self, run_uid: str, *, now: float | None = None, owner: Owner | None = None) -> Lease:
        """Hold the run for 60 s. Raises RunBusy if its owner may be alive.

        Raises JournalDamaged if rounds are missing, or if limits would not find the run by what its record states.
        """
        with self._database.read_transaction() as connection:
            if sums.check(connection):
                sums.check_run(connection, run_uid)
        with self._database.write_transaction() as connection:
            lease = leases.take(connection, run_uid, owner or Owner.of_this_process(), now=self._time(now))
            record = runs.by_uid(connection, run_uid)
            amounts.check_scopes(connection, run_uid, record.target, record.settings)
            self._warn_of_later_days(connection)
            return lease

    def renew(self, lease: Lease, *, now: float | None = None) -> RunRecord:
        """Extend the lease to 60 s from now; return the run, with any request to stop. Raises LeaseLost."""
        with self._database.write_transaction() as connection:
            leases.renew(connection, lease, now=self._time(now))
            return runs.by_uid(connection, lease.run_uid)

    def release(self, lease: Lease) -> None:
        """End the lease, for this process also where that can't be stored; no error if it was lost before."""
        try:
            with self._database.write_transaction() as connection:
                leases.release(connection, lease)
        except BaseException:  # a signal, too, leaves a lease of this process that has ended
            note_ended(lease.token)
            raise

    def forget_owners(self) -> None:
        """End all leases, whose processes can't write any more."""
        with self._database.write_transaction() as connection:
            leases.end_all(connection)

    def take_named_lease(self, name: str, owner: Owner) -> bool:
        """Take or renew a lease of 60 s on what has this name; return False if another process has it."""
        with self._database.write_transaction() as connection:
            return leases.take_named(connection, name, owner, now=self._now())

    def release_named_lease(self, name: str, owner: Owner) -> None:
        """End this owner's lease on what has this name."""
        with self._database.write_transaction() as connection:
            leases.release_named(connection, name, owner, now=self._now())

    def last_held(self, name: str) -> float | None:
        """Return the time until which a process has the lease on what has this name, or last had it; None: never."""
        return self._read(leases.last_named, name)

    def is_lease_held(self, name: str) -> bool:
        """Return True if a process that may be alive has the lease on what has this name."""
        return self._read(leases.is_named_held, name, now=self._now())

    # Rounds

    def begin_round(
        self,
        lease: Lease,
        stream: str,
        sequence: int,
        target: str,
        pubs: Sequence[PubRecord],
        jobs: Sequence[Job],
        programs: Mapping[str, bytes],
        *,
        shared_seed: int | None = None,
        at: float | None = None,
    ) -> None:
        """Write a round before any of its jobs is submitted; stored programs are not replaced.

        `shared_seed` is that of `RoundRecord`. `at` is a time of the run's clock; the default is the journal's time.
        """
        round_ = RoundRecord(stream, sequence, target, tuple(pubs), (), complete=False, shared_seed=shared_seed)
        with self._reserving(lease) as (connection, state, reserve, day):
            reserve("jobs", rounds.begin(connection, state, round_, jobs, programs, day))
            spans.begin(connection, lease.run_uid, spans.round_span_key(stream, sequence), self._time(at))

    def add_attempts(
        self,
        lease: Lease,
        stream: str,
        sequence: int,
        jobs: Sequence[Job],
        programs: Mapping[str, bytes] | None = None,
    ) -> None:
        """Write further attempts of a round's jobs before they are submitted."""
        with self._reserving(lease) as (connection, state, reserve, day):
            reserve("jobs", rounds.add_attempts(connection, state, stream, sequence, jobs, programs or {}, day))

    def mark_submitted(self, lease: Lease, ids: Sequence[str]) -> None:
        """Mark jobs as known to the service; a job that has ended stays as it is."""
        with self._held(lease) as (connection, _):
            rounds.mark_submitted(connection, lease.run_uid, ids)

    def record_outcomes(
        self,
        lease: Lease,
        stream: str,
        sequence: int,
        ended: Sequence[Job],
        *,
        complete: bool,
        at: float | None = None,
    ) -> None:
        """Write how jobs of a round ended, and that the round is complete if it is. Stored counts are not replaced."""
        with self._held(lease) as (connection, _):
            uid = lease.run_uid
            settle = self._settling(connection, "jobs", uid)
            rounds.record_outcomes(connection, uid, stream, sequence, ended, settle, complete=complete)
            if complete:
                spans.end(connection, lease.run_uid, spans.round_span_key(stream, sequence), self._time(at))

    def round(self, run_uid: str, stream: str, sequence: int) -> RoundRecord | None:
        """Return a round; None if it never began."""
        return next(iter(self._read(rounds.read_range, run_uid, stream, sequence, 1)), None)

    def rounds(self, run_uid: str) -> Iterator[RoundRecord]:
        """Yield all rounds, stream by stream in the order of their sequence numbers."""
        with self._database.read_transaction() as connection:
            numbers = rounds.count_by_stream(connection, runs.read_state(connection, run_uid))
        for stream, number in numbers.items():
            for first in range(0, number, _ROUNDS_PER_READ):
                yield from self._read(rounds.read_range, run_uid, stream, first, min(_ROUNDS_PER_READ, number - first))

    def program(self, key: str) -> bytes | None:
        """Return the program with this key; None if no run uses it."""
        return self._read(programs.read_body, key)

    # Sessions, pings, events

    def add_session(self, lease: Lease, row: SessionRow) -> None:
        """Write a session before it is opened."""
        with self._held(lease) as (connection, state):
            sessions.add_session(connection, state, row)

    def end_session(self, lease: Lease | None, run_uid: str, ordinal: int, status: str, now: float) -> None:
        """Write the status of an ended session. Raises LeaseLost without a lease if the run's owner may be alive."""
        with self._database.write_transaction() as connection:
            leases.require_lease_or_free_run(connection, run_uid, lease, now=now)
            sessions.end_session(connection, run_uid, ordinal, status, now)

    def sessions(self, run_uid: str) -> Sequence[SessionRow]:
        """Return the run's sessions in the order in which they were opened."""
        return self._read(sessions.read_sessions, run_uid)

    def open_sessions(self) -> Sequence[tuple[RunRecord, SessionRow]]:
        """Return all sessions that are not known to have ended, with their runs; damaged ones are left out."""
        return self._intact(self._read(sessions.read_open_sessions))

    def run_of_session(self, session_id: str) -> RunRecord | None:
        """Return the run that has a session with this id; None if no run has it."""
        return self._read(sessions.run_of_session, session_id)

    def add_ping(self, lease: Lease, ping: Ping) -> None:
        """Write a ping before it is submitted."""
        with self._reserving(lease) as (connection, state, reserve, day):
            reserve("pings", [sessions.add_ping(connection, state, ping, day)])

    def end_ping(
        self,
        lease: Lease,
        ping_id: str,
        state: str,
        billed: Mapping[str, float] | None = None,
        *,
        at: float | None = None,
    ) -> None:
        """Write the state of a ping that was submitted or ended; `at` as in `begin_round`."""
        with self._held(lease) as (connection, _):
            settle = self._settling(connection, "pings", lease.run_uid)
            after = sessions.end_ping(connection, lease.run_uid, ping_id, state, billed, settle)
            if state != "lost":  # a lost ping was never sent
                write_span = spans.begin if state == "submitted" else spans.end
                write_span(connection, lease.run_uid, spans.ping_span_key(after["session"], after["n"]), self._time(at))

    def pings(self, run_uid: str) -> Sequence[Ping]:
        """Return the run's pings in the order of their sessions and numbers."""
        return self._read(sessions.read_pings, run_uid)

    def spans(self, run_uid: str) -> Mapping[str, Span]:
        """Return the times in which rounds and pings were in flight, by `round_span_key` and `ping_span_key`.

        Rounds and pings of versions without spans are missing.
        """
        return self._read(spans.read_spans, run_uid)

    def add_event(self, lease: Lease, kind: str, facts: Mapping[str, Any]) -> None:
        """Write an event, such as a session's renewal, a takeover, a retry or a stop."""
        with self._held(lease) as (connection, state):
            sessions.add_event(connection, state, kind, facts, self._now())

    def events(self, run_uid: str) -> Sequence[Event]:
        """Return the run's events in the order in which they were written."""
        return self._read(sessions.read_events, run_uid)

    # Limits over runs, and amounts by day

    def put_limit(self, limit: RunLimit) -> None:
        """Write a limit, in place of one of its name; it holds from the next reservation on."""
        with self._database.write_transaction() as connection:
            limits.put(connection, limit, self._now())

    def remove_limit(self, name: str) -> bool:
        """Remove a limit; return whether there was one."""
        with self._database.write_transaction() as connection:
            return limits.remove(connection, name)

    def limits_of(self, target: str, settings: Mapping[str, Any]) -> Sequence[LimitState]:
        """Return the limits that a run falls under by its record's target and settings."""
        own = amounts.scopes_of_run(target, settings)
        return [state for state in self.limits() if limits.covers(state.limit, own)]

    def limits(self) -> Sequence[LimitState]:
        """Return all limits by name with what is spent and reserved of them."""
        with self._database.read_transaction() as connection:
            sums.check(connection)
            self._warn_of_later_days(connection)
            return limits.states(connection, amounts.day_of(self._now()))

    def scopes(self) -> Mapping[str, set[tuple[str, str]]]:
        """Return the kinds and values by which limits and reports find each run, by its uid; of deleted runs, too."""
        return self._read(amounts.read_scopes)

    def amounts(self, run_uid: str | None = None) -> Sequence[DayAmount]:
        """Return what all runs have cost by day, deleted ones included, or what one has."""
        with self._database.read_transaction() as connection:
            self._warn_of_later_days(connection)
            return amounts.read_amounts(connection, run_uid)

    def check_sums(self) -> None:
        """Check that no amount is damaged, missing, or other than the jobs of its run. Raises JournalDamaged."""
        with self._database.read_transaction() as connection:
            sums.check(connection)
            for run_uid in {each.run_uid for each in amounts.read_amounts(connection)}:
                sums.check_run(connection, run_uid)

    def count_found(self, lease: Lease, found: Mapping[str, tuple[int, Mapping[str, float]]]) -> int:
        """Count what jobs of the run cost that the service has, by id with shots and bill, and the journal lacks.

        Returns their number.
        """
        with self._held(lease) as (connection, _):
            return kept_amounts.count_found(connection, lease.run_uid, amounts.day_of(self._now()), found)

    # Cost and progress

    def charges(self, run_uid: str) -> Sequence[Charge]:
        """Return the reserved and the billed amount of each of the run's jobs and pings."""
        return self._read(charges.read_charges, run_uid)

    def progress(self, run_uid: str) -> RunProgress:
        """Count the run's rounds, its jobs by state, and its pings."""
        return self._read(charges.read_progress, run_uid)

    def _warn_of_later_days(self, connection: Connection) -> None:
        """Warn once of amounts on days that have not come yet."""
        last = amounts.last_day(connection)
        if last is None or last <= amounts.day_of(self._now()) or self._has_warned_of_days:
            return
        self._has_warned_of_days = True
        _log.warning(
            "costs in this journal count on days up to %s (UTC), which is later than now: the clock of a machine was, "
            "or is, wrong. They count in the periods of those days, and in no other",
            amounts.date_of(last),
        )

    def _intact(self, records: Sequence[R | DamagedRun]) -> list[R]:
        """Return the records without damaged runs; warn once of each of those."""
        intact: list[R] = []
        for record in records:
            if not isinstance(record, DamagedRun):
                intact.append(record)
            elif record.uid not in self._warned_of:
                self._warned_of.add(record.uid)
                _log.warning("run %s is skipped: %s", record.key or record.uid, record.error)
        return intact

    def _read(self, query: Callable[Concatenate[Connection, P], R], *args: P.args, **values: P.kwargs) -> R:
        """Run a query in a read transaction of its own."""
        with self._database.read_transaction() as connection:
            return query(connection, *args, **values)

    def _time(self, at: float | None) -> float:
        return self._now() if at is None else at

    @contextmanager
    def _held(self, lease: Lease) -> Iterator[tuple[Connection, dict[str, Any]]]:
        """Begin a write transaction under a valid lease; yield it with the run's locked state."""
        with self._database.write_transaction() as connection:
            yield connection, leases.require_lease(connection, lease)

    @contextmanager
    def _reserving(self, lease: Lease) -> Iterator[tuple[Connection, dict[str, Any], Reserve, int]]:
        """Begin a transaction that writes new jobs of a day, which `reserve` counts.

        Raises LimitReached, and writes nothing.
        """
        day = amounts.day_of(self._now())

        def reserve(table: Literal["jobs", "pings"], rows: Sequence[Mapping[str, Any]]) -> None:
            limits.reserve(connection, table, lease.run_uid, rows, day)

        try:
            with self._held(lease) as (connection, state):
                yield connection, state, reserve, day
        except LimitReached as error:
            facts = {"limit": error.limit, "until": error.until, "needed": error.needed}
            self.add_event(lease, LIMIT, facts)
            raise

    def _settling(self, connection: Connection, table: Literal["jobs", "pings"], run_uid: str) -> Settle:
        """Return what counts the changes of a run's jobs or pings."""
        return partial(limits.settle, connection, table, run_uid, amounts.day_of(self._now()))

    def _flag(self, run_uid: str, **flags: int) -> None:
        with self._database.write_transaction() as connection:
            runs.write_state(connection, runs.lock_state(connection, run_uid) | flags)
