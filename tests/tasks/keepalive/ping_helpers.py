"""Session of the local service with its pings, as a run holds them, for tests of keep-alive."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from azure.quantum import Workspace

from hybridloop.azure.client import ServiceClient
from hybridloop.azure.job_document import billed_amounts
from hybridloop.budget.caps import Budget, Caps
from hybridloop.journal import Ping
from hybridloop.journal.held_run import HeldRun
from hybridloop.runtime.clock import Clock, RealClock
from hybridloop.targets import Target, find_target
from hybridloop.targets.prices import ping_price
from hybridloop.tasks.keepalive.pings import PingLog, PingSender
from hybridloop.tasks.submission.job_ids import session_id
from tests.session_helpers import temporary_run


@dataclass(frozen=True, slots=True)
class PingedSession:
    """An open session of a run with everything that its pings need."""

    service: ServiceClient
    clock: Clock
    target: Target
    run: HeldRun
    id: str

    def log(self) -> PingLog:
        price = ping_price(self.target)
        return PingLog(self.run.journal, self.run.lease, Budget(Caps()), price, self.clock.now, billed_amounts)

    def pings(self) -> PingSender:
        """Return a sender that continues as the journal says."""
        log = self.log()
        return PingSender(self.service, log, self.clock, self.target, self.id, *log.load(0))

    def recorded(self) -> list[Ping]:
        return list(self.run.journal.pings(self.run.uid))

    def states(self) -> list[str]:
        return [ping.state for ping in self.recorded()]

    def jobs(self) -> list[dict[str, Any]]:
        return list(self.service.list_session_jobs(self.id))


@contextmanager
def pinged_session(
    workspace: Workspace, *, target: str = "rigetti.sim.qvm", clock: Clock | None = None
) -> Iterator[PingedSession]:
    ticking, at = clock or RealClock(), find_target(target)
    service = ServiceClient(workspace, ticking, threading.Event())
    with temporary_run(target, seed=0) as run:
        identifier = session_id(run.uid, 0)
        service.open_session(identifier, "pinged", at, "Continue")
        try:
            yield PingedSession(service, ticking, at, run, identifier)
        finally:
            service.close_session(identifier)
            service.close()
