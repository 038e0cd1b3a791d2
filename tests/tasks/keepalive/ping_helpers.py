"""Session of the local service with its pings, as a run holds them, for tests of keep-alive."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from azure.quantum import Workspace

from hybridloop.azure.client import ServiceClient
from hybridloop.azure.signed_request import SignedRequest
from hybridloop.azure.targets import Target, find_target
from hybridloop.azure.transport import Transport
from hybridloop.errors import HybridloopError
from hybridloop.runtime.clock import Clock, RealClock
from hybridloop.tasks.keepalive.pings import PingKey, PingSender
from hybridloop.tasks.keepalive.rules import SessionActivity
from hybridloop.tasks.keepalive.thread import TIMING, ActivityTracker, KeepAliveTiming
from hybridloop.tasks.submission.job_ids import session_id


@dataclass(slots=True)
class RecordedPingLog:
    """Stand-in for the journal that records pings in order; it can be set to fail."""

    intended: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    ends: dict[str, tuple[str, Mapping[str, Any] | None]] = field(default_factory=dict)
    refusal: HybridloopError | None = None

    def confirm(self) -> None:
        if self.refusal is not None:
            raise self.refusal

    def intend(self, key: PingKey) -> None:
        if self.refusal is not None:
            raise self.refusal
        assert key.id not in self.intended
        self.intended.append(key.id)

    def submitted(self, key: PingKey) -> None:
        assert key.id in self.intended
        self.accepted.append(key.id)

    def ended(self, key: PingKey, state: str, cost_estimate: Mapping[str, Any] | None) -> None:
        assert key.id not in self.ends
        self.ends[key.id] = (state, cost_estimate)


@dataclass(frozen=True, slots=True)
class PingedSession:
    """An open session with everything that its pings need."""

    workspace: Workspace
    service: ServiceClient
    transport: Transport
    clock: Clock
    target: Target
    run_uid: str
    id: str
    opened_at: float
    written: RecordedPingLog

    def sign(self, job_id: str, document: Mapping[str, Any]) -> SignedRequest:
        return self.transport.sign("PUT", f"/jobs/{job_id}", document)

    def activity(self) -> ActivityTracker:
        return ActivityTracker(SessionActivity(self.opened_at))

    def pings(
        self,
        *,
        first: int = 0,
        unsettled: int = 0,
        sign: Callable[[str, Mapping[str, Any]], SignedRequest] | None = None,
        timing: KeepAliveTiming = TIMING,
    ) -> PingSender:
        keys = [PingKey(self.run_uid, 0, n) for n in range(first - unsettled, first + 1)]
        log, target = self.written, self.target
        return PingSender(
            self.service, log, self.clock, target, self.id, keys[-1], sign=sign, unsettled=keys[:-1], timing=timing
        )

    def jobs(self) -> list[dict[str, Any]]:
        return list(self.service.list_session_jobs(self.id))

    def status(self) -> str:
        return str(self.service.get_session(self.id)["status"])


@contextmanager
def pinged_session(
    workspace: Workspace, *, target: str = "rigetti.sim.qvm", clock: Clock | None = None
) -> Iterator[PingedSession]:
    ticking, run_uid, at = clock or RealClock(), str(uuid.uuid4()), find_target(target)
    service, transport = ServiceClient(workspace, ticking, threading.Event()), Transport(workspace)
    identifier = session_id(run_uid, 0)
    service.open_session(identifier, "pinged", at, "Continue")
    try:
        yield PingedSession(
            workspace, service, transport, ticking, at, run_uid, identifier, ticking.now(), RecordedPingLog()
        )
    finally:
        service.close_session(identifier)
        service.close()
        transport.close()
