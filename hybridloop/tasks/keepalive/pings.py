"""The pings of one session: jobs like any other, the smallest that the target takes, with ids that are known before."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from qiskit import QuantumCircuit

from hybridloop.azure.job_document import job_document
from hybridloop.azure.targets import Target, provider_params
from hybridloop.azure.transport import SignedRequest
from hybridloop.compiler.qir_template import compile_qir
from hybridloop.errors import HybridloopError
from hybridloop.runtime.clock import Clock
from hybridloop.tasks.keepalive.standby import SentPing, StandbyProcess
from hybridloop.tasks.keepalive.thread import TIMING, KeepAliveTiming
from hybridloop.tasks.submission.jobs import SUCCEEDED, TERMINAL

PREPARED = 6  # an hour of computing
PING_SHOTS = 1
_SIGNED_ANEW_S = 600.0  # so that a bearer token in a prepared request is not much older
_TAKES_OVER_S = 30.0  # a submission that hangs for so long is sent by the stand-in, under the same id

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PingKey:
    """The place of a ping: its run's uid (a UUID), its session's ordinal, and its number in that session, from 0."""

    run_uid: str
    ordinal: int
    n: int

    @property
    def id(self) -> str:
        """The job's id at the service."""
        return str(uuid.uuid5(uuid.UUID(self.run_uid), f"session/{self.ordinal}/ping/{self.n}"))

    @property
    def path(self) -> str:
        """The place as text, the run's uid first."""
        return f"{self.run_uid}/ping/{self.ordinal}/{self.n}"

    @property
    def prefix(self) -> str:
        """What the names of all pings of the session begin with."""
        return f"{uuid.UUID(self.run_uid).hex[:12]}.ping.{self.ordinal}."

    @property
    def name(self) -> str:
        """The job's name at the service."""
        return f"{self.prefix}{self.n}"


def ping_program(target: Target) -> bytes:
    """One gate and one measurement on one qubit; a program without a gate is refused by some translators as empty."""
    circuit = QuantumCircuit(1, 1, name="ping")
    circuit.x(0)
    circuit.measure(0, 0)
    return compile_qir(circuit, target.profile).encode()


def ping_body(place: PingKey, session_id: str, target: Target) -> dict[str, Any]:
    """What a ping's submission says beside where its input lies."""
    return {
        "name": place.name,
        "providerId": target.provider,
        "target": target.name,
        "sessionId": session_id,
        "inputParams": {
            "shots": PING_SHOTS,
            "items": [{"entryPoint": "ENTRYPOINT__main", "arguments": []}],
            **provider_params(target, debias=False),  # it takes more shots, and has a dearer minimum
        },
        "metadata": {"purpose": "keep-alive", "place": place.path, "attempt": "0"},
    }


class PingService(Protocol):
    """What pings ask of the service; each call raises HybridloopError."""

    def create_container(self, job_id: str) -> str:
        """A signed URL of the job's container."""
        ...

    def upload(self, container: str, data: bytes) -> None:
        """Upload the job's input."""
        ...

    def submit(self, job_id: str, container: str, body: Mapping[str, Any]) -> None:
        """Submit the job; again changes nothing."""
        ...

    def list_session_jobs(self, session_id: str, *, name_prefix: str = "") -> Iterator[dict[str, Any]]:
        """The session's jobs whose names begin so."""
        ...


class PingLog(Protocol):
    """Where pings are written down before and after; each call may raise HybridloopError, and then nothing is sent."""

    def confirm(self) -> None:
        """Raise HybridloopError if this process may not submit for the run any more."""
        ...

    def intend(self, place: PingKey) -> None:
        """A ping may be submitted from now on: reserve what it may cost."""
        ...

    def submitted(self, place: PingKey) -> None:
        """The service has accepted it."""
        ...

    def ended(self, place: PingKey, state: str, cost_estimate: Mapping[str, Any] | None) -> None:
        """It is done, failed or lost (never accepted, so free); with what the service says that it cost."""
        ...


@dataclass(frozen=True, slots=True)
class _Prepared:
    place: PingKey
    container: str
    body: Mapping[str, Any]


class PingSender:
    """The pings of one session, sent by this process (`keepalive.Pings`) or a stand-in (`keepalive.Standby`).

    All methods but `postpone` are called by the session's `KeepAliveThread`, and `close` after that has ended.
    """

    def __init__(
        self,
        service: PingService,
        records: PingLog,
        clock: Clock,
        target: Target,
        session_id: str,
        first: PingKey,
        *,
        signed: Callable[[str, Mapping[str, Any]], SignedRequest] | None = None,
        left_over: Sequence[PingKey] = (),
        pace: KeepAliveTiming = TIMING,
    ) -> None:
        """`first` is the first place that is free; `left_over` are earlier ones of which it is not known what became.

        `signed(job_id, document)` gives the job's submission as a request ready to send, or raises HybridloopError;
        without it there is no stand-in.
        """
        self._service = service
        self._records = records
        self._clock = clock
        self._target = target
        self._session_id = session_id
        self._next = first
        self._signed = signed
        self._pace = pace
        self._program: bytes | None = None
        self._begun: PingKey | None = None  # written down, and not ready yet
        self._spare: _Prepared | None = None  # ready, and not held by the stand-in yet
        self._ready: list[_Prepared] = []  # held by the stand-in, oldest first
        self._signed_at: dict[str, float] = {}
        self._open: dict[str, PingKey] = {place.id: place for place in left_over}  # those that may be under way
        self._unsure = {place.id for place in left_over}  # those that may never have arrived
        self._standby_process = StandbyProcess()
        self._lock = threading.Lock()

    def send(self) -> None:
        """Submit the next ping. Raises HybridloopError."""
        self._records.confirm()  # before a ping that was written down long ago
        ping = self._ready[0] if self._ready else self._next_prepared()
        self.postpone(self._clock.now() + _TAKES_OVER_S)
        self._service.submit(ping.place.id, ping.container, ping.body)
        self._leaves(ping)
        self._open[ping.place.id] = ping.place
        self._standby_process.forget(ping.place.id)
        self._note_accepted(ping.place)

    def settle(self) -> int:
        """Look at the pings that are not known to have ended; how many have not. Raises HybridloopError."""
        if not self._open:
            return 0
        listed = {
            job["id"]: job
            for job in self._service.list_session_jobs(self._session_id, name_prefix=self._next.prefix)
            if job["id"] in self._open
        }
        for key, place in list(self._open.items()):
            job = listed.get(key)
            if job is None:
                if key in self._unsure:
                    self._end(place, "lost", {})
            elif job.get("status") in TERMINAL:
                self._end(place, "done" if job["status"] in SUCCEEDED else "failed", job.get("costEstimate"))
        return len(self._open)

    def prepare(self) -> bool:
        """Make one more ping ready for the stand-in; False says that it has all it needs. Raises HybridloopError."""
        if self._signed is None:
            return False
        now = self._clock.now()
        stale = next((ping for ping in self._ready if now - self._signed_at[ping.place.id] >= _SIGNED_ANEW_S), None)
        if stale is None and len(self._ready) >= PREPARED:
            return False
        ping = stale or self._next_prepared()
        request = self._signed(ping.place.id, job_document(ping.container, ping.body))
        self._standby_process.hold(ping.place.id, request)
        self._signed_at[ping.place.id] = now
        if stale is None:
            self._spare = None
            with self._lock:
                self._ready.append(ping)
        return True

    def postpone(self, first_at: float | None) -> None:
        """Let the stand-in send the first of its pings at that moment, the others as far apart as they must be."""
        with self._lock:
            keys = [] if first_at is None else [ping.place.id for ping in self._ready]
        after = 0.0 if first_at is None else max(0.0, first_at - self._clock.now())
        self._standby_process.arm({key: after + i * self._pace.ping_after_s for i, key in enumerate(keys)})

    def sent(self) -> list[float]:
        """The moments of the pings that the stand-in sent and that were not told of before."""
        return [each.at for each in self._standby_process.sent() if self._take(each)]

    @property
    def prepared(self) -> int:
        """How many pings were written down, and wait to be needed."""
        with self._lock:
            return len(self._ready) + (self._spare is not None) + (self._begun is not None)

    def close(self, *, settles: bool = True) -> None:
        """End the stand-in and settle what can be settled now. What was never sent is written down as lost, so free.

        Without `settles` nothing is asked of the service: whoever resumes the run settles what is left over.
        """
        for each in self._standby_process.close():
            self._take(each)
        if self._ready and self._standby_process.was_killed:  # it may have been sending this one
            doubtful = self._ready[0]
            self._leaves(doubtful)
            self._open[doubtful.place.id] = doubtful.place
            self._unsure.add(doubtful.place.id)
        unused = [ping.place for ping in (*self._ready, *([self._spare] if self._spare else []))]
        try:
            if settles:
                self.settle()
            for place in (*unused, *([self._begun] if self._begun else [])):
                self._records.ended(place, "lost", {})
        except HybridloopError as error:  # the session is being closed: it will be settled by whoever resumes the run
            _log.warning("what became of the last keep-alive pings is not written down: %s", error)

    def _next_prepared(self) -> _Prepared:
        """A ping whose submission is all that is left to do. One that got stuck half-way is gone on with."""
        if self._spare is None:
            if self._program is None:
                self._program = ping_program(self._target)
            if self._begun is None:
                self._records.intend(self._next)
                self._begun = self._next
                self._next = replace(self._next, n=self._next.n + 1)
            place = self._begun
            container = self._service.create_container(place.id)
            self._service.upload(container, self._program)
            self._spare = _Prepared(place, container, ping_body(place, self._session_id, self._target))
            self._begun = None
        return self._spare

    def _take(self, sent: SentPing) -> bool:
        """Take note of a request that the stand-in has done with; True says that the service accepted it."""
        ping = next((ping for ping in self._ready if ping.place.id == sent.key), None)
        if ping is None:
            return False  # this process sent it as well, under the same id
        self._leaves(ping)
        if sent.is_accepted:
            self._open[ping.place.id] = ping.place
            self._note_accepted(ping.place)
            return True
        _log.warning("a keep-alive ping did not get through: HTTP %s %s", sent.status or "-", sent.trouble)
        self._open[ping.place.id] = ping.place
        self._unsure.add(ping.place.id)
        return False

    def _note_accepted(self, place: PingKey) -> None:
        """Write down that the service has it; if that fails it counts all the same, and its end is written later."""
        try:
            self._records.submitted(place)
        except HybridloopError as error:
            _log.warning("that a keep-alive ping was accepted is not written down: %s", error)

    def _leaves(self, ping: _Prepared) -> None:
        """It is not there to be sent any more."""
        if ping is self._spare:
            self._spare = None
        self._signed_at.pop(ping.place.id, None)
        with self._lock:
            self._ready = [other for other in self._ready if other is not ping]

    def _end(self, place: PingKey, state: str, cost_estimate: Mapping[str, Any] | None) -> None:
        self._records.ended(place, state, cost_estimate)
        self._open.pop(place.id)
        self._unsure.discard(place.id)
