"""A run as Python and the command line call it: begun or gone on with, with all that it needs started around it."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hybridloop.defaults import CALL, Layer, chosen
from hybridloop.environment import prefect, workspace_called
from hybridloop.errors import InputError
from hybridloop.flows.settings import SETTINGS, ProblemText, RunSettings
from hybridloop.flows.statuses import status_after
from hybridloop.flows.terms import check_early, check_terms, measuring_target
from hybridloop.user_input import checked
from hybridloop.watching import shown

if TYPE_CHECKING:
    from hybridloop.flows.context import Update
    from hybridloop.flows.live import LiveFeed
    from hybridloop.flows.results import RunResult

_log = logging.getLogger(__name__)


def checked_settings(algorithm: str, values: Mapping[str, Any]) -> RunSettings:
    """An algorithm's settings of these values, on top of the user's own; see `hybridloop.defaults.chosen`."""
    return chosen(algorithm, Layer(CALL, values)).settings


def run(
    algorithm: str,
    problem: ProblemText,
    settings: RunSettings,
    *,
    run_key: str | None = None,
    workspace: str | Any | None = None,
    on_progress: Callable[[Update], None] | None = None,
    feed: LiveFeed | None = None,
    sources: Mapping[str, str] = {},
) -> RunResult:
    """The run of that key gone on with, else a new one; see `vqe`.

    `feed` is told how it goes, for whoever shows it; `sources` says where settings were set, for the run's record.
    """
    with shown(feed) as seen:
        seen.prepare(algorithm, problem.name, settings.target)
        try:
            result = _run(algorithm, problem, settings, run_key, workspace, on_progress, seen, sources)
        except BaseException as error:
            seen.end(status_after(error), "")  # whoever hears of the error is told why
            raise
        seen.end(result.status, result.reason)
        return result


def _run(
    algorithm: str,
    problem: ProblemText,
    settings: RunSettings,
    run_key: str | None,
    workspace: Any | None,
    on_progress: Callable[[Update], None] | None,
    feed: LiveFeed,
    sources: Mapping[str, str],
) -> RunResult:
    name = workspace if isinstance(workspace, str) else None  # which workspace that is only Prefect's server knows
    if run_key is not None and name is None:
        stored = _stored_result(algorithm, problem, settings, run_key, workspace)
        if stored is not None:
            return stored
    check_early(algorithm, problem, settings)
    check_terms(settings, measuring_target(settings.target))
    from hybridloop.flows.preparing import PREPARE

    drawn = secrets.randbits(63) if settings.seed is None else settings.seed
    prepared = PREPARE[algorithm](problem, settings, drawn)  # what can't be used is refused before anything is started
    at = workspace_called(workspace)
    with prefect():
        from hybridloop.flows.catalog import FLOWS
        from hybridloop.flows.context import called_with

        with called_with(at, on_progress, prepared, seed=drawn, feed=feed, sources=sources) as call:
            try:
                ended: RunResult = FLOWS[algorithm](problem, settings, run_key, name)
                return ended
            except Exception as error:
                if call.cancelled is not None:
                    raise call.cancelled from error
                if call.result is None:
                    raise
                _log.warning("Prefect could not note the end of the run, which is complete: %s", error)
                return call.result


def resume(
    key: str,
    limits: Mapping[str, Any] | None = None,
    *,
    workspace: str | Any | None = None,
    on_progress: Callable[[Update], None] | None = None,
    feed: LiveFeed | None = None,
) -> RunResult:
    """Go on with the run of a key (or the beginning of its uid), with other limits if some are given; see `vqe`."""
    from hybridloop.flows.runs import problem_of, settings_of
    from hybridloop.sessions.journal import open_journal

    with open_journal() as journal:
        record = journal.run(key)
        if record.algorithm not in SETTINGS:
            raise InputError(
                "run",
                f"run {record.key!r} is a script's, and only the script knows what it asks for",
                f"Start the script again with run_key={record.key!r}: what was measured comes from the journal.",
            )
        settings = settings_of(journal, record).model_dump(mode="json")
    return run(
        record.algorithm,
        problem_of(record),
        checked(SETTINGS[record.algorithm], {**settings, **(limits or {})}),  # its own: the user's may be others by now
        run_key=record.key,
        workspace=workspace,
        on_progress=on_progress,
        feed=feed,
    )


def _stored_result(
    algorithm: str, problem: ProblemText, settings: RunSettings, run_key: str, workspace: Any | None
) -> RunResult | None:
    """The result of a run that has ended; None where there is something to do.

    Raises InputError where its settings are others, and RunBusy where somebody is doing it, before much is imported.
    """
    from hybridloop.flows.runs import Wanted, find_run, go_on
    from hybridloop.sessions.journal import check_key, open_journal

    check_key(run_key)
    with open_journal() as journal:
        found = find_run(journal, Wanted(algorithm, problem, settings, _identity(workspace), run_key))
        if found.result is None:
            if found.record is not None:
                go_on(journal, found.record)
            return None
    from hybridloop.flows.results import RunResult

    return RunResult.from_dict(found.result)


def _identity(workspace: Any | None) -> dict[str, str]:
    """Which workspace a run would go to; starts nothing."""
    from hybridloop.sessions.workspace import LocalService, connect, connect_from_environment, identity_of

    return identity_of(workspace or connect_from_environment() or connect(LocalService("http://127.0.0.1/", "none")))
