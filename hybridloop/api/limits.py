"""Public functions for limits over runs."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

from pydantic import TypeAdapter, ValidationError

from hybridloop.api.environment import find_target_in
from hybridloop.data.synonyms import suggestion
from hybridloop.errors import InputError
from hybridloop.journal import Journal, open_journal
from hybridloop.journal.amounts import as_scope
from hybridloop.journal.limits import LimitState, Period, RunLimit
from hybridloop.settings.parsing import CostInOneUnit

_log = logging.getLogger(__name__)

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
    or "ever", in UTC by the clock of the machine that runs. Of `tag`, `target`, `workspace` (its name), `deployment`
    ("flow/name") and `sweep`, a run must have all that are given; that no run has one yet is a warning. Runs on the
    local service, which bills nothing, count with `local`. The limit holds in all processes that share the journal,
    from the next jobs on: those that could exceed it are not submitted, and their run is stopped. Amounts that were
    spent before count. Returns its state. Raises InputError.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        problem = f"{str(name)[:40]!r} is no name of a limit"
        raise InputError("name", problem, "Give up to 100 letters, digits and hyphens.")
    try:
        ((unit, value),) = TypeAdapter(CostInOneUnit).validate_python(amount).items()
    except (ValidationError, ValueError) as error:
        raise InputError("amount", f"{amount!r} is no amount in one unit", "Give one such as 500USD.") from error
    if per not in list(Period):
        raise InputError("per", f"{per!r} is no period", f"Give one of {', '.join(Period)}.")
    kinds = tuple(LimitScope.__annotations__)
    for kind, given in scope.items():
        if kind not in kinds:
            remedy = suggestion(kind, (*kinds, "name", "amount", "per", "local")) or f"There are: {', '.join(kinds)}."
            raise InputError(kind, "a limit has no such scope", remedy)
        if not isinstance(given, str) or not given.strip() or not given.isprintable():
            raise InputError(kind, f"{given!r} is no name", "Give a text.")
    with open_journal() as journal:
        own = dict(_scope(journal, *each) for each in scope.items())
        journal.put_limit(RunLimit(name, unit, value, Period(per), own, counts_local=local))
        return next(state for state in journal.limits() if state.limit.name == name)


def _scope(journal: Journal, kind: str, value: Any) -> tuple[str, str]:
    """Return a scope as runs have it; one that no run has yet is a warning. Raises InputError for an unknown target."""
    known = {other for found in journal.scopes().values() for its, other in found if its == kind}
    kind, value = as_scope(kind, value)
    if value in known:
        return kind, value
    if kind == "target":
        return as_scope(kind, find_target_in(None, value).name)
    similar = difflib.get_close_matches(value, known, n=1)
    hint = f"; did you mean {similar[0]!r}?" if similar else ""
    _log.warning("no run of this journal has %s %s yet%s", kind, value, hint)
    return kind, value


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
