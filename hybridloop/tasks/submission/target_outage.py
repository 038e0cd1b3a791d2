"""Outage of a target as a round meets it: its jobs wait, for as long as the failure policy says."""

from __future__ import annotations

import logging
import threading

from hybridloop.errors import RunParked, TargetDown
from hybridloop.runtime.clock import Clock
from hybridloop.settings.failure_policy import FailurePolicy, OnTargetDown, target_down_text, wait_for_target

_CHECK_S = 30.0

_log = logging.getLogger(__name__)


class TargetOutage:
    """The time since when no job of a round was accepted, because the target is down; thread-safe."""

    def __init__(self, policy: FailurePolicy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._since: float | None = None
        self._lock = threading.Lock()

    def end(self) -> None:
        """Take the target as up: it accepted a job."""
        with self._lock:
            self._since = None

    def wait(self, error: TargetDown, ended: threading.Event, in_flight: int) -> None:
        """Wait some seconds, or until the round ends, for a target that refused a job with this error.

        Raises the error once the policy's time for it is over, or RunParked with the number of jobs in flight.
        """
        policy, now = self._policy, self._clock.now()
        with self._lock:
            is_first = self._since is None
            self._since = since = now if self._since is None else self._since
        left = wait_for_target(policy, down_s=now - since)
        if left is None:
            if policy.on_target_down is OnTargetDown.PARK:
                raise RunParked(in_flight) from error
            raise error
        if is_first:
            _log.warning("%s. %s", error.happened, target_down_text(policy, left))
        self._clock.wait(ended, min(_CHECK_S, left))
