"""Runs that have ended: their results, and new runs that reproduce them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridloop.api.hosts import resume_run as resume_run
from hybridloop.errors import InputError, RunBusy

if TYPE_CHECKING:
    from hybridloop.journal import RunRecord
    from hybridloop.reports.reproduce import Reproduction
    from hybridloop.results.live import LiveFeed, RoundUpdate
    from hybridloop.results.result import RunResult
    from hybridloop.runs.planned import MissingEffort

_REPEATS = "repeats"  # in the record of a repetition: the uid of the run that it repeats
_COMPARED = "compared"  # event of a repetition whose comparison a caller has got


def result(run_key: str) -> RunResult:
    """Return the stored result of a run of the journal, by its key or the beginning of its uid.

    Raises InputError if the journal has no such run, or if the run has no result.
    """
    from hybridloop.journal import check_key, open_journal

    check_key(run_key)
    with open_journal() as journal:
        record = journal.run(run_key)
    if record.result is None:
        problem = f"run {record.key!r} has no result: it is {record.status}"
        raise InputError("run", problem, f"If it has ended early, resume it: hybridloop runs resume {record.key}")
    from hybridloop.results.result import RunResult

    return RunResult.from_dict(record.result)


def resume_later(run: str) -> RunRecord:
    """Ask for a run to be resumed by housekeeping; return it. Raises InputError, RunBusy, JournalDamaged."""
    from hybridloop.journal import open_journal
    from hybridloop.runs.hold import ask_for_resume

    with open_journal() as journal:
        record = journal.run(run)
        ask_for_resume(journal, record)
        return record


def plan_resume(key: str, changes: Mapping[str, Any], *, workspace: str | Any | None = None) -> MissingEffort:
    """Estimate what a resume with these changes misses; nothing is started. Raises what the resume would refuse."""
    from hybridloop.api.plan import plan_in_workspace
    from hybridloop.budget.cost_summary import summarize_charges
    from hybridloop.data.statuses import WITH_RESULT
    from hybridloop.journal import open_journal
    from hybridloop.runs.changes import changed_settings, extension_of
    from hybridloop.runs.planned import MissingEffort
    from hybridloop.runs.recorded import problem_of
    from hybridloop.targets import recorded_target

    with open_journal() as journal:
        record = journal.run(key)
        events = journal.events(record.uid)
        settings = changed_settings(record, events, changes)
        taken = summarize_charges(journal.charges(record.uid), recorded_target(record.target))
        extension = extension_of(record, events, settings.model_dump(mode="json"))
    if extension is None and record.status in WITH_RESULT:
        return MissingEffort(record.key, record.status, 0, 0, {}, taken.jobs, taken.shots)
    whole = plan_in_workspace(workspace, record.algorithm, problem_of(record), settings)
    jobs, shots = max(0, whole.jobs.expected - taken.jobs), max(0, whole.shots.expected - taken.shots)
    cost, spent = whole.cost, sum(taken.amounts.values())
    missing = {} if cost.expected is None else {cost.unit: max(0.0, cost.expected - spent)}
    return MissingEffort(record.key, record.status, jobs, shots, missing, taken.jobs, taken.shots)


def reproduce(
    of: str | Path,
    *,
    run_key: str | None = None,
    workspace: str | Any | None = None,
    on_progress: Callable[[RoundUpdate], None] | None = None,
    feed: LiveFeed | None = None,
) -> Reproduction:
    """Run a finished run of the journal or of a bundle again, with its settings, seed and host; compare the results.

    `of` is a key or a bundle's path. The new run's key is `run_key`, by default KEY-again. An unfinished repetition is
    resumed, and one whose comparison no caller got is compared; else the next call measures again. Raises InputError
    for a run without a result, and the errors of `vqe`.
    """
    found = repeat(of, run_key, workspace, on_progress, feed)
    note_compared(found)
    return found


def repeat(
    of: str | Path,
    run_key: str | None,
    workspace: str | Any | None,
    on_progress: Callable[[RoundUpdate], None] | None,
    feed: LiveFeed | None,
) -> Reproduction:
    """Do what `reproduce` does; the next call compares the same repetition, until `note_compared`."""
    from hybridloop.api.algorithms import run
    from hybridloop.data.statuses import WITH_RESULT
    from hybridloop.inputs.sources import ResolvedSettings
    from hybridloop.journal import open_journal
    from hybridloop.reports.bundle.archive import open_run, reading
    from hybridloop.reports.reproduce import Reproduction, check_repeatable, compare_runs
    from hybridloop.results.live import View
    from hybridloop.runs.stored_run import load_run

    with open_run(str(of)) as before:
        with reading(str(of)):
            check_repeatable(before)
            compare_runs(before, before)  # fails here if it would fail after the new run
            record, problem = before.record, before.problem
            settings = before.settings.model_copy(update={"seed": record.seed})
        key = run_key or _key_of_repetition(record)
        host = {"host": record.settings["host"]} if "host" in record.settings else {}
        ended = run(
            record.algorithm,
            problem,
            ResolvedSettings(settings, {}),
            run_key=key,
            workspace=workspace,
            view=View(on_progress, feed),
            more={_REPEATS: record.uid, **host},
        )
        if ended.status not in WITH_RESULT:
            return Reproduction(record.key, key, ended.status, (), {})
        with open_journal() as journal:
            return compare_runs(before, load_run(journal, key))


def note_compared(found: Reproduction) -> None:
    """Record that the caller has the comparison of a repetition."""
    from hybridloop.journal import open_journal
    from hybridloop.journal.held_run import hold_run

    if found.is_finished:
        with open_journal() as journal, suppress(RunBusy), hold_run(journal, journal.run(found.again).uid) as run:
            run.journal.add_event(run.lease, _COMPARED, {"with": found.before})


def _key_of_repetition(of: RunRecord) -> str:
    """Return the first of KEY-again, KEY-again-2, … that is free, or a repetition without a result or comparison."""
    from hybridloop.data.statuses import WITH_RESULT
    from hybridloop.journal import PRUNED, open_journal
    from hybridloop.runs.run import run_of_key

    with open_journal() as journal:
        for number in itertools.count(1):
            name = f"{of.key[:80]}-again{'' if number == 1 else f'-{number}'}"
            record = run_of_key(journal, name)
            if record is None:
                return name
            if record.settings.get(_REPEATS) == of.uid:
                kinds = {event.kind for event in journal.events(record.uid)}
                if record.status not in WITH_RESULT or kinds.isdisjoint({_COMPARED, PRUNED}):
                    return name
    raise AssertionError("unreachable")
