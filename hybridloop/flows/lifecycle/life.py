"""The life of a run in its host: it is held, measured in a session, and ended.

It was begun before (`begin`). The host is a Prefect flow run, or this process alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hybridloop.azure.workspace import describe
from hybridloop.errors import RunCancelled, RunStopped
from hybridloop.flows.lifecycle.acquire_session import acquire_session, check_available
from hybridloop.flows.lifecycle.begin import Place, settled_target
from hybridloop.flows.lifecycle.classical_part import is_classical_alone
from hybridloop.flows.lifecycle.host import Ended, Host
from hybridloop.flows.lifecycle.measurement import Measurement
from hybridloop.journal import Journal
from hybridloop.results.live import NO_VIEW, View
from hybridloop.results.result import RunResult
from hybridloop.runs.hold import hold, write_end
from hybridloop.runs.over_runs import check_limits_bound
from hybridloop.runs.recorded import limits_of
from hybridloop.runs.run import Run


def live(journal: Journal, run: Run, workspace: Any, host: Host, view: View = NO_VIEW) -> Ended[RunResult]:
    """Do the run of an algorithm in its host; a stored result is returned.

    Raises InputError before a session is opened, RunBusy if another process holds the run, and ServiceError for errors
    of the service.
    """
    host.log.info("%s", describe(workspace))
    run = replace(run, record=Place.of(workspace).locate(run.record))
    if run.has_result:
        result = RunResult.from_dict(run.record.result or {})
        return Ended(result, result=result)
    target, settings = run.prepared.target, run.settings
    is_replay = is_classical_alone(journal, run.record)
    if not is_replay:
        check_limits_bound(journal, target, run.record.settings, settings.caps)
    num_qubits = run.prepared.algorithm.facts.num_qubits
    is_available = is_replay or check_available(workspace, target, num_qubits, settings.failure)
    with host.holding(journal, run.record, hold(journal, run, limits_of(settings), host.id)) as held:
        availability = {"is_available": is_available, "is_replay": is_replay}
        session = acquire_session(held, workspace, target, settings, host, begun_s=run.order.begun_s, **availability)
        return Measurement(run, held, host, view).measure(session)


def live_program(journal: Journal, run: Run, workspace: Any, host: Host, call: Callable[[Any], Any]) -> Ended[Any]:
    """Do the run of a session flow in its host: call its function with the session, and end with what it returned.

    Raises as `live`, and what the function raises.
    """
    settings, place = run.settings, Place.of(workspace)
    target = settings.session_options.fit(settled_target(settings.target, place, is_stored=run.record.is_stored))
    # a run that has ended replays from the journal, submits nothing, and does not need the target
    if not run.has_result:
        check_limits_bound(journal, target, run.record.settings, settings.caps)
    is_available = run.has_result or check_available(workspace, target, 0, settings.failure)
    with host.holding(journal, run.record, hold(journal, run, limits_of(settings), host.id)) as held:
        try:
            begun_s = run.order.begun_s
            with acquire_session(
                held, workspace, target, settings, host, begun_s=begun_s, is_available=is_available
            ) as session:
                returned = call(session)
        except RunStopped as error:
            if host.cancellation.cancelled.is_set():
                raise RunCancelled(error.in_flight) from error
            raise
        write_end(held, "measured", "the function returned")
        return Ended(returned)
