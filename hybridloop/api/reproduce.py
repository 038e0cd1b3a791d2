"""A run that is repeated, and whether it comes to the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridloop.api.runs import run
from hybridloop.settings.sources import ResolvedSettings

if TYPE_CHECKING:
    from hybridloop.reports.reproduce import Reproduction
    from hybridloop.runs.live import LiveFeed, RoundUpdate


def reproduce(
    of: str | Path,
    *,
    run_key: str | None = None,
    workspace: str | Any | None = None,
    on_progress: Callable[[RoundUpdate], None] | None = None,
    feed: LiveFeed | None = None,
) -> Reproduction:
    """Run a finished run of the journal, or of a bundle, again with its settings and its seed, and compare.

    `of` is a key, or a bundle's path. The repetition's key is `run_key`, by default the run's with `-again`; one that
    was begun and not finished is gone on with. Raises InputError for a run without a result; else as `vqe`.
    """
    from hybridloop.journal import open_journal
    from hybridloop.reports.bundle.archive import open_run
    from hybridloop.reports.reproduce import Reproduction, check_repeatable, compare_runs
    from hybridloop.runs.statuses import FINISHED
    from hybridloop.runs.stored_run import load_run

    with open_run(str(of)) as before:
        check_repeatable(before)
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
        if ended.status not in FINISHED:
            return Reproduction(record.key, key, ended.status, (), {})
        with open_journal() as journal:
            return compare_runs(before, load_run(journal, key))


def _key_of_repetition(key: str) -> str:
    """The first of KEY-again, KEY-again-2, … that is free, or is a repetition that was not finished."""
    from hybridloop.journal import open_journal
    from hybridloop.runs.lookup import run_of_key
    from hybridloop.runs.statuses import FINISHED

    with open_journal() as journal:
        for number in itertools.count(1):
            name = f"{key[:80]}-again{'' if number == 1 else f'-{number}'}"
            record = run_of_key(journal, name)
            if record is None or record.status not in FINISHED:
                return name
    raise AssertionError("unreachable")
