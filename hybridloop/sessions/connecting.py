"""Puts together what a run's session goes by: service, sessions, account, keep-alive."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

from hybridloop.sessions.account import RunAccount
from hybridloop.sessions.budget import Budget, Caps, check_caps, without_effect
from hybridloop.sessions.clock import Clock, RealClock
from hybridloop.sessions.connection import Connection
from hybridloop.sessions.keeping import JournaledPings, Keeping, SessionKeeper
from hybridloop.sessions.lineage import Lineage
from hybridloop.sessions.meter import meter_of
from hybridloop.sessions.policy import FailurePolicy
from hybridloop.sessions.poller import Poller
from hybridloop.sessions.prices import ping_price
from hybridloop.sessions.run import ClaimedRun
from hybridloop.sessions.service import Service
from hybridloop.sessions.targets import Target, check_debias
from hybridloop.sessions.workers import Workers

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a session is held under."""

    name: str
    policy: FailurePolicy
    keeping: Keeping
    caps: Caps
    debias: bool


def connected(
    workspace: Any, target: Target, run: ClaimedRun, terms: Terms, clock: Clock, held: ExitStack
) -> tuple[Connection, Poller, RunAccount, SessionKeeper]:
    """What an `OpenSession` is made of; `held` ends what has to end. Raises InputError; nothing is sent."""
    check_caps(terms.caps, target)
    check_debias(target, debias=terms.debias)
    if (idle := without_effect(terms.caps, target)) is not None:
        _log.warning("%s", idle)
    service = held.enter_context(closing(Service(workspace, clock, threading.Event())))
    workers = held.enter_context(closing(Workers("hybridloop-session", clock)))
    before = meter_of(run.journal.charges(run.uid), target)
    budget = Budget(terms.caps, before, started_at=clock.now(), run_key=run.record.key)
    account = RunAccount(budget, target, clock, before=before, debias=terms.debias)
    pings = JournaledPings(run.journal, run.lease, budget, ping_price(target), clock.now, account.charge)
    signed = service.signed_submission if isinstance(clock, RealClock) else None
    keeper = SessionKeeper(terms.keeping, run.uid, target, service, pings, run.journal, clock, signed=signed)
    account.make_room = keeper.stand_down
    lineage = Lineage(
        service,
        run,
        target,
        terms.policy,
        clock,
        name=terms.name,
        on_open=lambda opened, at: keeper.opened(opened.ordinal, opened.id, at),
    )
    poller = Poller(clock)
    connection = Connection(
        service, lineage, run, target, terms.policy, clock, workers, account, keeper, poller.later, terms.debias
    )
    return connection, poller, account, keeper
