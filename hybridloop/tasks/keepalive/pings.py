"""Pings of one session: jobs of one gate and one shot, with ids that are known before they are sent."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from qiskit import QuantumCircuit

from hybridloop.azure.client import ServiceClient, upload_input
from hybridloop.azure.job_document import job_document
from hybridloop.azure.signed_request import SignedRequest
from hybridloop.azure.targets import Target
from hybridloop.azure.targets.provider_options import provider_params
from hybridloop.budget.prices import ping_price
from hybridloop.compiler.qir_template import compile_qir
from hybridloop.errors import HybridloopError
from hybridloop.runtime.clock import Clock, steady_s
from hybridloop.runtime.run_events import EventValue, report
from hybridloop.tasks.keepalive.standby import SentPing, StandbyProcess
from hybridloop.tasks.keepalive.thread import TIMING, KeepAliveTiming
from hybridloop.tasks.submission.jobs import SUCCEEDED, TERMINAL

PREPARED = 6  # an hour of computing
PING_SHOTS = 1
_SIGNATURE_S = 600.0  # then a prepared request is signed again, so that its bearer token is not much older
_TAKES_OVER_S = 30.0  # a submission that hangs for so long is sent by the standby, under the same id

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PingKey:
    """Key of a ping: its run's uid (a UUID), its session's ordinal, and its number in that session, from 0."""

    run_uid: str
    ordinal: int
    n: int

    @property
    def id(self) -> str:
        """The job's id at the service."""
        return str(uuid.uuid5(uuid.UUID(self.run_uid), f"session/{self.ordinal}/ping/{self.n}"))

    @property
    def path(self) -> str:
        """The key as text, the run's uid first."""
        return f"{self.run_uid}/ping/{self.ordinal}/{self.n}"

    @property
    def prefix(self) -> str:
        """Common prefix of the names of all pings of the session."""
        return f"{uuid.UUID(self.run_uid).hex[:12]}.ping.{self.ordinal}."

    @property
    def name(self) -> str:
        """The job's name at the service."""
        return f"{self.prefix}{self.n}"


def ping_program(target: Target) -> bytes:
    """Return one gate and one measurement on one qubit; some translators refuse a program without a gate as empty."""
    circuit = QuantumCircuit(1, 1, name="ping")
    circuit.x(0)
    circuit.measure(0, 0)
    return compile_qir(circuit, target.profile).encode()


def ping_body(key: PingKey, session_id: str, target: Target) -> dict[str, Any]:
    """Return the fields of a ping's submission, without the location of its input."""
    return {
        "name": key.name,
        "providerId": target.provider,
        "target": target.name,
        "sessionId": session_id,
        "inputParams": {
            "shots": PING_SHOTS,
            "items": [{"entryPoint": "ENTRYPOINT__main", "arguments": []}],
            **provider_params(target, debias=False),  # error mitigation takes more shots and has a higher minimum price
        },
        "metadata": {"purpose": "keep-alive", "place": key.path, "attempt": "0"},
    }


class PingLog(Protocol):
    """Record of pings; each call may raise HybridloopError, and then nothing is sent."""

    def confirm(self) -> None:
        """Raise HybridloopError if this process may not submit for the run any more."""

    def intend(self, key: PingKey) -> None:
        """Record that the ping may be submitted from now on, and reserve its cost."""

    def submitted(self, key: PingKey) -> None:
        """Record that the service has accepted the ping."""

    def ended(self, key: PingKey, state: str, cost_estimate: Mapping[str, Any] | None) -> None:
        """Record a ping as done, failed or lost (never accepted, so free), with the service's cost estimate."""


@dataclass(slots=True, eq=False)
class _Prepared:
    """A ping whose input is uploaded; `signed_at` is the moment of its signature for the standby."""

    key: PingKey
    container: str
    body: Mapping[str, Any]
    signed_at: float = 0.0


class PingSender:
    """Sends the pings of one session from this process (`thread.Pings`) or a standby process (`thread.Standby`).

    All methods but `postpone` are called by the session's `KeepAliveThread`, and `close` after that has ended.
    """

    def __init__(
        self,
        service: ServiceClient,
        log: PingLog,
        clock: Clock,
        target: Target,
        session_id: str,
        first: PingKey,
        *,
        sign: Callable[[str, Mapping[str, Any]], SignedRequest] | None = None,
        unsettled: Sequence[PingKey] = (),
        timing: KeepAliveTiming = TIMING,
    ) -> None:
        """`first` is the first free key; `unsettled` are earlier ones whose end is not recorded.

        `sign(job_id, document)` returns the job's submission as a request ready to send, or raises HybridloopError;
        without it there is no standby.
        """
        self._service = service
        self._records = log
        self._clock = clock
        self._target = target
        self._session_id = session_id
        self._next = first
        self._sign = sign
        self._timing = timing
        self._program: bytes | None = None
        self._unused: dict[PingKey, None] | None = None  # at the close
        self._begun: PingKey | None = None  # recorded, and not uploaded yet
        self._spare: _Prepared | None = None  # prepared, and not held by the standby yet
        self._ready: list[_Prepared] = []  # held by the standby, oldest first
        self._open = {key.id: key for key in unsettled}  # pings that may be in flight
        self._unsure = set(self._open)  # ids of those that may never have arrived
        self._standby_process = StandbyProcess()
        self._lock = threading.Lock()

    def send(self) -> None:
        """Submit the next ping. Raises HybridloopError."""
        self._records.confirm()  # a prepared ping may have been recorded long ago
        ping = self._ready[0] if self._ready else self._next_prepared()
        self.postpone(self._clock.now() + _TAKES_OVER_S)
        began_at = self._clock.now()
        self._service.submit(ping.key.id, ping.container, ping.body)
        self._move_to_open(ping)
        self._standby_process.forget(ping.key.id)
        self._record_accepted(ping.key, began_at, self._clock.now())

    def settle(self) -> int:
        """Look for pings that have ended; return the number of those that have not. Raises HybridloopError."""
        if not self._open:
            return 0
        jobs = self._service.list_session_jobs(self._session_id, name_prefix=self._next.prefix)
        listed = {job["id"]: job for job in jobs}
        for identifier, key in list(self._open.items()):
            job = listed.get(identifier, {})
            if not job and identifier in self._unsure:
                self._end(key, "lost", {})
            elif job.get("status") in TERMINAL:
                self._end(key, "done" if job["status"] in SUCCEEDED else "failed", job.get("costEstimate"))
        return len(self._open)

    def prepare(self) -> bool:
        """Prepare one more ping for the standby; False if it has all it needs. Raises HybridloopError."""
        if self._sign is None:
            return False
        now = self._clock.now()
        stale = next((ping for ping in self._ready if now - ping.signed_at >= _SIGNATURE_S), None)
        if stale is None and len(self._ready) >= PREPARED:
            return False
        ping = stale or self._next_prepared()
        request = self._sign(ping.key.id, job_document(ping.container, ping.body))
        self._standby_process.hold(ping.key.id, request)
        ping.signed_at = now
        if stale is None:
            with self._lock:
                self._ready.append(ping)
                self._spare = None
            if self._unused is not None and ping.key not in self._unused:  # closed while this one was prepared
                self._records.ended(ping.key, "lost", {})
        return True

    def postpone(self, first_at: float | None) -> None:
        """Have the standby send its first ping at that moment and the others at intervals; None: send none."""
        with self._lock:
            identifiers = [] if first_at is None else [ping.key.id for ping in self._ready]
        after = 0.0 if first_at is None else max(0.0, first_at - self._clock.now())
        self._standby_process.arm({key: after + i * self._timing.ping_after_s for i, key in enumerate(identifiers)})

    def sent(self) -> list[float]:
        """Return the moments of the pings that the standby sent since the last call."""
        return [self._moment_of(ping) for ping in self._standby_process.sent() if self._note_sent(ping)]

    @property
    def prepared(self) -> int:
        """Number of pings that are recorded and wait until they are needed."""
        with self._lock:
            return len(self._ready) + (self._spare is not None) + (self._begun is not None)

    def close(self, *, settles: bool = True) -> None:
        """End the standby, settle the pings that have ended, and record those never sent as lost, so free.

        Without `settles` the service is not called: a resume settles the rest.
        """
        for ping in self._standby_process.close():
            self._note_sent(ping)
        if self._ready and self._standby_process.was_killed:  # perhaps while it sent this one
            self._unsure.add(self._ready[0].key.id)
            self._move_to_open(self._ready[0])
        with self._lock:
            keys = [*(ping.key for ping in (*self._ready, self._spare) if ping is not None), self._begun]
            self._unused = unused = dict.fromkeys(key for key in keys if key is not None)
        try:
            if settles:
                self.settle()
            for key in unused:
                self._records.ended(key, "lost", {})
        except HybridloopError as error:  # the session is being closed; a resume settles the rest
            _log.warning("the ends of the last keep-alive pings are not recorded: %s", error)

    def _next_prepared(self) -> _Prepared:
        """Return a ping that only has to be submitted; one whose preparation was cut short is continued."""
        if self._spare is None:
            if self._program is None:
                self._program = ping_program(self._target)
            if self._begun is None:
                self._records.intend(self._next)
                self._begun = self._next
                self._next = replace(self._next, n=self._next.n + 1)
            key = self._begun
            container = self._service.create_container(key.id)
            container = upload_input(self._service, key.id, container, self._program)
            self._spare = _Prepared(key, container, ping_body(key, self._session_id, self._target))
            self._begun = None
        return self._spare

    def _note_sent(self, sent: SentPing) -> bool:
        """Note a ping that the standby sent or gave up; return True if the service accepted it."""
        ping = next((ping for ping in self._ready if ping.key.id == sent.key), None)
        if ping is None:
            return False  # this process sent it as well, under the same id
        self._move_to_open(ping)
        if sent.is_accepted:
            at = self._moment_of(sent)
            self._record_accepted(ping.key, at, at, by="standby process")
            return True
        _log.warning("a keep-alive ping failed: HTTP %s %s", sent.status or "-", sent.trouble)
        self._unsure.add(ping.key.id)
        return False

    def _moment_of(self, sent: SentPing) -> float:
        """Return the moment of a ping of the standby by this process's clock."""
        return self._clock.now() - steady_s() + sent.at

    def _record_accepted(self, key: PingKey, began_at: float, ended_at: float, *, by: str = "run") -> None:
        """Record that the service has the ping; if that fails it counts all the same, and its end is recorded later."""
        level = logging.INFO if ping_price(self._target).is_free else logging.WARNING
        message = f"keep-alive ping {key.n + 1} of session {self._session_id} was sent by the {by}"
        facts: dict[str, EventValue] = {"session": self._session_id, "job": key.id, "number": key.n + 1, "by": by}
        report("ping.sent", message, facts, level=level, began_at=began_at, ended_at=ended_at)
        try:
            self._records.submitted(key)
        except HybridloopError as error:
            _log.warning("the acceptance of a keep-alive ping is not recorded: %s", error)

    def _move_to_open(self, ping: _Prepared) -> None:
        """Move a prepared ping to those that may be in flight."""
        if ping is self._spare:
            self._spare = None
        with self._lock:
            self._ready = [other for other in self._ready if other is not ping]
        self._open[ping.key.id] = ping.key

    def _end(self, key: PingKey, state: str, cost_estimate: Mapping[str, Any] | None) -> None:
        self._records.ended(key, state, cost_estimate)
        self._open.pop(key.id)
        self._unsure.discard(key.id)
