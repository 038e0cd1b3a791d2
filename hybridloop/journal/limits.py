"""Limits on the cost of runs in a period, all together; they are held in the transaction of each reservation."""

from __future__ import annotations

import enum
import math
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, func, select

from hybridloop.errors import LimitReached
from hybridloop.journal.amounts import (
    DAY_S,
    EPOCH,
    LOCAL,
    as_scope,
    count,
    date_of,
    day_of,
    note_rows,
    scopes_of,
    taken_by,
)
from hybridloop.journal.kept_amounts import take_back
from hybridloop.journal.records import UNSETTLED
from hybridloop.journal.storage.encoding import decode_json, encode_json
from hybridloop.journal.storage.rows import (
    insert_rows,
    read_intact,
    read_query,
    read_row,
    translate_decode_errors,
    update_rows,
)
from hybridloop.journal.storage.schema import amounts, jobs, limits, pings, scopes

LIMIT = "limit"  # event of a run whose next jobs would have exceeded one, with the day of the next period
_SLACK = 1e-9  # relative: a sum of floats must not be refused for its last digit
_TABLES = {"jobs": jobs, "pings": pings}


class Period(enum.StrEnum):
    """Period of a limit, in UTC; weeks begin on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    EVER = "ever"


@dataclass(frozen=True, slots=True)
class RunLimit:
    """Limit of the runs of a journal that have all of `scope`: an `amount` in one unit for each period.

    `scope` has some of "tag", "target", "workspace", "deployment" and "sweep"; empty: all runs. Runs on a local service
    count only with `counts_local`. `spent_before` counts no longer; it is for a limit for ever.
    """

    name: str
    unit: str
    amount: float
    period: Period = Period.MONTH
    scope: Mapping[str, str] = field(default_factory=dict)
    counts_local: bool = False
    spent_before: float = 0.0

    def command(self, amount: float) -> str:
        """Return the command that sets the limit to this amount, rounded up to a hundredth, and else as it is."""
        rounded = f"{math.ceil(amount * 100.0 - 1e-6) / 100.0:.2f}".removesuffix(".00")
        scope = [part for kind, value in self.scope.items() for part in (f"--{kind}", value)]
        local = ["--local"] if self.counts_local else []
        words = ["limit", "set", self.name, f"{rounded}{self.unit}", "--per", self.period.value, *scope, *local]
        return f"hybridloop {shlex.join(words)}"


@dataclass(frozen=True, slots=True)
class LimitState:
    """A limit with what was spent of it in this period, and what is reserved for jobs in flight.

    `next_period_at` is in seconds since the epoch, None for a limit for ever.
    """

    limit: RunLimit
    spent: float
    reserved: float
    next_period_at: float | None

    @property
    def is_exceeded(self) -> bool:
        """True if more is spent and reserved than the limit."""
        return self.spent + self.reserved > self.limit.amount * (1.0 + _SLACK)

    @property
    def left(self) -> float:
        """Amount that the next jobs may still reserve."""
        return max(0.0, self.limit.amount - self.spent - self.reserved)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; `next_period` is the date of its begin in UTC, None for a limit for ever."""
        limit = self.limit
        return {
            **{name: getattr(limit, name) for name in ("name", "amount", "unit")},
            "period": limit.period.value,
            "scope": " ".join(f"{kind}={value}" for kind, value in limit.scope.items()) or "all runs",
            "local": limit.counts_local,
            **{name: getattr(self, name) for name in ("spent", "reserved", "left")},
            "next_period": None if self.next_period_at is None else _date(self.next_period_at),
        }

    @property
    def left_text(self) -> str:
        """The amount that is left, and until when, for a plan."""
        unit = self.limit.unit
        until = "" if self.next_period_at is None else f" until {_date(self.next_period_at)} (UTC)"
        return f"{self.limit.name}: {self.left:,.2f} {unit} of {_in_words(self.limit)} are left{until}"

    def __str__(self) -> str:
        """Return one sentence."""
        limit = self.limit
        scope = " and ".join(f"{kind} {value}" for kind, value in limit.scope.items())
        runs = f"runs of {scope}" if scope else "all runs"
        service = "" if limit.counts_local else ", without those on the local service"
        after = "" if self.next_period_at is None else f"; the next period begins on {_date(self.next_period_at)} (UTC)"
        return (
            f"limit {limit.name}: {_in_words(limit)} for {runs} in this journal{service}; {self.spent:.2f} "
            f"{limit.unit} are spent, and {self.reserved:.2f} {limit.unit} reserved for jobs in flight{after}"
        )


def bounds_of(period: Period, day: int) -> tuple[int | None, int | None]:
    """Return the first day of the period of a day, and that of the next one; None for a period without."""
    at = EPOCH + timedelta(days=day)
    match period:
        case Period.DAY:
            return day, day + 1
        case Period.WEEK:
            return day - at.weekday(), day - at.weekday() + 7
        case Period.MONTH:
            first = at.replace(day=1)
            following = (first + timedelta(days=31)).replace(day=1)
            return (first - EPOCH).days, (following - EPOCH).days
    return None, None


def put(connection: Connection, limit: RunLimit, now: float) -> None:
    """Write a limit, in place of one of its name."""
    row = {
        **{name: getattr(limit, name) for name in ("name", "unit", "amount")},
        "period": limit.period.value,
        "scope": encode_json(dict(sorted(as_scope(*each) for each in limit.scope.items()))),
        "counts_local": int(limit.counts_local),
        "spent_before": limit.spent_before,
        "created_at": now,
    }
    if read_row(connection, limits, name=limit.name) is None:
        insert_rows(connection, limits, [row])
        count(connection, limits, 1)
    else:
        update_rows(connection, limits, [row])


def remove(connection: Connection, name: str) -> bool:
    """Remove a limit; return whether there was one."""
    removed = connection.execute(limits.delete().where(limits.c.name == name)).rowcount
    count(connection, limits, -removed)
    return removed > 0


def read(connection: Connection, *, lock: bool = False) -> list[RunLimit]:
    """Return all limits by name; with `lock`, other transactions wait for this one to use them."""
    query = limits.select().order_by(limits.c.name)
    return [_limit_of(row) for row in read_query(connection, limits, query.with_for_update() if lock else query)]


def keep_stricter(connection: Connection, other: Connection) -> None:
    """Add the limits of another journal but damaged ones; of two of one name and kind the stricter one stays.

    Of two of one name that limit different things both stay, that of this journal by another name.
    """
    kept = {limit.name: limit for limit in read_whole(other)}
    for limit in read(connection):
        name = limit.name
        while (present := kept.get(name)) is not None and not _is_of_same_kind(limit, present):
            name += " of the backup"
        if present is None or limit.amount + limit.spent_before < present.amount + present.spent_before:
            kept[name] = replace(limit, name=name)
    for limit in kept.values():
        put(connection, limit, time.time())


def read_whole(connection: Connection) -> list[RunLimit]:
    """Return all limits but damaged ones."""
    return [_limit_of(row) for row in read_intact(connection, limits)]


def differences(before: Iterable[RunLimit], backup: Iterable[RunLimit], after: Iterable[RunLimit]) -> list[str]:
    """Return a sentence for each limit that differs in a journal before and after a backup was restored, and in it."""
    places = [{limit.name: limit for limit in each} for each in (before, backup, after)]
    names = sorted(set[str]().union(*places))
    found = [(name, [_in_full(place[name]) if name in place else "none" for place in places]) for name in names]
    return [
        f"limit {name}: {said[2]} ({said[0]} before, {said[1]} in the backup)"
        for name, said in found
        if len(set(said)) > 1
    ]


def _in_full(limit: RunLimit) -> str:
    own = [f"of {kind} {value}" for kind, value in limit.scope.items()] + [
        "on the local service, too"
    ] * limit.counts_local
    spent = f", without {limit.spent_before:.2f} spent before" if limit.spent_before else ""
    return " ".join([_in_words(limit), *own]) + spent


def _is_of_same_kind(limit: RunLimit, other: RunLimit) -> bool:
    """Return whether two limits differ in nothing but their name and how much they allow."""
    return replace(limit, name=other.name, amount=other.amount, spent_before=other.spent_before) == other


def _limit_of(row: Mapping[str, Any]) -> RunLimit:
    with translate_decode_errors(limits, row["name"]):
        values = {name: row[name] for name in ("name", "unit", "amount", "spent_before")}
        scope, period = decode_json(row["scope"]), Period(row["period"])
        return RunLimit(**values, period=period, scope=scope, counts_local=bool(row["counts_local"]))


def states(connection: Connection, day: int) -> list[LimitState]:
    """Return all limits with what is spent of them in the period of a day, and reserved."""
    return [_state(connection, limit, day) for limit in read(connection)]


def covers(limit: RunLimit, own: set[tuple[str, str]]) -> bool:
    """Return whether a run that is found by these kinds and values falls under a limit."""
    return set(limit.scope.items()) <= own and (limit.counts_local or not any(kind == LOCAL for kind, _ in own))


def reserve(
    connection: Connection, table: Literal["jobs", "pings"], run_uid: str, rows: Sequence[Mapping[str, Any]], day: int
) -> None:
    """Count new jobs or pings of a day by their rows. Raises LimitReached if they exceed a limit."""
    added = taken_by(_TABLES[table], rows)
    held = _holding(connection, run_uid, added)  # locked before any amount is written, by all processes
    take_back(connection, run_uid, (row["id"] for row in rows))
    note_rows(connection, _TABLES[table], run_uid, [], rows)
    for limit in held:
        state = _state(connection, limit, day)
        if state.is_exceeded:
            before = max(0.0, state.reserved - added[limit.unit])
            spent, reserved, needed = (f"{each:.2f} {limit.unit}" for each in (state.spent, before, added[limit.unit]))
            text = (
                f"{_in_words(limit)} is the limit, {spent} spent, {reserved} reserved for jobs in flight, and the next "
                f"jobs may take {needed}"
            )
            fits = added[limit.unit] <= limit.amount * (1.0 + _SLACK)
            text += "" if fits else ", more than the whole limit"
            until = _date(state.next_period_at) if fits and state.next_period_at is not None else None
            raise LimitReached(limit.name, text, limit.command(state.spent + state.reserved), until, added[limit.unit])


def settle(
    connection: Connection,
    table: Literal["jobs", "pings"],
    run_uid: str,
    day: int,
    before: Sequence[dict[str, Any]],
    after: Sequence[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Count jobs or pings that have changed, by their rows before and after that; return the latter with their day.

    Those that have just ended count on this `day`. They stay on the day of their reservation, in whose periods the
    limits have room for them, where this day is before that one, and where a limit has no room in this day's period:
    a clock that was wrong has been in it before.
    """
    counted = [
        new | {"day": day} if old["state"] in UNSETTLED and new["state"] not in UNSETTLED and new["day"] < day else new
        for old, new in zip(before, after, strict=True)
    ]
    moved = [(new, later) for new, later in zip(after, counted, strict=True) if new["day"] != later["day"]]
    held = _holding(connection, run_uid, taken_by(_TABLES[table], (later for _, later in moved)))
    note_rows(connection, _TABLES[table], run_uid, before, counted)
    reserved_on = min((new["day"] for new, _ in moved), default=day)
    for limit in held:
        state = _state(connection, limit, day)
        if bounds_of(limit.period, reserved_on) != bounds_of(limit.period, day) and state.is_exceeded:
            note_rows(connection, _TABLES[table], run_uid, counted, after)
            return list(after)
    return counted


def _holding(connection: Connection, run_uid: str, added: Mapping[str, float]) -> list[RunLimit]:
    """Return the limits that a run falls under in the units of these amounts, locked for this transaction."""
    units = {unit for unit, amount in added.items() if amount > 0.0}
    if not units or not (found := [each for each in read(connection, lock=True) if each.unit in units]):
        return []
    own = scopes_of(connection, run_uid)
    return [limit for limit in found if covers(limit, own)]


def _in_words(limit: RunLimit) -> str:
    amount = f"{limit.amount:.2f}".removesuffix(".00") + f" {limit.unit}"
    return amount if limit.period is Period.EVER else f"{amount} per {limit.period}"


def _state(connection: Connection, limit: RunLimit, day: int) -> LimitState:
    first, following = bounds_of(limit.period, day)
    own = [amounts.c.unit == limit.unit, *_covered(limit)]
    if following is not None:  # what is reserved on later days will not be spent before them
        own.append(amounts.c.day < following)
    within = own if first is None else [*own, amounts.c.day >= first]
    spent, reserved = (
        connection.execute(select(func.sum(column)).where(*conditions)).scalar() or 0.0
        for column, conditions in ((amounts.c.spent, within), (amounts.c.reserved, own))
    )
    spent = max(0.0, spent - limit.spent_before)
    return LimitState(limit, spent, reserved, None if following is None else following * DAY_S)


def _covered(limit: RunLimit) -> list[ColumnElement[bool]]:
    """Return the conditions for amounts of runs that fall under a limit."""

    def has(kind: str, value: str) -> ColumnElement[bool]:
        return amounts.c.run_uid.in_(select(scopes.c.run_uid).where(scopes.c.kind == kind, scopes.c.value == value))

    conditions = [has(kind, value) for kind, value in limit.scope.items()]
    return conditions if limit.counts_local else [*conditions, ~has(LOCAL, "")]


def _date(seconds: float) -> str:
    return date_of(day_of(seconds))
