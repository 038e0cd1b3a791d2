"""Public functions for limits over runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypedDict, Unpack

from pydantic import TypeAdapter, ValidationError

from hybridloop.errors import InputError
from hybridloop.journal import open_journal
from hybridloop.journal.limits import LimitState, Period, RunLimit
from hybridloop.settings.parsing import CostInOneUnit

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,99}")


class LimitScope(TypedDict, total=False):
    """Scope of a limit: a run falls under it that has all that are given."""

    tag: str
    target: str
    workspace: str
    deployment: str
    sweep: str


def set_limit(
    name: str, amount: str, *, per: str = "month", local: bool = False, **scope: Unpack[LimitScope]
) -> LimitState:
    """Set a limit on what runs of this journal cost together in a period, or change the one of this name.

    `amount` has one unit, such as "500USD"; other units are not limited. `per` is "day", "week" (from Monday), "month"
    or "ever", in UTC. Of `tag`, `target`, `workspace` (its name), `deployment` ("flow/name") and `sweep`, a run must
    have all that are given. Runs on the local service, which bills nothing, count with `local`. The limit holds in all
    processes that share the journal, from the next jobs on: those that could exceed it are not submitted, and their run
    is stopped. Amounts that were spent before count. Returns its state. Raises InputError.
    """
    if not _NAME.fullmatch(name):
        raise InputError("name", f"{name[:40]!r} is no name of a limit", "Give up to 100 letters, digits and hyphens.")
    try:
        ((unit, value),) = TypeAdapter(CostInOneUnit).validate_python(amount).items()
    except (ValidationError, ValueError) as error:
        raise InputError("amount", f"{amount!r} is no amount in one unit", "Give one such as 500USD.") from error
    if per not in list(Period):
        raise InputError("per", f"{per!r} is no period", f"Give one of {', '.join(Period)}.")
    own = {kind: str(given) for kind, given in scope.items()}
    with open_journal() as journal:
        journal.put_limit(RunLimit(name, unit, value, Period(per), own, counts_local=local))
        return next(state for state in journal.limits() if state.limit.name == name)


def limits() -> Sequence[LimitState]:
    """Return the limits of this journal by name, with what is spent and reserved of them in this period."""
    with open_journal() as journal:
        return journal.limits()


def limit(name: str) -> LimitState:
    """Return a limit of this journal with what is spent and reserved of it. Raises InputError if there is none."""
    for state in limits():
        if state.limit.name == name:
            return state
    raise _unknown(name)


def remove_limit(name: str) -> None:
    """Remove a limit. Raises InputError if there is none of this name."""
    with open_journal() as journal:
        if not journal.remove_limit(name):
            raise _unknown(name)


def _unknown(name: str) -> InputError:
    return InputError("name", f"there is no limit {name!r}", "`hybridloop limit list` lists them.")
