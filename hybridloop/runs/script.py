"""The run of a script that has a key: held for the block of its session."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress

from hybridloop.errors import LeaseLost
from hybridloop.journal import RunRecord, open_journal
from hybridloop.journal.held_run import HeldRun
from hybridloop.runs.hold import hold, write_end
from hybridloop.runs.order import SESSION, WORKSPACE, RunOrder
from hybridloop.runs.run import find_run
from hybridloop.settings import RunSettings

_STORED = ("debias", "batching", "provider_options")  # settings that a resumed script must repeat


@contextmanager
def script_run(
    run_key: str,
    target: str,
    settings: RunSettings,
    workspace: Mapping[str, str],
    *,
    shown: Callable[[RunRecord], AbstractContextManager[None]],
) -> Iterator[HeldRun]:
    """Hold the run of a script by its key for the block; its status is "measured" at the end of the block.

    `shown` shows what happens to it. Raises InputError where the run was started otherwise, and RunBusy.
    """
    options = settings.model_dump(mode="json", include=set(_STORED), exclude_defaults=True)
    stated = {"settings": options, WORKSPACE: dict(workspace)}
    settings = settings.model_copy(update={"target": target})
    order = RunOrder(SESSION, "", settings, stated, run_key, must_match=("algorithm", "problem", "target"))
    with open_journal() as journal:
        found = find_run(journal, order)
        with shown(found.record), hold(journal, found) as run:
            yield run
            with suppress(LeaseLost):  # the script has its results
                write_end(run, "measured", "the script reached the end of its session")
