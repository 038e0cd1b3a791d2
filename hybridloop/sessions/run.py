"""A run in this process's hands: its journal, and the lease that is renewed while it is held."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hybridloop.errors import HybridloopError, JournalError, LeaseLost
from hybridloop.sessions.journal import Journal, Lease, NewRun, RunRecord, journal_url
from hybridloop.sessions.provenance import versions

BEAT_S = 5.0  # a lease lasts 60 s; a run that is told to stop hears of it within this


class ClaimedRun:
    """A run whose lease this process holds. What is written for it goes through `journal` under `lease`."""

    def __init__(self, journal: Journal, record: RunRecord, lease: Lease) -> None:
        self.journal = journal
        self.record = record
        self.lease = lease
        self.stop_requested = threading.Event()
        self.lost: HybridloopError | None = None
        self._listeners: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    @property
    def uid(self) -> str:
        """The run's own id, a UUID."""
        return self.record.uid

    @property
    def seed(self) -> int:
        """What the local service samples by."""
        return self.record.seed

    def on_stop(self, call: Callable[[], None]) -> None:
        """Have a call made, once, when somebody asks the run to stop or the lease is lost; from another thread."""
        with self._lock:
            self._listeners.append(call)
            told = self.stop_requested.is_set() or self.lost is not None
        if told:
            call()

    def beat(self) -> None:
        """Renew the lease, and hear whether somebody asks for a stop."""
        try:
            record = self.journal.renew(self.lease)
        except LeaseLost as error:
            self.lost = error
        except HybridloopError:
            return  # the journal is locked or its disk is full: whoever writes next is told; the lease lasts a while
        else:
            if not record.stop_requested:
                return
            self.stop_requested.set()
        with self._lock:
            listeners, self._listeners = self._listeners, []
        for call in listeners:
            call()


@contextmanager
def claimed(journal: Journal, uid: str, *, beat_s: float = BEAT_S) -> Iterator[ClaimedRun]:
    """Hold a run: nobody else can go on with it meanwhile. Raises RunBusy, JournalDamaged."""
    lease = journal.claim(uid)
    run = ClaimedRun(journal, journal.run(uid), lease)
    ended = threading.Event()

    def beats() -> None:
        while not ended.wait(beat_s):
            run.beat()

    heart = threading.Thread(target=beats, name="hybridloop-lease", daemon=True)
    heart.start()
    try:
        yield run
    finally:
        ended.set()
        heart.join()
        with suppress(JournalError):  # the next one to claim the run sees that this process is gone
            journal.release(lease)


@contextmanager
def unkept_run(target: str, *, seed: int, uid: str | None = None) -> Iterator[ClaimedRun]:
    """A run whose journal is gone at the end of the block, so that it can't be resumed."""
    with (
        TemporaryDirectory(prefix="hybridloop-") as folder,
        closing(Journal(journal_url(Path(folder) / "journal.db"))) as kept,
    ):
        name = uid or str(uuid.uuid4())
        kept.add_run(new_run(name, key=name, algorithm="session", problem="", target=target, seed=seed))
        with claimed(kept, name) as run:
            yield run


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
) -> NewRun:
    """A run to be added to a journal, with the versions of what its answer may depend on."""
    return NewRun(uid, key, algorithm, problem, target, seed, settings or {}, flow_run_id, versions())
