"""Pings of one session: jobs of one gate and one shot, with ids that are known before they are sent."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from qiskit import QuantumCircuit

from hybridloop.azure.client import ServiceClient, upload_input
from hybridloop.budget.caps import Budget, Reservation
from hybridloop.errors import HybridloopError
from hybridloop.journal import UNSETTLED, Journal, Lease, Ping
from hybridloop.runtime.clock import Clock
from hybridloop.runtime.leaves import leaf
from hybridloop.runtime.run_events import EventValue, report
from hybridloop.targets import Target
from hybridloop.targets.prices import Price, ping_price
from hybridloop.targets.provider_options import provider_params
from hybridloop.tasks.submission.jobs import SUCCEEDED, TERMINAL

if TYPE_CHECKING:
    from hybridloop.compiler import qir_template
else:
    qir_template = leaf("hybridloop.compiler.qir_template")

PING_SHOTS = 1

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
    return qir_template.compile_qir(circuit, target.profile).encode()


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


class PingLog:
    """Record of pings in a run's journal, with reservations of their cost.

    `bill` bills the service's cost estimate and returns the amounts by unit; None if it states none.
    """

    def __init__(
        self,
        journal: Journal,
        lease: Lease,
        budget: Budget,
        price: Price,
        now: Callable[[], float],
        bill: Callable[[Mapping[str, Any] | None], Mapping[str, float] | None],
    ) -> None:
        self._journal = journal
        self._lease = lease
        self._budget = budget
        self._price = price
        self._now = now
        self._bill = bill
        self._reserved: dict[str, Reservation] = {}

    def confirm(self) -> None:
        """Raise LeaseLost if another process holds the run now."""
        self._journal.renew(self._lease)

    def intend(self, key: PingKey) -> None:
        """Record that the ping may be submitted, and reserve its cost. Raises CapReached, JournalError, LeaseLost."""
        (reservation,) = self._budget.reserve([PING_SHOTS], [self._price], now=self._now())
        try:
            self._journal.add_ping(self._lease, Ping(key.id, key.ordinal, key.n, reservation.amounts, shots=PING_SHOTS))
        except BaseException:  # an interruption too: nothing was recorded
            self._budget.release(reservation)
            raise
        self._reserved[key.id] = reservation

    def load(self, ordinal: int) -> tuple[PingKey, list[PingKey]]:
        """Return a session's first free key, and the keys of its pings whose end is not recorded; adopt their cost."""
        pings = [ping for ping in self._journal.pings(self._lease.run_uid) if ping.session == ordinal]
        unsettled = [ping for ping in pings if ping.state in UNSETTLED]
        for ping in unsettled:
            if ping.id not in self._reserved:  # it is an earlier process's
                self._reserved[ping.id] = self._budget.adopt(ping.shots, ping.reserved, self._price)
        first = PingKey(self._lease.run_uid, ordinal, 1 + max((ping.n for ping in pings), default=-1))
        return first, [PingKey(self._lease.run_uid, ordinal, ping.n) for ping in unsettled]

    def submitted(self, key: PingKey) -> None:
        """Record that the service has accepted the ping."""
        self._journal.end_ping(self._lease, key.id, "submitted", at=self._now())

    def ended(self, key: PingKey, state: str, cost_estimate: Mapping[str, Any] | None) -> None:
        """Record a ping as done, failed or lost (never accepted, so free)."""
        reservation = self._reserved[key.id]
        if state == "lost":
            self._journal.end_ping(self._lease, key.id, state, dict.fromkeys(reservation.amounts, 0.0))
            self._budget.release(reservation)
        else:
            billed = self._bill(cost_estimate)
            self._journal.end_ping(self._lease, key.id, state, billed, at=self._now())
            self._budget.settle(reservation, billed)
        del self._reserved[key.id]


class PingSender:
    """Sends the pings of one session and settles their cost; one call at a time."""

    def __init__(
        self,
        service: ServiceClient,
        log: PingLog,
        clock: Clock,
        target: Target,
        session_id: str,
        first: PingKey,
        unsettled: Sequence[PingKey] = (),
    ) -> None:
        """`first` is the first free key; `unsettled` are earlier ones whose end is not recorded."""
        self._service = service
        self._records = log
        self._clock = clock
        self._target = target
        self._session_id = session_id
        self._next = first
        self._begun: PingKey | None = None  # recorded, and not known to be accepted
        self._open = dict.fromkeys(unsettled, False)  # pings without an end, and whether they were seen to be accepted

    def send(self) -> None:
        """Submit the next ping; one that failed is sent again under its number. Raises HybridloopError."""
        began_at = self._clock.now()
        if self._begun is None:
            self._records.intend(self._next)
            self._begun, self._next = self._next, replace(self._next, n=self._next.n + 1)
            self._open[self._begun] = False
        else:
            self._records.confirm()
        key = self._begun
        container = self._service.create_container(key.id)
        container = upload_input(self._service, key.id, container, ping_program(self._target))
        self._service.submit(key.id, container, ping_body(key, self._session_id, self._target))
        self._begun = None
        self._open[key] = True
        self._record_accepted(key, began_at)

    def settle(self) -> int:
        """Look for pings that have ended; return the number of those that have not. Raises HybridloopError."""
        sent = {key: is_accepted for key, is_accepted in self._open.items() if key != self._begun}
        if not sent:
            return 0
        jobs = self._service.list_session_jobs(self._session_id, name_prefix=self._next.prefix)
        listed = {job["id"]: job for job in jobs}
        for key, is_accepted in sent.items():
            job = listed.get(key.id, {})
            if not job and not is_accepted:
                self._end(key, "lost", {})
            elif job.get("status") in TERMINAL:
                self._end(key, "done" if job["status"] in SUCCEEDED else "failed", job.get("costEstimate"))
        return len(self._open) - (self._begun is not None)

    def close(self) -> None:
        """Settle the pings that have ended or never arrived, because no more are sent; a resume settles the rest."""
        self._begun = None
        try:
            self.settle()
        except HybridloopError as error:  # the session is being closed
            _log.warning("the ends of the last keep-alive pings are not recorded: %s", error)

    def _record_accepted(self, key: PingKey, began_at: float) -> None:
        """Record that the service has the ping; if that fails it counts all the same, and its end is recorded later."""
        level = logging.INFO if ping_price(self._target).is_free else logging.WARNING
        message = f"keep-alive ping {key.n + 1} of session {self._session_id} was sent by the run"
        facts: dict[str, EventValue] = {"session": self._session_id, "job": key.id, "number": key.n + 1, "by": "run"}
        report("ping.sent", message, facts, level=level, began_at=began_at, ended_at=self._clock.now())
        try:
            self._records.submitted(key)
        except HybridloopError as error:
            _log.warning("the acceptance of a keep-alive ping is not recorded: %s", error)

    def _end(self, key: PingKey, state: str, cost_estimate: Mapping[str, Any] | None) -> None:
        self._records.ended(key, state, cost_estimate)
        del self._open[key]
