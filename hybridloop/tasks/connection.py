"""What the rounds of a session share: the service, the run, its terms, and who hears of its jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from hybridloop.azure.client import ServiceClient
from hybridloop.azure.targets import Target
from hybridloop.journal.claimed_run import ClaimedRun
from hybridloop.runtime.clock import Clock
from hybridloop.runtime.thread_pool import ThreadPool
from hybridloop.tasks.failure_policy import FailurePolicy
from hybridloop.tasks.session_renewal import SessionRenewal
from hybridloop.tasks.submission.jobs import JobSpec


class Activity(Protocol):
    """Who hears what the session's idle time depends on."""

    def submitted(self, at: float) -> None:
        """A job was accepted."""

    def ended(self, at: float) -> None:
        """A job has ended."""


class Account(Protocol):
    """Who keeps what the run's jobs may cost and did cost."""

    def again(self, spec: JobSpec) -> JobSpec:
        """Set aside what a further attempt may cost, before it is written down. Raises CapReached."""

    def check_unsent(self, spec: JobSpec) -> None:
        """Hold a job that was written down under other caps, and never sent, to those of now. Raises CapReached."""

    def settle(self, spec: JobSpec, billed: Mapping[str, float] | None) -> Mapping[str, float] | None:
        """Count a job as billed, once it has ended; what the journal is to say of it."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What a round needs of its session; `debias` is the provider's error mitigation, where it has one."""

    service: ServiceClient
    sessions: SessionRenewal
    run: ClaimedRun
    target: Target
    policy: FailurePolicy
    clock: Clock
    workers: ThreadPool
    account: Account
    activity: Activity
    later: Callable[[float, Callable[[], None]], None]
    debias: bool = True
