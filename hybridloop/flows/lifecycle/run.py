"""A run inside its flow run: find or start it, measure it in one session at a time, and end it.

What follows the last round is computed after the session is closed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from hybridloop.algorithms.diagnostics import below_exact_warning
from hybridloop.algorithms.outcome import Outcome, RoundProgress
from hybridloop.azure.targets.offered import find_offered_target, resumed_target
from hybridloop.azure.workspace import describe, identity_of
from hybridloop.descriptions import Description
from hybridloop.errors import CallbackFailed, CapReached, RunStopped
from hybridloop.flows.in_prefect.artifact import RunArtifact
from hybridloop.flows.in_prefect.flow_run_events import name_flow_run, shown_in_flow_run
from hybridloop.flows.lifecycle.acquire_session import acquire_session, check_available
from hybridloop.flows.lifecycle.caller_context import current_caller, find_workspace, tasks_untagged
from hybridloop.flows.lifecycle.classical_part import is_classical_alone, stops_in_classical_part
from hybridloop.flows.lifecycle.completion import completed, effort_of, end_run
from hybridloop.flows.lifecycle.deployments import deployment_settings, inherit_settings
from hybridloop.flows.lifecycle.hooks import run_flow_options
from hybridloop.flows.lifecycle.process_reuse import reuse_process
from hybridloop.flows.lifecycle.takeover import leave_state_after_takeover
from hybridloop.journal import RunRecord, open_journal
from hybridloop.journal.claimed_run import ClaimedRun
from hybridloop.preparation import prepare
from hybridloop.preparation.checks import noise_warning
from hybridloop.preparation.prepared import ClassicalPart, PreparedAlgorithm, ProblemFacts, title_of
from hybridloop.runs.holding import start_or_resume
from hybridloop.runs.live import ROUND, RoundUpdate, name_of_progress
from hybridloop.runs.live_text import error_text
from hybridloop.runs.lookup import RunRequest, find_run, limits_of, problem_of, recorded_groupings
from hybridloop.runs.result import RunResult
from hybridloop.settings import EnergySettings, ProblemText, RunKey, RunSettings, WorkspaceName
from hybridloop.tasks.prefect_tasks import RoundTasks
from hybridloop.tasks.recorded_steps import RecordedSteps
from hybridloop.tasks.session import OpenSession

# acquires the run's session for a block; its argument is set when the flow run is cancelled
Acquire = Callable[[threading.Event], AbstractContextManager[OpenSession]]


def algorithm_flow(algorithm: Description) -> Any:
    """Return the flow of an algorithm; its parameters and their texts are what Prefect shows of a deployment."""
    default = algorithm.settings()

    def run(
        problem: ProblemText, settings: Any = default, run_key: RunKey = None, workspace: WorkspaceName = None
    ) -> Any:
        return run_in_flow(algorithm.name, problem, settings, run_key, workspace)

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
    named = f"{algorithm.name}-{{problem.name}}"
    return flow(name=algorithm.name, flow_run_name=named, **run_flow_options())(run)


def run_in_flow(
    algorithm: str, problem: ProblemText, settings: RunSettings, run_key: str | None, workspace_name: str | None = None
) -> RunResult:
    """Run an algorithm as the body of its flow.

    The run of `run_key` is resumed, if it exists, and so is the run that this flow run started before it died.
    `workspace_name` is a saved block's; None: the caller's or the environment's workspace. A run that is stopped or
    parked returns its result so far. Raises InputError before a session is opened, RunBusy if another process holds the
    run, and ServiceError for errors of the service.
    """
    reuse_process()
    caller = current_caller()
    if defaults := deployment_settings():
        settings = inherit_settings(settings, defaults)
    workspace = find_workspace(workspace_name)
    get_run_logger().info("%s", describe(workspace))
    with tasks_untagged(), open_journal() as journal:
        identity = identity_of(workspace)
        request = RunRequest(algorithm, problem, settings, identity, run_key, flow_run.id, caller.seed, caller.sources)
        lookup = find_run(journal, request)
        if lookup.result is not None:
            caller.end = stored = RunResult.from_dict(lookup.result)
            return completed(stored)  # type: ignore[no-any-return]  # Prefect returns the state's data
        find = find_offered_target if lookup.record is None else resumed_target
        prepared = prepare(
            algorithm,
            problem,
            lookup.settings,
            lookup.seed,
            groupings=recorded_groupings(lookup.run),
            target=find(lookup.settings.target, workspace),
        )
        lookup = lookup.with_groupings(prepared.groupings)
        is_replay = is_classical_alone(journal, lookup.record)
        num_qubits = prepared.algorithm.facts.num_qubits
        is_available = is_replay or check_available(workspace, prepared.target, num_qubits, settings.failure)
        name_flow_run(lookup.run)
        limits = limits_of(lookup.settings)
        with (
            shown_in_flow_run(lookup.run),
            start_or_resume(journal, lookup.run, limits, flow_run.id) as run,
            leave_state_after_takeover(run),
        ):
            session_of = partial(
                acquire_session,
                *(workspace, prepared.target, lookup.settings, run),
                is_available=is_available,
                is_replay=is_replay,
            )
            noise = None
            if isinstance(lookup.settings, EnergySettings):
                noise = noise_warning(prepared.target, lookup.settings)
            options, resumed = lookup.settings.options, lookup.record is not None
            result: RunResult = _measure(prepared.algorithm, run, session_of, noise, options, resumed=resumed)
            return result


def _measure(
    algorithm: PreparedAlgorithm,
    run: ClaimedRun,
    session_of: Acquire,
    noise: str | None,
    options: Mapping[str, Any],
    *,
    resumed: bool,
) -> Any:
    """Measure in a session of the run; return the result, or the state of a flow run that ends early."""
    began, cancelled, facts = time.monotonic(), threading.Event(), algorithm.facts
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
            provider_options=options,
            seed=run.record.seed,
            exact=None if ended_by is not None and not facts.is_solved() else facts.exact(),
            reference=facts.reference,
            unit=facts.unit,
            is_active_space=facts.is_active_space,
            history=tuple(history),
            wall_seconds=time.monotonic() - began,
            resumed=resumed,
            **effort_of(run),
        )

    try:
        with session_of(cancelled) as session:
            rounds = RoundTasks(session)
            report = RoundReporter(session, rounds, history, facts, run.record, partial(artifact.update, result_so_far))
            measured = algorithm.measure(rounds, report)
        with stops_in_classical_part(run, cancelled, session.check_deadline) as check:
            steps = RecordedSteps(run, check, rounds.count_step)
            outcome = algorithm.finish(measured, ClassicalPart(report, steps, check, in_processes=True))
    except (CapReached, RunStopped) as error:
        ended_by = error
    result = result_so_far()
    if outcome is not None:
        result = result.with_outcome(with_doubts(outcome, facts, noise))
    return end_run(run, result, ended_by, artifact, cancelled=cancelled.is_set())


def with_doubts(outcome: Outcome, facts: ProblemFacts, noise: str | None = None) -> Outcome:
    """Return an outcome with the problem's notes and its doubts, with which it is not converged.

    They are the target's `noise`, and an energy (hartree) below the exact one.
    """
    if notes := [note for note in (facts.orbitals, facts.note()) if note]:
        outcome = replace(outcome, choices=(*outcome.choices, *notes))
    doubts = [] if noise is None else [noise]
    if facts.unit == "hartree":
        below = below_exact_warning(outcome.value, outcome.standard_error, outcome.rounding_bound, facts.exact())
        doubts += [] if below is None else [below]
    if not doubts:
        return outcome
    table = outcome.table
    if noise is not None:
        table = tuple({**row, "converged": False} if "converged" in row else row for row in table)
    reason = "; ".join([*(doubt.split(":")[0] for doubt in doubts), outcome.reason])
    return replace(outcome, converged=False, reason=reason, warnings=(*outcome.warnings, *doubts), table=table)


class RoundReporter:
    """Append each round or classical iteration to `history`, and report those of this process.

    `after_each` is called last.
    """

    def __init__(
        self,
        session: OpenSession,
        rounds: RoundTasks,
        history: list[RoundProgress],
        facts: ProblemFacts,
        record: RunRecord,
        after_each: Callable[[], None],
    ) -> None:
        caller = current_caller()
        self._session = session
        self._rounds = rounds
        self._history = history
        self._unit, self._name = facts.unit, name_of_progress(record.algorithm)
        self._after_each = after_each
        self._reported = 0  # of the rounds that were measured here
        self._callback, self._feed, self._log = caller.on_progress, caller.feed, get_run_logger()
        if self._feed is not None:
            self._feed.begin(record.key, session, facts.unit, facts.sense)

    def __call__(self, progress: RoundProgress) -> None:
        """Report a round. Raises CallbackFailed if the caller's callback raises."""
        self._history.append(progress)
        if self._feed is not None:
            self._feed.add(progress)
        if self._rounds.live == self._reported:  # it came from the journal, and was reported when it was measured
            return
        self._reported = self._rounds.live
        session = self._session
        value = f"{progress.value:+.6f} {error_text(progress.standard_error, self._name)} {self._unit}".rstrip()
        phase = f" ({progress.phase})" if self._name == ROUND else ""
        self._log.info("%s %d%s: %s, %d jobs", self._name, progress.round, phase, value, session.num_jobs)
        if self._callback is not None:
            try:
                facts = (session.id, session.status, session.num_jobs, self._unit, self._name)
                self._callback(RoundUpdate(progress, *facts))
            except Exception as error:  # a user's own function may raise anything
                raise CallbackFailed(progress.round, f"{type(error).__name__}: {error}") from error
        self._after_each()
