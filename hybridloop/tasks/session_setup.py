"""Puts together what a run's session goes by: service, sessions, account, keep-alive."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

from hybridloop.azure.client import ServiceClient
from hybridloop.azure.targets import Target, check_debias, find_target
from hybridloop.budget.caps import Budget, Caps, check_caps, ineffective_caps_warning
from hybridloop.budget.cost_summary import summarize_charges
from hybridloop.budget.prices import ping_price
from hybridloop.journal.claimed_run import ClaimedRun
from hybridloop.runtime.clock import Clock, RealClock
from hybridloop.runtime.thread_pool import ThreadPool
from hybridloop.tasks.connection import Connection
from hybridloop.tasks.cost_ledger import CostLedger
from hybridloop.tasks.failure_policy import FailurePolicy
from hybridloop.tasks.keepalive.session_keep_alive import JournalPingLog, KeepAliveSettings, SessionKeepAlive
from hybridloop.tasks.session_renewal import SessionRenewal
from hybridloop.tasks.submission.polling import Poller

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """What a session is held under."""

    name: str
    policy: FailurePolicy
    keeping: KeepAliveSettings
    caps: Caps
    debias: bool


def resolve_target(name: str, caps: Caps, *, debias: bool) -> Target:
    """Return the target of a name. Raises InputError where there is none, or the caps or `debias` do not fit it."""
    target = find_target(name)
    check_caps(caps, target)
    check_debias(target, debias=debias)
    return target


def build_connection(
    workspace: Any, target: Target, run: ClaimedRun, terms: SessionOptions, clock: Clock, held: ExitStack
) -> tuple[Connection, Poller, CostLedger, SessionKeepAlive]:
    """What an `OpenSession` is made of; `held` ends what has to end. Nothing is sent."""
    if (idle := ineffective_caps_warning(terms.caps, target)) is not None:
        _log.warning("%s", idle)
    service = held.enter_context(closing(ServiceClient(workspace, clock, threading.Event())))
    workers = held.enter_context(closing(ThreadPool("hybridloop-session", clock)))
    before = summarize_charges(run.journal.charges(run.uid), target)
    budget = Budget(terms.caps, before.spending, started_at=clock.now(), run_key=run.record.key)
    account = CostLedger(budget, target, clock, before=before, debias=terms.debias)
    pings = JournalPingLog(run.journal, run.lease, budget, ping_price(target), clock.now, account.charge)
    signed = service.sign_submission if isinstance(clock, RealClock) else None
    keeper = SessionKeepAlive(terms.keeping, run.uid, target, service, pings, run.journal, clock, signed=signed)
    account.make_room = keeper.release_prepared
    sessions = SessionRenewal(
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
        service, sessions, run, target, terms.policy, clock, workers, account, keeper, poller.later, terms.debias
    )
    return connection, poller, account, keeper
