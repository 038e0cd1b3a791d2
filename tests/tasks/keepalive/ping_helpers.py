"""A session of the local service with its pings, as a run holds them, for tests of keeping it alive."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from azure.quantum import Workspace

from hybridloop.azure.client import ServiceClient
from hybridloop.azure.targets import Target, find_target
from hybridloop.azure.transport import SignedRequest, Transport
from hybridloop.errors import HybridloopError
from hybridloop.runtime.clock import Clock, RealClock
from hybridloop.tasks.keepalive.pings import PingKey, PingSender
from hybridloop.tasks.keepalive.thread import TIMING, KeepAliveTiming
from hybridloop.tasks.submission.job_ids import session_id


@dataclass(slots=True)
class Written:
    """What was written down of pings, in order; may refuse to."""

    intended: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    ends: dict[str, tuple[str, Mapping[str, Any] | None]] = field(default_factory=dict)
    refusal: HybridloopError | None = None

    def confirm(self) -> None:
        if self.refusal is not None:
            raise self.refusal

    def intend(self, place: PingKey) -> None:
        if self.refusal is not None:
            raise self.refusal
        assert place.id not in self.intended
        self.intended.append(place.id)

    def submitted(self, place: PingKey) -> None:
        assert place.id in self.intended
        self.accepted.append(place.id)

    def ended(self, place: PingKey, state: str, cost_estimate: Mapping[str, Any] | None) -> None:
        assert place.id not in self.ends
        self.ends[place.id] = (state, cost_estimate)


@dataclass(frozen=True, slots=True)
class PingedSession:
    """An open session and all that its pings need."""

    workspace: Workspace
    service: ServiceClient
    transport: Transport
    clock: Clock
    target: Target
    run_uid: str
    id: str
    opened_at: float
    written: Written

    def signed(self, job_id: str, document: Mapping[str, Any]) -> SignedRequest:
        return self.transport.sign("PUT", f"/jobs/{job_id}", document)

    def pings(
        self,
        *,
        first: int = 0,
        left_over: int = 0,
        signed: Callable[[str, Mapping[str, Any]], SignedRequest] | None = None,
        pace: KeepAliveTiming = TIMING,
    ) -> PingSender:
        places = [PingKey(self.run_uid, 0, n) for n in range(first - left_over, first + 1)]
        at = (self.service, self.written, self.clock, self.target, self.id, places[-1])
        return PingSender(*at, signed=signed, left_over=places[:-1], pace=pace)

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
        yield PingedSession(workspace, service, transport, ticking, at, run_uid, identifier, ticking.now(), Written())
    finally:
        service.close_session(identifier)
        service.close()
        transport.close()
