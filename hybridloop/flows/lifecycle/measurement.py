"""Measurement of an algorithm's run in a session: its rounds as they come, its result so far, and its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from hybridloop.algorithms.outcome import Outcome, RoundProgress
from hybridloop.errors import CallbackFailed, CapReached, RunCancelled, RunStopped
from hybridloop.flows.lifecycle.classical_part import stops_in_classical_part
from hybridloop.flows.lifecycle.host import Ended, Host
from hybridloop.journal.held_run import HeldRun
from hybridloop.preparation.prepared import SEARCH, ClassicalPart, title_of
from hybridloop.results.live import ROUND, RoundUpdate, View, name_of_progress
from hybridloop.results.live_text import error_text
from hybridloop.results.result import RunResult
from hybridloop.results.statuses import status_after
from hybridloop.runs.effort import effort_of, of_whole_run
from hybridloop.runs.hold import log_resume_command, withdraw_if_empty, write_end
from hybridloop.runs.planned import planned_effort
from hybridloop.runs.run import Run
from hybridloop.runtime.text_table import count_text
from hybridloop.settings import ProblemText
from hybridloop.tasks.replay.recorded_steps import RecordedSteps
from hybridloop.tasks.replay.replayed_rounds import ReplayedRounds
from hybridloop.tasks.session import OpenSession

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Measurement:
    """The measurement of a run that is held; `history` has its rounds and classical iterations so far."""

    run: Run
    held: HeldRun
    host: Host
    view: View
    history: list[RoundProgress] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)
    _reported: int = 0  # of the rounds that were measured here
    _is_in_plan: bool = True  # until a warning was logged

    @property
    def problem(self) -> ProblemText:
        """The problem of the run."""
        assert self.run.order.text is not None
        return self.run.order.text

    def measure(self, session_block: AbstractContextManager[OpenSession]) -> Ended[RunResult]:
        """Measure in a session, finish on this machine, and return the run's end. Raises the errors of the session."""
        prepared, held = self.run.prepared, self.held
        algorithm = prepared.algorithm
        outcome: Outcome | None = None
        ended_by: CapReached | RunStopped | None = None
        if origin := algorithm.choices.get(SEARCH):
            self.host.log.info("%s", origin)
            if self.view.feed is not None:
                self.view.feed.set_search(origin)
        try:
            with session_block as session:
                rounds = ReplayedRounds.of(session, held, self.host.measure)
                report = self._reporter(session, rounds)
                measured = algorithm.measure(rounds, report)
            with stops_in_classical_part(held, self.host.cancellation, session.check_deadline) as check:
                steps = RecordedSteps(held, check, rounds.count_step)
                outcome = algorithm.finish(measured, ClassicalPart(report, steps, check, in_processes=True))
        except (CapReached, RunStopped) as error:
            ended_by = error
        result = self.result(can_compute=ended_by is None)
        if outcome is not None:
            outcome = prepared.judge(outcome)
            number = held.journal.progress(held.uid).rounds
            result = result.with_outcome(of_whole_run(outcome, result, number, held.extensions))
        return self._end(result, ended_by)

    def result(self, *, can_compute: bool = True) -> RunResult:
        """Return the result so far; without `can_compute` the exact value only where it is known already."""
        record, facts = self.held.record, self.run.prepared.algorithm.facts
        return RunResult(
            run_key=record.key,
            algorithm=record.algorithm,
            problem=record.problem,
            problem_title=title_of(self.problem, facts),
            target=record.target,
            provider_options=self.run.settings.options,
            is_local=record.is_local,
            seed=record.seed,
            exact=facts.exact() if can_compute or facts.is_solved() else None,
            reference=facts.reference,
            unit=facts.unit,
            is_active_space=facts.is_active_space,
            history=tuple(self.history),
            wall_seconds=time.monotonic() - self._began,
            resumed=record.has_begun,
            revision=self.held.revision,
            **effort_of(self.held),
        )

    def _reporter(self, session: OpenSession, rounds: ReplayedRounds) -> Callable[[RoundProgress], None]:
        """Return the report of a round: to the history, the log, the live view, the caller's callback, the host.

        A run that takes far more than its plan is warned of once. The report raises CallbackFailed if the callback
        raises.
        """
        record, facts, log = self.held.record, self.run.prepared.algorithm.facts, self.host.log
        name = name_of_progress(record.algorithm)
        planned = planned_effort(record.algorithm, self.problem, self.run.settings)
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
            self.host.show(self.result)

        return report

    def _end(self, result: RunResult, ended_by: CapReached | RunStopped | None) -> Ended[RunResult]:
        """Store the result; return the run's end. Raises the error if the run was interrupted, but by the host."""
        held, error = self.held, ended_by
        if self.host.cancellation.cancelled.is_set() and isinstance(ended_by, RunStopped):
            error = RunCancelled(ended_by.in_flight, ended_by.lost)
        if error is not None:
            larger_cap = error.larger_cap if isinstance(error, CapReached) else ""
            result = replace(result, status=status_after(error), reason=str(error), larger_cap=larger_cap)
            if result.status == "interrupted" and not isinstance(error, RunCancelled):
                raise error
        if error is None or isinstance(error, CapReached):
            before = withdraw_if_empty(held, "" if error is None else str(error))
            if before is not None:
                return Ended(before, result=before)
        write_end(held, result.status, result.reason, result)
        if isinstance(error, RunCancelled):
            log_resume_command(held, result.status)
            return Ended(error=error, result=result)
        return Ended(result, result=result)
