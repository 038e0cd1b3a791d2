"""A run of an algorithm while this process works on it: its rounds as they come, its result so far, and its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from prefect import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Cancelled

from hybridloop.algorithms.outcome import Outcome, RoundProgress
from hybridloop.errors import CallbackFailed, CapReached, RunCancelled, RunStopped
from hybridloop.flows.in_prefect.artifact import RunArtifact
from hybridloop.flows.in_prefect.beside import Ended
from hybridloop.flows.lifecycle.begin import BegunRun
from hybridloop.flows.lifecycle.classical_part import stops_in_classical_part
from hybridloop.flows.lifecycle.completion import completed
from hybridloop.flows.lifecycle.hold import HeldRun
from hybridloop.preparation.prepared import SEARCH, ClassicalPart, title_of
from hybridloop.runs.claim import log_resume_command, write_end
from hybridloop.runs.effort import effort_of, of_whole_run
from hybridloop.runs.live import ROUND, RoundUpdate, View, name_of_progress
from hybridloop.runs.live_text import error_text
from hybridloop.runs.planned import planned_effort
from hybridloop.runs.result import RunResult
from hybridloop.runs.statuses import status_after
from hybridloop.runtime.text_table import count_text
from hybridloop.tasks.prefect_tasks import RoundTasks
from hybridloop.tasks.replay.recorded_steps import RecordedSteps
from hybridloop.tasks.session import OpenSession

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class RunUnderWay:
    """A run under way; `history` has its rounds and classical iterations so far."""

    begun: BegunRun
    held: HeldRun
    view: View
    history: list[RoundProgress] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)
    _reported: int = 0  # of the rounds that were measured here
    _is_in_plan: bool = True  # until a warning was logged

    def measure(self, session_block: AbstractContextManager[OpenSession]) -> Ended[RunResult]:
        """Measure in a session, finish on this machine, and return the run's end. Raises the errors of the session."""
        algorithm, run = self.begun.prepared.algorithm, self.held.run
        artifact = RunArtifact(run.record.key, run.uid, flow_run.id)
        outcome: Outcome | None = None
        ended_by: CapReached | RunStopped | None = None
        if origin := algorithm.choices.get(SEARCH):
            get_run_logger().info("%s", origin)
            if self.view.feed is not None:
                self.view.feed.set_search(origin)
        try:
            with session_block as session:
                rounds = RoundTasks.of(session, run)
                report = self._reporter(session, rounds, artifact)
                measured = algorithm.measure(rounds, report)
            with stops_in_classical_part(run, self.held.watch, session.check_deadline) as check:
                steps = RecordedSteps(run, check, rounds.count_step)
                outcome = algorithm.finish(measured, ClassicalPart(report, steps, check, in_processes=True))
        except (CapReached, RunStopped) as error:
            ended_by = error
        result = self.result(can_compute=ended_by is None)
        if outcome is not None:
            outcome = self.begun.prepared.judge(outcome)
            result = result.with_outcome(of_whole_run(outcome, result, run))
        return self._end(result, ended_by, artifact)

    def result(self, *, can_compute: bool = True) -> RunResult:
        """Return the result so far; without `can_compute` the exact value only where it is known already."""
        record, facts = self.held.run.record, self.begun.prepared.algorithm.facts
        return RunResult(
            run_key=record.key,
            algorithm=record.algorithm,
            problem=record.problem,
            problem_title=title_of(self.begun.problem, facts),
            target=record.target,
            provider_options=self.held.settings.options,
            seed=record.seed,
            exact=facts.exact() if can_compute or facts.is_solved() else None,
            reference=facts.reference,
            unit=facts.unit,
            is_active_space=facts.is_active_space,
            history=tuple(self.history),
            wall_seconds=time.monotonic() - self._began,
            resumed=record.has_begun,
            revision=self.held.run.revision,
            **effort_of(self.held.run),
        )

    def _reporter(
        self, session: OpenSession, rounds: RoundTasks, artifact: RunArtifact
    ) -> Callable[[RoundProgress], None]:
        """Return the report of a round: to the history, the log, the live view, the caller's callback, the artifact.

        A run that takes far more than its plan is warned of once. The report raises CallbackFailed if the callback
        raises.
        """
        record, facts, log = self.held.run.record, self.begun.prepared.algorithm.facts, get_run_logger()
        name = name_of_progress(record.algorithm)
        planned = planned_effort(record.algorithm, self.begun.problem, self.held.settings)
        if self.view.feed is not None:
            self.view.feed.begin(record.key, session, facts.unit, facts.sense)

        def report(progress: RoundProgress) -> None:
            self.history.append(progress)
            if self.view.feed is not None:
                self.view.feed.add(progress)
            if rounds.live == self._reported:  # it came from the journal, and was reported when it was measured
                return
            self._reported = rounds.live
            value = f"{progress.value:+.6f} {error_text(progress.standard_error, name)} {facts.unit}".rstrip()
            phase = f" ({progress.phase})" if name == ROUND else ""
            log.info("%s %d%s: %s, %s", name, progress.round, phase, value, count_text(session.num_jobs, "job"))
            if planned and self._is_in_plan and (warning := planned.warn(session.num_jobs, progress.total_shots)):
                self._is_in_plan = False
                _log.warning("%s", warning)
            if self.view.on_progress is not None:
                try:
                    status = (session.id, session.status, session.num_jobs, facts.unit, name)
                    self.view.on_progress(RoundUpdate(progress, *status))
                except Exception as error:  # a user's own function may raise anything
                    raise CallbackFailed(progress.round, f"{type(error).__name__}: {error}") from error
            artifact.update(self.result)

        return report

    def _end(
        self, result: RunResult, ended_by: CapReached | RunStopped | None, artifact: RunArtifact
    ) -> Ended[RunResult]:
        """Store the result; return the run's end, which shows it in Prefect.

        The flow run of a run that `ended_by` ended is Completed, so that no retry starts the run again, or Cancelled if
        Prefect asked for it. Raises the error if the run was interrupted otherwise.
        """
        run, error = self.held.run, ended_by
        if self.held.watch.cancelled.is_set() and isinstance(ended_by, RunStopped):
            error = RunCancelled(ended_by.in_flight, ended_by.lost)
        if error is not None:
            larger_cap = error.larger_cap if isinstance(error, CapReached) else ""
            result = replace(result, status=status_after(error), reason=str(error), larger_cap=larger_cap)
            if result.status == "interrupted" and not isinstance(error, RunCancelled):
                raise error
        write_end(run, result.status, result.reason, result)
        if isinstance(error, RunCancelled):
            log_resume_command(run, result.status)
            state = partial(Cancelled, message=str(error))
            return Ended(partial(_show, artifact, result, state), error=error)
        return Ended(partial(_show, artifact, result, partial(completed, result)), result)


def _show(artifact: RunArtifact, result: RunResult, state: Callable[[], Any]) -> Any:
    artifact.write(lambda: result)
    return state()
