"""Begin a run: find it or describe a new one, and settle seed, target and circuits, once, before a session is opened.

It needs neither Prefect nor the service: a caller begins a run before either is started, a worker in its flow run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from hybridloop.azure.targets import Target, recorded_target
from hybridloop.errors import InputError
from hybridloop.journal import open_journal
from hybridloop.preparation import prepare
from hybridloop.preparation.prepared import PreparedRun
from hybridloop.runs.claim import (
    FoundRun,
    RunRequest,
    algorithm_request,
    describe_run,
    find_run,
    withdraw_stop,
)
from hybridloop.runs.recorded import recorded_groupings
from hybridloop.runs.result import RunResult
from hybridloop.runtime.stages import announce
from hybridloop.settings import ProblemText, RunSettings


@dataclass(frozen=True, slots=True)
class RunOrder:
    """Order of a caller: an algorithm on a problem; `sources` says where the settings were set."""

    algorithm: str
    problem: ProblemText
    settings: RunSettings
    run_key: str | None
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BegunRun:
    """A run that lacks only a session: its record or description, its settings with its seed, and what it measures."""

    problem: ProblemText
    found: FoundRun
    settings: RunSettings
    prepared: PreparedRun


def begin(
    order: RunOrder,
    workspace: Mapping[str, str],
    find_target: Callable[[str], Target],
    *,
    flow_run_id: str | None = None,
    by_person: bool = False,
) -> BegunRun | RunResult:
    """Begin a run, or return its stored result if it has ended with one.

    `workspace` identifies it without a secret. `find_target` finds a target by its name. `flow_run_id` is the flow run
    that the caller is in, which Prefect may have started again. A run that is begun `by_person` is one to resume, also
    if this process dies before it holds the run. Raises InputError, and then RunBusy if another process holds the run.
    """
    request = algorithm_request(
        order.algorithm,
        order.problem,
        order.settings,
        workspace,
        order.run_key,
        flow_run_id=flow_run_id,
        sources=order.sources,
    )
    found, settings = _find(request, order.settings, by_person=by_person)
    if found.result is not None:
        return RunResult.from_dict(found.result)
    announce("reading the problem, choosing its circuit")
    target = settled_target(found, settings.target, find_target)
    groupings = recorded_groupings(found.run)
    prepared = prepare(order.algorithm, order.problem, settings, found.run.seed, groupings=groupings, target=target)
    return BegunRun(order.problem, found.with_groupings(prepared.algorithm.groupings), settings, prepared)


def _find(request: RunRequest, asked: RunSettings, *, by_person: bool) -> tuple[FoundRun, RunSettings]:
    """Return the run of a request, and its settings with its seed; one that has no record needs no journal yet."""
    if request.run_key is None and request.flow_run_id is None:
        found = describe_run(request)
        return found, asked.model_copy(update={"seed": found.run.seed})
    with open_journal() as journal:
        found = find_run(journal, request)
        if found.record is not None and found.result is None and by_person:
            withdraw_stop(journal, found.record)
        return found, found.settings_of(journal, asked)


def settled_target(found: FoundRun, name: str, find_target: Callable[[str], Target]) -> Target:
    """Return a run's target, for one that is resumed also if it is gone by now. Raises InputError."""
    try:
        return find_target(name)
    except InputError:
        if found.record is None:
            raise
        return recorded_target(name)


def in_flow_run(found: FoundRun, flow_run_id: str | None) -> FoundRun:
    """Return it as begun by a flow run, if it is new."""
    return found if found.record is not None else replace(found, run=replace(found.run, flow_run_id=flow_run_id))
