"""The run of a script: held for the block of its session."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress

from hybridloop.errors import LeaseLost
from hybridloop.journal import RunRecord, open_journal
from hybridloop.journal.held_run import HeldRun
from hybridloop.journal.records import DRAWN_KEY
from hybridloop.runs.hold import hold, write_end
from hybridloop.runs.order import SESSION, WORKSPACE, RunOrder
from hybridloop.runs.over_runs import check_limits_bound
from hybridloop.runs.run import find_run
from hybridloop.settings import RunSettings
from hybridloop.targets import Target

_STORED = ("debias", "batching", "provider_options", "tags")  # settings that a resumed script must repeat


@contextmanager
def script_run(
    run_key: str | None,
    target: Target,
    settings: RunSettings,
    workspace: Mapping[str, str],
    *,
    labels: Mapping[str, str],
    shown: Callable[[RunRecord], AbstractContextManager[None]],
) -> Iterator[HeldRun]:
    """Hold the run of a script by its key, or a new one, for the block; it is "measured" at the end of the block.

    `labels` are what limits and reports find a new run by, beside its settings. `shown` shows what happens to it.
    Raises InputError where the run was started otherwise, and RunBusy.
    """
    options = settings.model_dump(mode="json", include=set(_STORED), exclude_defaults=True)
    stated = {"settings": options, WORKSPACE: dict(workspace)}
    settings = settings.model_copy(update={"target": target.name})
    must_match = ("algorithm", "problem", "target")
    more = {**labels, **DRAWN_KEY} if run_key is None else labels
    order = RunOrder(SESSION, "", settings, stated, run_key, more=more, must_match=must_match)
    with open_journal() as journal:
        found = find_run(journal, order)
        check_limits_bound(journal, target, found.record.settings, settings.caps)
        with shown(found.record), hold(journal, found) as run:
            yield run
            with suppress(LeaseLost):  # the script has its results
                write_end(run, "measured", "the script reached the end of its session")
