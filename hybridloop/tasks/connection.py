"""Connection of a run to the service: client, sessions, cost ledger, keep-alive and poller, made for `open_session`."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any

from hybridloop.azure.client import ServiceClient
from hybridloop.azure.pace import NO_LIMITS, RequestLimits
from hybridloop.azure.provider_options import Options, check_debias, check_provider_options, target_with_options
from hybridloop.azure.targets import Batching, Target, batches_points, check_batching
from hybridloop.budget.caps import Budget, Caps, check_caps, ineffective_caps_warning
from hybridloop.budget.cost_summary import summarize_charges
from hybridloop.budget.prices import ping_price
from hybridloop.budget.tracker import Account, account_open
from hybridloop.budget.unknown_facts import unbounded_cost_warning, unknown_facts_warning
from hybridloop.journal.claimed_run import ClaimedRun, how_to_resume
from hybridloop.runtime.clock import Clock, RealClock
from hybridloop.runtime.thread_pool import ThreadPool
from hybridloop.tasks.cost_ledger import CostLedger
from hybridloop.tasks.failure_policy import FailurePolicy
from hybridloop.tasks.keepalive.session_keep_alive import JournalPingLog, KeepAliveSettings, SessionKeepAlive
from hybridloop.tasks.session_renewal import SessionRenewal
from hybridloop.tasks.submission.polling import Poller

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """Options of a run's session; without `debias` the provider's error mitigation is turned off.

    `provider_options` are those of the target's provider, as in inputParams.
    `batching` says whether the points of a round are put into one job, where the target takes many in one.
    """

    name: str
    policy: FailurePolicy
    keep_alive: KeepAliveSettings
    caps: Caps
    debias: bool
    batching: Batching = Batching.AUTO
    requests: RequestLimits = NO_LIMITS
    provider_options: Options = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Connection:
    """All that the rounds of a run's session share."""

    service: ServiceClient
    sessions: SessionRenewal
    run: ClaimedRun
    target: Target
    policy: FailurePolicy
    clock: Clock
    workers: ThreadPool
    ledger: CostLedger
    keep_alive: SessionKeepAlive
    poller: Poller
    debias: bool
    batches: bool
    provider_options: Options


def under_options(
    target: Target,
    caps: Caps,
    *,
    debias: bool,
    batching: Batching = Batching.AUTO,
    provider_options: Options | None = None,
) -> Target:
    """Return the target under these options. Raises InputError if caps or options do not fit it."""
    check_caps(caps, target)
    check_debias(target, debias=debias)
    check_batching(target, batching)
    check_provider_options(target, provider_options or {})
    return target_with_options(target, provider_options or {})


def start_warnings(target: Target, caps: Caps) -> list[str]:
    """Return warnings for the start of a run: caps without effect, facts that are not known, costs without a bound."""
    warnings = (
        ineffective_caps_warning(caps, target),
        unknown_facts_warning(target),
        unbounded_cost_warning(caps, target),
    )
    return [warning for warning in warnings if warning is not None]


def build_connection(
    workspace: Any, target: Target, run: ClaimedRun, options: SessionOptions, clock: Clock, resources: ExitStack
) -> Connection:
    """Return a run's connection; `resources` closes what has to be closed. Nothing is sent."""
    for warning in start_warnings(target, options.caps):
        _log.warning("%s", warning)
    service = resources.enter_context(
        closing(ServiceClient(workspace, clock, threading.Event(), limits=options.requests))
    )
    workers = resources.enter_context(closing(ThreadPool("hybridloop-session", clock, lambda: service.pace.in_flight)))
    # costs: earlier processes of the run count, prepared pings make room for jobs
    before = summarize_charges(run.journal.charges(run.uid), target)
    budget = Budget(options.caps, before.spending, started_at=clock.now(), resume=how_to_resume(run.record))
    ledger = CostLedger(budget, target, clock, before=before, debias=options.debias)
    resources.enter_context(account_open(Account(run.record.key, target.name, before, lambda: ledger.summary)))
    # keep-alive: requests are signed for the standby process only in real time
    pings = JournalPingLog(run.journal, run.lease, budget, ping_price(target), clock.now, ledger.bill_ping)
    sign = service.sign_submission if isinstance(clock, RealClock) else None
    keep_alive = SessionKeepAlive(options.keep_alive, target, service, pings, clock, sign=sign)
    ledger.make_room = keep_alive.release_prepared
    sessions = SessionRenewal(service, run, target, options.policy, clock, name=options.name, on_open=keep_alive.opened)
    return Connection(
        service,
        sessions,
        run,
        target,
        options.policy,
        clock,
        workers,
        ledger,
        keep_alive,
        Poller(clock),
        options.debias,
        batches_points(target, options.batching),
        options.provider_options,
    )
