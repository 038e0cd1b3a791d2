"""Reports of a run's rounds: to the flow run's log, to the caller's callback, and to a live view."""

from __future__ import annotations

from collections.abc import Callable

from prefect import get_run_logger

from hybridloop.algorithms.outcome import RoundProgress
from hybridloop.errors import CallbackFailed
from hybridloop.flows.lifecycle.caller_context import current_caller
from hybridloop.preparation.prepared import ProblemFacts
from hybridloop.runs.live import RoundUpdate
from hybridloop.runs.live_text import plus_minus
from hybridloop.tasks.prefect_tasks import RoundTasks
from hybridloop.tasks.session import OpenSession


class RoundReporter:
    """Append each round to `history`, and report those that this process measured; `after_each` is called last."""

    def __init__(
        self,
        session: OpenSession,
        rounds: RoundTasks,
        history: list[RoundProgress],
        facts: ProblemFacts,
        run_key: str,
        after_each: Callable[[], None],
    ) -> None:
        caller = current_caller()
        self._session = session
        self._rounds = rounds
        self._history = history
        self._unit = facts.unit
        self._after_each = after_each
        self._reported = 0  # of the rounds that were measured here
        self._callback, self._feed, self._log = caller.on_progress, caller.feed, get_run_logger()
        if self._feed is not None:
            self._feed.begin(run_key, session, facts.unit, facts.sense)

    def __call__(self, progress: RoundProgress) -> None:
        """Report a round. Raises CallbackFailed if the caller's callback raises."""
        self._history.append(progress)
        if self._feed is not None:
            self._feed.add(progress)
        if self._rounds.live == self._reported:  # it came from the journal, and was reported when it was measured
            return
        self._reported = self._rounds.live
        session = self._session
        value = f"{progress.value:+.6f} {plus_minus(progress.standard_error)} {self._unit}".rstrip()
        self._log.info("round %d (%s): %s, %d jobs", progress.round, progress.phase, value, session.jobs)
        if self._callback is not None:
            try:
                self._callback(RoundUpdate(progress, session.id, session.status, session.jobs, self._unit))
            except Exception as error:  # a user's own function may raise anything
                raise CallbackFailed(progress.round, f"{type(error).__name__}: {error}") from error
        self._after_each()
