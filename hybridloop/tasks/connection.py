"""Connection of a run to the service: client, sessions, cost ledger, keep-alive and poller."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from typing import Any

from hybridloop.azure.client import ServiceClient
from hybridloop.budget.caps import Budget
from hybridloop.budget.cost_summary import summarize_charges
from hybridloop.budget.tracker import Account, account_open
from hybridloop.journal.held_run import HeldRun, how_to_resume
from hybridloop.runtime.clock import Clock, steady_s
from hybridloop.runtime.thread_pool import ThreadPool
from hybridloop.settings.session_options import SessionOptions, start_warnings
from hybridloop.targets import Target, batches_points
from hybridloop.targets.prices import ping_price
from hybridloop.tasks.cost_ledger import CostLedger
from hybridloop.tasks.keepalive.keep_alive import SessionKeepAlive
from hybridloop.tasks.keepalive.pings import PingLog
from hybridloop.tasks.session_renewal import SessionRenewal
from hybridloop.tasks.submission.polling import Poller

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Connection:
    """All that the rounds of a run's session share."""

    service: ServiceClient
    sessions: SessionRenewal
    run: HeldRun
    target: Target
    options: SessionOptions
    clock: Clock
    workers: ThreadPool
    ledger: CostLedger
    keep_alive: SessionKeepAlive
    poller: Poller
    batches: bool  # points of a round into jobs of many


def build_connection(
    workspace: Any,
    target: Target,
    run: HeldRun,
    options: SessionOptions,
    name: str,
    clock: Clock,
    begun_s: float | None,
    resources: ExitStack,
) -> Connection:
    """Return a run's connection; `resources` closes what has to be closed. Nothing is sent.

    `name` is that of its sessions at the service. Its deadline counts from `begun_s`, of the steady clock, else from
    now.
    """
    for warning in start_warnings(target, options.caps):
        _log.warning("%s", warning)
    client = ServiceClient(workspace, clock, threading.Event(), limits=options.requests, labels=options.labels)
    service = resources.enter_context(closing(client))
    workers = resources.enter_context(closing(ThreadPool("hybridloop-session", clock, lambda: service.pace.in_flight)))
    poller = Poller(clock)
    resources.callback(poller.stop)
    # costs: earlier processes of the run count
    before = summarize_charges(run.journal.charges(run.uid), target)
    started_at = clock.now() - (0.0 if begun_s is None else steady_s() - begun_s)
    budget = Budget(options.caps, before.spending, started_at=started_at, resume=how_to_resume(run.record))
    ledger = CostLedger(budget, target, clock, before=before, debias=options.debias)
    resources.enter_context(account_open(Account(run.record.key, target.name, before, lambda: ledger.summary)))
    # keep-alive: a ping goes before the jobs that wait for a worker
    pings = PingLog(run.journal, run.lease, budget, ping_price(target), clock.now, ledger.bill_ping)
    send = partial(workers.submit, first=True)
    keep_alive = SessionKeepAlive(options.keep_alive, target, service, pings, clock, poller, send)
    sessions = SessionRenewal(service, run, target, options.failure, clock, name=name, on_open=keep_alive.opened)
    return Connection(
        service,
        sessions,
        run,
        target,
        options,
        clock,
        workers,
        ledger,
        keep_alive,
        poller,
        batches_points(target, options.batching),
    )
