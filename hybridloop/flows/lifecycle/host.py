"""Host of a run: the port by which its life reaches its surroundings, and a plain host, which is this process alone."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast
from uuid import UUID, uuid5

from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.rounds import MeasuredPub
from hybridloop.errors import InputError
from hybridloop.journal import Journal, RunRecord
from hybridloop.journal.held_run import NOT_MADE, HeldRun, ShownIn
from hybridloop.results.result import RunResult
from hybridloop.tasks.session import OpenSession

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Ended(Generic[R]):
    """End of the work on a run: what it `returned`, or the `error` that its caller gets instead.

    `result` is the run's, to be shown; a session flow has none. `show` shows the end of other work.
    """

    returned: R | None = None
    error: BaseException | None = None
    result: RunResult | None = None
    show: Callable[[], Any] | None = None

    def value(self) -> R:
        """Return what the work returned. Raises its error."""
        if self.error is not None:
            raise self.error
        return cast(R, self.returned)


class Cancellation:
    """A cancellation by the host: it sets `cancelled`, and calls what shall stop."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self._stops: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    @contextmanager
    def stopping(self, stop: Callable[[], None]) -> Iterator[None]:
        """Call `stop` at a cancellation during the block; at once if there was one before."""
        with self._lock:
            self._stops.append(stop)
        if self.cancelled.is_set():
            stop()
        try:
            yield
        finally:
            with self._lock:
                self._stops.remove(stop)

    def cancel(self) -> None:
        """Cancel, and call what shall stop."""
        self.cancelled.set()
        with self._lock:
            stops = list(self._stops)
        for stop in stops:
            stop()


class Host(ABC):
    """Host of a run. Each of an orchestrator's members may do nothing.

    `id` is recorded with the run, and says where it was begun; `log` takes what its user follows.
    """

    id: str | None
    log: logging.Logger | logging.LoggerAdapter[logging.Logger]
    cancellation: Cancellation

    @abstractmethod
    def holding(
        self, journal: Journal, record: RunRecord, held: AbstractContextManager[HeldRun]
    ) -> AbstractContextManager[HeldRun]:
        """Hold the run for the block by entering `held`; show what happens to it, and watch for a cancellation."""

    @abstractmethod
    def slot(self, limit: str | None, run: HeldRun, workspace: Any) -> AbstractContextManager[None]:
        """Hold a slot of a limit (None: no limit) for the block, in which the run's session is open."""

    @abstractmethod
    def session(self, block: AbstractContextManager[OpenSession]) -> AbstractContextManager[OpenSession]:
        """Hold the session of a block, shown as a step."""

    @abstractmethod
    def measure(self, session: OpenSession, pubs: Sequence[SamplerPub]) -> list[MeasuredPub]:
        """Measure a round in the session, shown as a step."""

    @abstractmethod
    def show(self, result_so_far: Callable[[], RunResult]) -> None:
        """Show the result so far, if it is time to."""


class PlainHost(Host):
    """This process alone: the journal, the caps and the signals are the same, and its caller resumes the run."""

    id = None
    log = logging.getLogger("hybridloop.run")

    def __init__(self) -> None:
        self.cancellation = Cancellation()

    def holding(
        self, journal: Journal, record: RunRecord, held: AbstractContextManager[HeldRun]
    ) -> AbstractContextManager[HeldRun]:
        return held

    def slot(self, limit: str | None, run: HeldRun, workspace: Any) -> AbstractContextManager[None]:
        if limit is not None:
            raise InputError("session_slots", "a plain host has no limits", "Leave it out, or run it in Prefect.")
        return nullcontext()

    def session(self, block: AbstractContextManager[OpenSession]) -> AbstractContextManager[OpenSession]:
        return block

    def measure(self, session: OpenSession, pubs: Sequence[SamplerPub]) -> list[MeasuredPub]:
        return session.run_round(pubs)

    def show(self, result_so_far: Callable[[], RunResult]) -> None:
        pass


class UntoldHost(PlainHost):
    """This process alone, as Prefect's server is away: the journal keeps the end for it, as that of one flow run."""

    @contextmanager
    def holding(self, journal: Journal, record: RunRecord, held: AbstractContextManager[HeldRun]) -> Iterator[HeldRun]:
        with held as run:
            run.shown_in = ShownIn(told_later_id(record.uid), NOT_MADE, self.cancellation.cancelled)
            yield run


def told_later_id(run_uid: str) -> str:
    """Return the id by which the outbox and Prefect's server know the end of a run that had no flow run."""
    return str(uuid5(UUID(run_uid), "told later"))
