"""Acquire the session of a run inside its flow run: wait for the target and for a slot, then open it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hybridloop.azure.listing import check_offered, unavailable_targets
from hybridloop.errors import LimitReached, RunCancelled, RunParked, ServiceRefused, StopRequested, TargetDown
from hybridloop.flows.lifecycle.host import Cancellation, Host
from hybridloop.journal.held_run import HeldRun, how_to_resume
from hybridloop.runtime.durations import format_duration
from hybridloop.runtime.stages import announce
from hybridloop.settings import RunSettings
from hybridloop.settings.failure_policy import FailurePolicy, OnTargetDown, policy_warnings, target_down_text
from hybridloop.targets import Target
from hybridloop.tasks.session import OpenSession, open_run_session
from hybridloop.tasks.submission.polling import poll_interval

_NOTHING = "No further job was submitted or billed."
_MIN_POLL_S, _MAX_POLL_S = 0.5, 10.0

_log = logging.getLogger(__name__)


def check_available(workspace: Any, target: Target, num_qubits: int, policy: FailurePolicy) -> bool:
    """Return true if the target is available; if not, the run must wait for it.

    Raises InputError if the workspace does not offer the target or it has too few qubits. Raises ServiceRefused if it
    is unavailable and the policy is not to wait.
    """
    is_available = check_offered(workspace, target, num_qubits)
    if not is_available and policy.on_target_down is OnTargetDown.FAIL:
        raise ServiceRefused(
            f"target: {target.name} is not available at the moment",
            _NOTHING,
            "Try later, choose another target, or wait for this one: failure.on_target_down=wait.",
        )
    return is_available


def wait_for_target(
    run: HeldRun, workspace: Any, target: Target, policy: FailurePolicy, cancellation: Cancellation
) -> None:
    """Wait until the target is available; meanwhile the run holds its lease but no session.

    Raises TargetDown or RunParked after `target_down_wait_s`, StopRequested or RunCancelled on request, and LeaseLost
    if another process took over the run.
    """
    wake = threading.Event()
    run.on_stop(wake.set)
    began = time.monotonic()
    consequence = target_down_text(policy, policy.target_down_wait_s)
    _log.warning("%s takes no jobs at the moment; no session is opened meanwhile. %s", target.name, consequence)
    with cancellation.stopping(wake.set):
        while target.name.lower() in unavailable_targets(workspace):
            waited = time.monotonic() - began
            left = policy.target_down_wait_s - waited
            if left <= 0:
                raise _wait_timeout(run, target, policy)
            pause = min(left, _MAX_POLL_S, max(_MIN_POLL_S, poll_interval(waited)))
            if wake.wait(pause):
                raise run.lease_error or (RunCancelled(0) if cancellation.cancelled.is_set() else StopRequested(0))
    _log.warning("%s takes jobs again", target.name)


def _wait_timeout(run: HeldRun, target: Target, policy: FailurePolicy) -> TargetDown | RunParked:
    if policy.on_target_down is OnTargetDown.PARK:
        return RunParked(0)
    waited = format_duration(policy.target_down_wait_s)
    happened = f"the target {target.name} takes no jobs, and did not come back within {waited}"
    return TargetDown(happened, _NOTHING, f"When it is back: {how_to_resume(run.record)}")


@contextmanager
def _limit_waited_for(settings: RunSettings) -> Iterator[None]:
    """Let a limit over runs that ends the block park the run, where its settings say so."""
    try:
        yield
    except LimitReached as error:
        if settings.wait_for_limit:
            error.wait()
        raise


@contextmanager
def acquire_session(
    run: HeldRun,
    workspace: Any,
    target: Target,
    settings: RunSettings,
    host: Host,
    *,
    begun_s: float,
    is_available: bool,
    is_replay: bool = False,
) -> Iterator[OpenSession]:
    """Hold the session of a run for the block; a cancellation by the host stops it.

    It is opened once the target takes jobs and a slot is free; its settings were checked against the target before. Its
    deadline counts from `begun_s`, of the steady clock.
    `is_replay` is for a run whose rounds are all in the journal: none is opened, and no slot is taken. The end of the
    block closes a session that an earlier process left open.
    Raises the errors of `wait_for_target`, of the host's slot and of `open_run_session`.
    """
    if not is_available:
        announce(f"waiting for {target.name}")
        wait_for_target(run, workspace, target, settings.failure, host.cancellation)
    for caution in policy_warnings(settings.failure):
        _log.warning("%s", caution)
    name = run.record.key
    block = open_run_session(workspace, target, settings.session_options, run=run, name=name, begun_s=begun_s)
    if is_replay:
        with block as session:
            yield session
        return
    announce("opening the session" if settings.session_slots is None else "waiting for a slot, and opening the session")
    with (
        _limit_waited_for(settings),
        host.slot(settings.session_slots, run, workspace),
        host.session(block) as session,
        host.cancellation.stopping(session.rounds.stop),
    ):
        yield session
