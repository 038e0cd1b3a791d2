"""Takeover of a run by another process: its former owner ends without changing the flow run's state."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from httpx import HTTPError
from prefect import get_run_logger
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.context import FlowRunContext
from prefect.exceptions import Abort, PrefectException

from hybridloop.errors import HybridloopError, LeaseLost
from hybridloop.flows.in_prefect.one_request import client_without_retries
from hybridloop.journal.held_run import HeldRun

_AS_LEFT = frozenset({StateType.RUNNING, StateType.CANCELLING})
_log = logging.getLogger(__name__)


@contextmanager
def leave_state_after_takeover(run: HeldRun) -> Iterator[None]:
    """End the flow run without a state if an error ends the block after another process took over the run.

    A process can wake after hours, and Prefect would set Failed or Crashed over the state that the new owner or
    housekeeping has set. Prefect's own signal for this is `Abort`; `run_beside` gives the caller its cause.
    Raises LeaseLost in place of other errors if the state is still as this process left it.
    """
    try:
        yield
    except BaseException as error:  # signals, too: Prefect shows them as a crash
        lost = error if isinstance(error, LeaseLost) else _find_loss(run)
        if lost is None:
            raise
        if _is_flow_run_changed():
            get_run_logger().warning("%s", lost)
            raise Abort(str(lost)) from lost
        if isinstance(error, Exception) and error is not lost:
            raise lost from error
        raise


def _find_loss(run: HeldRun) -> LeaseLost | None:
    try:
        run.journal.renew(run.lease)
    except LeaseLost as error:
        return error
    except HybridloopError as error:  # the journal is away: the error that ended the block is the one to show
        _log.debug("the lease of run %s could not be checked: %s", run.record.key, error)
    return None


def is_changed(ours: FlowRun, now: FlowRun | None) -> bool:
    """Return true if the flow run is over or was started again since this process set it to Running.

    An unknown state (None) counts as changed, so that it is left alone.
    """
    return now is None or now.run_count != ours.run_count or now.state_type not in _AS_LEFT


def _is_flow_run_changed() -> bool:
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    ours, now = context.flow_run, None
    try:
        with client_without_retries() as client:
            now = client.read_flow_run(ours.id)
    except (HTTPError, PrefectException, RuntimeError) as error:
        _log.debug("the state of the flow run could not be read: %s", error)
    return is_changed(ours, now)
