"""A target that is away when a run begins or goes on: waited for before a session is opened, as the policy says."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from prefect.runtime import flow_run

from hybridloop.errors import RunCancelled, RunParked, ServiceRefused, StopRequested, TargetDown
from hybridloop.flows.cancelling import cancelled_in_prefect
from hybridloop.flows.settings import RunSettings
from hybridloop.sessions.catalog import check_offered, unavailable_targets
from hybridloop.sessions.durations import one_unit
from hybridloop.sessions.policy import OnTargetDown, while_away
from hybridloop.sessions.poller import poll_interval
from hybridloop.sessions.run import ClaimedRun
from hybridloop.sessions.targets import find_target

_NOTHING = "Nothing was submitted, no money was spent."
_LOOK_EVERY_S = 10.0  # at most; a tenth of the wait so far before that, but not under half a second
_LOOK_FIRST_S = 0.5

_log = logging.getLogger(__name__)


def check_target(workspace: Any, settings: RunSettings, num_qubits: int = 0) -> bool:
    """Whether the target is available, asked before anything is begun; where it is not, `wait_for_target` is next.

    Raises InputError where the workspace does not offer it, or not for so many qubits, and ServiceRefused where it is
    away and the policy is not to wait.
    """
    is_there = check_offered(workspace, find_target(settings.target), num_qubits)
    if not is_there and settings.failure.on_target_down is OnTargetDown.FAIL:
        happened = f"target: {settings.target} is not available at the moment"
        raise ServiceRefused(
            happened, _NOTHING, "Try later, choose another target, or wait for this one: --on-target-down wait."
        )
    return is_there


def wait_for_target(workspace: Any, settings: RunSettings, run: ClaimedRun, cancelled: threading.Event) -> None:
    """Wait until the target is available; the run holds its lease meanwhile, and no session.

    Raises TargetDown or RunParked after `target_down_wait_s`, StopRequested or RunCancelled (and sets `cancelled`)
    where that is asked for, what took the run over if it was.
    """
    woken, policy = threading.Event(), settings.failure
    run.on_stop(woken.set)
    started = time.monotonic()
    said = while_away(policy, policy.target_down_wait_s)
    _log.warning("%s takes no jobs at the moment, and no session is opened meanwhile. %s", settings.target, said)
    with cancelled_in_prefect(flow_run.id, cancelled, woken.set):
        while settings.target.lower() in unavailable_targets(workspace):
            waited = time.monotonic() - started
            left = policy.target_down_wait_s - waited
            if left <= 0:
                raise _enough_of_it(settings)
            pause = min(left, _LOOK_EVERY_S, max(_LOOK_FIRST_S, poll_interval(waited)))
            if woken.wait(pause):
                raise run.lost or (RunCancelled(0) if cancelled.is_set() else StopRequested(0))
    _log.warning("%s takes jobs again", settings.target)


def _enough_of_it(settings: RunSettings) -> TargetDown | RunParked:
    if settings.failure.on_target_down is OnTargetDown.PARK:
        return RunParked(0)
    waited = one_unit(settings.failure.target_down_wait_s)
    happened = f"the target {settings.target} takes no jobs, and did not come back within {waited}"
    return TargetDown(happened, _NOTHING, "Resume the run when it is back (`hybridloop runs resume`).")
