"""Held run: this process executes it, and renews its lease in a thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from hybridloop.data.objects import OBJECT
from hybridloop.errors import HybridloopError, JournalError, LeaseLost
from hybridloop.journal import Event, Journal, Lease, Owner, RunRecord
from hybridloop.journal.provenance import versions
from hybridloop.journal.revisions import extensions_in
from hybridloop.runtime.json_log import lines_of
from hybridloop.runtime.run_events import report, start_thread

HOUSEKEEPING = "housekeeping"  # name of the lease of housekeeping
NOT_MADE = 0  # starts of a flow run that Prefect's server gets with the end of its run
RENEW_EVERY_S = 5.0  # a lease lasts 60 s; a request to stop reaches the run within this time


@contextmanager
def held_name(journal: Journal, name: str) -> Iterator[bool]:
    """Keep the journal's lease on what has this name for the block; yield False if another process has it now.

    While the journal is away no other process can take the lease.
    """
    owner, ended = Owner.of_this_process(), threading.Event()
    is_held = journal.take_named_lease(name, owner)

    def renew() -> None:
        while not ended.wait(RENEW_EVERY_S):
            with suppress(JournalError):
                journal.take_named_lease(name, owner)

    renewals = threading.Thread(target=renew, name="hybridloop-lease", daemon=True)
    renewals.start()
    try:
        yield is_held
    finally:
        ended.set()
        renewals.join()  # else it could take the lease again after its release
        with suppress(JournalError):
            journal.release_named_lease(name, owner)


@dataclass(slots=True)
class ShownIn:
    """A flow run that shows a run, by its id and the number of its starts; `cancelled` if it was before the end."""

    flow_run: str
    starts: int
    cancellation: threading.Event
    cancelled: bool = False


class HeldRun:
    """A run whose lease this process holds; write to `journal` under `lease`.

    `state` is where it is by what this process did. `shown_in` is the flow run that shows it. `stop_requested` is set
    once a user asked for a stop. `lease_error` is LeaseLost once the lease was lost.
    """

    def __init__(self, journal: Journal, record: RunRecord, lease: Lease) -> None:
        self.journal = journal
        self.record = record
        self.state = record.state
        self.lease = lease
        self.stop_requested = threading.Event()
        self.shown_in: ShownIn | None = None
        self.lease_error: HybridloopError | None = None
        self._listeners: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    @property
    def uid(self) -> str:
        """The run's UUID."""
        return self.record.uid

    @property
    def seed(self) -> int:
        """The run's random seed; the local service samples with it too."""
        return self.record.seed

    @property
    def extensions(self) -> Sequence[Event]:
        """The events of the run's extensions, in order."""
        events = self.journal.events(self.uid)
        return [events[place] for place in extensions_in(events)]

    @property
    def revision(self) -> int:
        """The number of the revision of its result that the run works on; from 1."""
        return 1 + len(self.extensions)

    def on_stop(self, call: Callable[[], None]) -> None:
        """Register a callback for a request to stop or a lost lease; it runs once, in another thread.

        If that has happened already, the callback runs now, in the calling thread.
        """
        with self._lock:
            is_stopping = self.stop_requested.is_set() or self.lease_error is not None
            if not is_stopping:
                self._listeners.append(call)
        if is_stopping:
            call()

    def renew_lease(self) -> None:
        """Renew the lease and look for a request to stop."""
        try:
            record = self.journal.renew(self.lease)
        except LeaseLost as error:
            if self.lease_error is None:
                key = self.record.key
                message = f"another process has taken run {key} over"
                report("run.taken-over", message, {"run": key}, level=logging.WARNING)
            self.lease_error = error
        except HybridloopError:
            return  # the journal is locked or its disk is full: the next write raises that, and the lease lasts 60 s
        else:
            if not record.stop_requested:
                return
            self.stop_requested.set()
        with self._lock:
            listeners, self._listeners = self._listeners, []
        for call in listeners:
            call()


@contextmanager
def hold_run(journal: Journal, uid: str, *, renew_every_s: float = RENEW_EVERY_S) -> Iterator[HeldRun]:
    """Hold a run's lease for the block, so that no other process can resume it. Raises RunBusy, JournalDamaged."""
    lease = journal.take_lease(uid)
    run = HeldRun(journal, journal.run(uid), lease)
    ended = threading.Event()

    def renew_until_ended() -> None:
        while not ended.wait(renew_every_s):
            run.renew_lease()

    renewals = start_thread(renew_until_ended, "hybridloop-lease")
    try:
        with lines_of(run.record.key):
            yield run
    finally:
        ended.set()
        renewals.join()
        with suppress(JournalError):  # the next process to hold the run sees that this one has ended
            journal.release(lease)


def how_to_resume(run: RunRecord) -> str:
    """Return the command that resumes a run, or the user's next step if only their program knows its circuits."""
    if str((run.settings.get("settings") or {}).get("optimizer")).startswith(OBJECT):
        return f"start the program with its optimizer again with run_key={run.key!r}"
    if run.algorithm != "session":
        return f"hybridloop runs resume {run.key}"
    return f"{'call the flow' if run.problem else 'start the script'} again with run_key={run.key!r}"


def new_run(
    uid: str,
    *,
    key: str,
    algorithm: str,
    problem: str,
    target: str,
    seed: int,
    settings: Mapping[str, Any] | None = None,
    flow_run_id: str | None = None,
) -> RunRecord:
    """Return a run to add to a journal, with the versions of the software that its result depends on."""
    return RunRecord(uid, key, algorithm, problem, target, seed, settings or {}, flow_run_id, versions())
