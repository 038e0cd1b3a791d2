"""The picture of a result that its owner asks for, from the journal where the result alone does not say enough."""

from __future__ import annotations

from hybridloop.errors import InputError
from hybridloop.flows.kept import kept_in_journal
from hybridloop.flows.pictures import OF_RESULT, Picture, kinds_of, picture, picture_of_result
from hybridloop.flows.results import RunResult
from hybridloop.sessions.journal import open_journal


def picture_of(result: RunResult, kind: str) -> Picture:
    """The picture. Raises InputError where the run has nothing of that kind, or the journal no longer has the run."""
    if kind in OF_RESULT and (drawn := picture_of_result(result, kind)) is not None:
        return drawn
    with open_journal() as journal:
        run = kept_in_journal(journal, result.run_key)
        if (drawn := picture(run, kind)) is not None:
            return drawn
        has = kinds_of(run)
    what = f"run {result.run_key!r} has nothing of a {kind}"
    raise InputError("kind", what, f"It has {', '.join(has)}." if has else "Nothing of it was measured yet.")
