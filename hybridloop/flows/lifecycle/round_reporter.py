"""Report of an algorithm's rounds: to the history, the log, the live view, and the caller's callback."""

from __future__ import annotations

import logging
from collections.abc import Callable

from prefect import get_run_logger

from hybridloop.algorithms.outcome import RoundProgress
from hybridloop.errors import CallbackFailed
from hybridloop.journal import RunRecord
from hybridloop.preparation.prepared import ProblemFacts
from hybridloop.runs.live import ROUND, LiveFeed, RoundUpdate, name_of_progress
from hybridloop.runs.live_text import error_text
from hybridloop.runs.planned import PlannedEffort
from hybridloop.runtime.text_table import count_text
from hybridloop.tasks.prefect_tasks import RoundTasks
from hybridloop.tasks.session import OpenSession

_log = logging.getLogger(__name__)


class RoundReporter:
    """Append each round or classical iteration to `history`, and report those of this process.

    A run that takes far more than `planned` is warned of once. `on_progress` is the caller's, `feed` that of its live
    view; `after_each` is called last.
    """

    def __init__(
        self,
        session: OpenSession,
        rounds: RoundTasks,
        history: list[RoundProgress],
        facts: ProblemFacts,
        record: RunRecord,
        planned: PlannedEffort | None,
        after_each: Callable[[], None],
        on_progress: Callable[[RoundUpdate], None] | None,
        feed: LiveFeed | None,
    ) -> None:
        self._session = session
        self._rounds = rounds
        self._history = history
        self._unit, self._name = facts.unit, name_of_progress(record.algorithm)
        self._after_each = after_each
        self._planned = planned  # None once its warning was logged
        self._reported = 0  # of the rounds that were measured here
        self._callback, self._feed, self._log = on_progress, feed, get_run_logger()
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
        self._log.info("%s %d%s: %s, %s", self._name, progress.round, phase, value, count_text(session.num_jobs, "job"))
        if self._planned and (warning := self._planned.warn(session.num_jobs, progress.total_shots)):
            self._planned = None
            _log.warning("%s", warning)
        if self._callback is not None:
            try:
                facts = (session.id, session.status, session.num_jobs, self._unit, self._name)
                self._callback(RoundUpdate(progress, *facts))
            except Exception as error:  # a user's own function may raise anything
                raise CallbackFailed(progress.round, f"{type(error).__name__}: {error}") from error
        self._after_each()
