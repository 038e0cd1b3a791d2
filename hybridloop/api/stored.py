"""Runs that have ended: their results, and new runs that reproduce them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridloop.errors import InputError

if TYPE_CHECKING:
    from hybridloop.reports.reproduce import Reproduction
    from hybridloop.runs.live import LiveFeed, RoundUpdate
    from hybridloop.runs.result import RunResult


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
    from hybridloop.runs.result import RunResult

    return RunResult.from_dict(record.result)


def reproduce(
    of: str | Path,
    *,
    run_key: str | None = None,
    workspace: str | Any | None = None,
    on_progress: Callable[[RoundUpdate], None] | None = None,
    feed: LiveFeed | None = None,
) -> Reproduction:
    """Run a finished run of the journal or of a bundle again, with its settings and seed, and compare the results.

    `of` is a key or a bundle's path. The new run's key is `run_key`, by default KEY-again. An unfinished run of that
    key is resumed. Raises InputError for a run without a result, and the errors of `vqe`.
    """
    from hybridloop.api.runs import run
    from hybridloop.data.statuses import WITH_RESULT
    from hybridloop.inputs.sources import ResolvedSettings
    from hybridloop.journal import open_journal
    from hybridloop.reports.bundle.archive import open_run, reading
    from hybridloop.reports.reproduce import Reproduction, check_repeatable, compare_runs
    from hybridloop.runs.stored_run import load_run

    with open_run(str(of)) as before:
        with reading(str(of)):
            check_repeatable(before)
            compare_runs(before, before)  # fails here if it would fail after the new run
            record, problem = before.record, before.problem
            settings = before.settings.model_copy(update={"seed": record.seed})
        key = run_key or _key_of_repetition(record.key)
        ended = run(
            record.algorithm,
            problem,
            ResolvedSettings(settings, {}),
            run_key=key,
            workspace=workspace,
            on_progress=on_progress,
            feed=feed,
        )
        if ended.status not in WITH_RESULT:
            return Reproduction(record.key, key, ended.status, (), {})
        with open_journal() as journal:
            return compare_runs(before, load_run(journal, key))


def _key_of_repetition(key: str) -> str:
    """Return the first of KEY-again, KEY-again-2, … that is free or an unfinished repetition."""
    from hybridloop.data.statuses import WITH_RESULT
    from hybridloop.journal import open_journal
    from hybridloop.runs.claim import run_of_key

    with open_journal() as journal:
        for number in itertools.count(1):
            name = f"{key[:80]}-again{'' if number == 1 else f'-{number}'}"
            record = run_of_key(journal, name)
            if record is None or record.status not in WITH_RESULT:
                return name
    raise AssertionError("unreachable")
