"""The life of an algorithm's run: a flow run opens a session, asks, measures, tells, and closes the session.

A caller's process does that beside Prefect (`run_order`), a worker's process inside its flow run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from hybridloop.algorithms.outcome import Outcome, RoundProgress
from hybridloop.azure.targets.offered import find_offered_target, resumed_target
from hybridloop.azure.workspace import describe, identity_of
from hybridloop.blocks import naming_block
from hybridloop.descriptions import Description
from hybridloop.errors import CapReached, RunStopped
from hybridloop.flows import load_flow
from hybridloop.flows.in_prefect.artifact import RunArtifact
from hybridloop.flows.in_prefect.beside import Ended, run_beside, show_in_flow
from hybridloop.flows.in_prefect.flow_run_events import label_flow_run, shown_in_flow_run
from hybridloop.flows.lifecycle.acquire_session import acquire_session, check_available
from hybridloop.flows.lifecycle.classical_part import is_classical_alone, stops_in_classical_part
from hybridloop.flows.lifecycle.completion import completed, effort_of, end_run, with_doubts, with_lost_shots
from hybridloop.flows.lifecycle.deployments import deployment_settings, inherit_settings
from hybridloop.flows.lifecycle.hooks import run_flow_options
from hybridloop.flows.lifecycle.prefect_watch import PrefectWatch, watch_flow_run
from hybridloop.flows.lifecycle.process_reuse import reuse_process
from hybridloop.flows.lifecycle.round_reporter import RoundReporter
from hybridloop.flows.lifecycle.takeover import leave_state_after_takeover
from hybridloop.flows.lifecycle.workspace import find_workspace
from hybridloop.journal import open_journal
from hybridloop.journal.claimed_run import ClaimedRun
from hybridloop.preparation import prepare
from hybridloop.preparation.checks import noise_warning
from hybridloop.preparation.prepared import ClassicalPart, PreparedRun, title_of
from hybridloop.runs.claim import algorithm_request, claim, find_run
from hybridloop.runs.live import LiveFeed, RoundUpdate
from hybridloop.runs.planned import planned_effort
from hybridloop.runs.recorded import limits_of, problem_of, recorded_groupings
from hybridloop.runs.result import RunResult
from hybridloop.settings import EnergySettings, Problem, ProblemText, RunKey, RunSettings, WorkspaceName
from hybridloop.tasks.prefect_tasks import RoundTasks, tasks_untagged
from hybridloop.tasks.recorded_steps import RecordedSteps
from hybridloop.tasks.session import OpenSession


@dataclass(frozen=True, slots=True)
class RunOrder:
    """All that an algorithm's run needs from its caller.

    `workspace` is the SDK's. `prepared` saves a second preparation where it fits. `new_seed` is the seed of a new run
    whose settings have none. `sources` says where the settings were set. `feed` is for a live view.
    """

    algorithm: str
    problem: ProblemText
    settings: RunSettings
    run_key: str | None
    workspace: Any
    prepared: PreparedRun | None = None
    new_seed: int | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    on_progress: Callable[[RoundUpdate], None] | None = None
    feed: LiveFeed | None = None


def algorithm_flow(algorithm: Description) -> Any:
    """Return the flow of an algorithm; its parameters and their texts are what Prefect shows of a deployment."""
    default = algorithm.settings()

    def run(problem: Problem, settings: Any = default, run_key: RunKey = None, workspace: WorkspaceName = None) -> Any:
        return _run_in_flow(algorithm.name, problem, settings, run_key, workspace)

    run.__name__ = run.__qualname__ = algorithm.name
    run.__module__ = algorithm.flow.partition(":")[0]
    run.__annotations__ |= {"settings": algorithm.settings, "return": RunResult}
    run.__doc__ = f"""{algorithm.summary}

    The run has one session at a time, which is closed however the run ends.

    Args:
        problem: {algorithm.subject}, as a built-in name or a text.
        settings: the algorithm's settings, caps and failure policy.
        run_key: the run's key; a run that has it is resumed. By default a new key is generated.
        workspace: saved block of the workspace, or its resource id. By default the workspace of the environment.
    """
    return flow(name=algorithm.name, **run_flow_options())(run)


def _run_in_flow(
    algorithm: str, problem: ProblemText, settings: RunSettings, run_key: str | None, workspace_name: str | None
) -> Any:
    """Run an algorithm as the body of its flow; `workspace_name` is a saved block's, None: the environment's."""
    reuse_process()
    if defaults := deployment_settings():
        settings = inherit_settings(settings, defaults)
    order = RunOrder(algorithm, problem, settings, run_key, find_workspace(workspace_name))
    return show_in_flow(partial(_execute_in, workspace_name, order))


def run_order(order: RunOrder, block: str | None = None) -> RunResult:
    """Run an order as a flow run beside this thread's work; `block` is the saved block of its workspace, if it has one.

    A run that is stopped or parked returns its result so far. Raises the errors of `execute`, and RunCancelled.
    """
    called = load_flow(order.algorithm)
    arguments = (order.problem, order.settings, order.run_key, block)
    return run_beside(called, lambda *_: _execute_in(block, order), *arguments)


def _execute_in(block: str | None, order: RunOrder) -> Ended[RunResult]:
    with naming_block(block):
        return execute(order)


def execute(order: RunOrder) -> Ended[RunResult]:
    """Run an algorithm inside a flow run: find the run or begin it, hold it, measure it, and end it.

    The run of the key is resumed, if it exists, and so is the run that this flow run started before it died. Raises
    InputError before a session is opened, RunBusy if another process holds the run, and ServiceError for errors of the
    service.
    """
    workspace, flow_run_id = order.workspace, flow_run.id
    get_run_logger().info("%s", describe(workspace))
    with tasks_untagged(), open_journal() as journal:
        request = algorithm_request(
            order.algorithm,
            order.problem,
            order.settings,
            identity_of(workspace),
            order.run_key,
            flow_run_id=flow_run_id,
            new_seed=order.new_seed,
            sources=order.sources,
        )
        found = find_run(journal, request)
        if found.result is not None:
            stored = RunResult.from_dict(found.result)
            return Ended(partial(completed, stored), stored)
        settings, seed = found.settings_of(journal, order.settings), found.run.seed
        groupings = recorded_groupings(found.run)
        find = find_offered_target if found.record is None else resumed_target
        target = find(settings.target, workspace)
        prepared = order.prepared
        if prepared is None or not prepared.fits(settings, seed, target, groupings):
            prepared = prepare(order.algorithm, order.problem, settings, seed, groupings=groupings, target=target)
        found = found.with_groupings(prepared.groupings)
        is_replay = is_classical_alone(journal, found.record)
        num_qubits = prepared.algorithm.facts.num_qubits
        is_available = is_replay or check_available(workspace, prepared.target, num_qubits, settings.failure)
        label_flow_run(found.run)
        with (
            shown_in_flow_run(found.run),
            claim(journal, found, limits=limits_of(settings), flow_run_id=flow_run_id) as run,
            leave_state_after_takeover(run),
            watch_flow_run(flow_run_id, partial(journal.request_stop, run.uid)) as watch,
        ):
            session = acquire_session(
                *(workspace, prepared.target, settings, run, watch), is_available=is_available, is_replay=is_replay
            )
            return _measure(order, prepared, settings, run, session, watch)


def _measure(
    order: RunOrder,
    prepared: PreparedRun,
    settings: RunSettings,
    run: ClaimedRun,
    session_block: AbstractContextManager[OpenSession],
    watch: PrefectWatch,
) -> Ended[RunResult]:
    """Measure in a session of the run; return the run's end."""
    algorithm = prepared.algorithm
    began, facts = time.monotonic(), algorithm.facts
    history: list[RoundProgress] = []
    outcome: Outcome | None = None
    ended_by: CapReached | RunStopped | None = None
    artifact = RunArtifact(run.record.key, run.uid, flow_run.id)

    def result_so_far() -> RunResult:
        return RunResult(
            run_key=run.record.key,
            algorithm=run.record.algorithm,
            problem=run.record.problem,
            problem_title=title_of(problem_of(run.record), facts),
            target=run.record.target,
            provider_options=settings.options,
            seed=run.record.seed,
            exact=None if ended_by is not None and not facts.is_solved() else facts.exact(),
            reference=facts.reference,
            unit=facts.unit,
            is_active_space=facts.is_active_space,
            history=tuple(history),
            wall_seconds=time.monotonic() - began,
            resumed=run.record.status != "created",
            **effort_of(run),
        )

    if origin := algorithm.origin_of_angles:
        get_run_logger().info("%s", origin)
        if order.feed is not None:
            order.feed.set_search(origin)
    try:
        with session_block as session:
            rounds = RoundTasks(session)
            after_each = partial(artifact.update, result_so_far)
            planned = planned_effort(run.record.algorithm, order.problem, settings)
            report = RoundReporter(
                session, rounds, history, facts, run.record, planned, after_each, order.on_progress, order.feed
            )
            measured = algorithm.measure(rounds, report)
        with stops_in_classical_part(run, watch, session.check_deadline) as check:
            steps = RecordedSteps(run, check, rounds.count_step)
            outcome = algorithm.finish(measured, ClassicalPart(report, steps, check, in_processes=True))
    except (CapReached, RunStopped) as error:
        ended_by = error
    result = result_so_far()
    if outcome is not None:
        noise = noise_warning(prepared.target, settings) if isinstance(settings, EnergySettings) else None
        outcome = replace(outcome, choices=(*([f"search: {origin}"] if origin else []), *outcome.choices))
        outcome = with_lost_shots(outcome, result.lost_shots, result.shots)
        result = result.with_outcome(with_doubts(outcome, facts, noise))
    return end_run(run, result, ended_by, artifact, cancelled=watch.cancelled.is_set())
