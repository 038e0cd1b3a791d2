"""Limits on the cost of runs in a period, all together; they are held in the transaction of each reservation."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, func, select

from hybridloop.errors import LimitReached
from hybridloop.journal.amounts import DAY_S, LOCAL, OPEN, note_rows, scopes_of, today
from hybridloop.journal.storage.encoding import decode_json, encode_json
from hybridloop.journal.storage.rows import insert_rows, read_query, read_row, translate_decode_errors, update_rows
from hybridloop.journal.storage.schema import amounts, jobs, limits, pings, scopes

LIMIT = "limit"  # event of a run whose next jobs would have exceeded one, with the day of the next period
_SLACK = 1e-9  # relative: a sum of floats must not be refused for its last digit
_TABLES = {"jobs": jobs, "pings": pings}
_EPOCH = date(1970, 1, 1)


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
    at = _EPOCH + timedelta(days=day)
    match period:
        case Period.DAY:
            return day, day + 1
        case Period.WEEK:
            return day - at.weekday(), day - at.weekday() + 7
        case Period.MONTH:
            first = at.replace(day=1)
            following = (first + timedelta(days=31)).replace(day=1)
            return (first - _EPOCH).days, (following - _EPOCH).days
    return None, None


def put(connection: Connection, limit: RunLimit, now: float) -> None:
    """Write a limit, in place of one of its name."""
    row = {
        **{name: getattr(limit, name) for name in ("name", "unit", "amount")},
        "period": limit.period.value,
        "scope": encode_json(dict(sorted(limit.scope.items()))),
        "counts_local": int(limit.counts_local),
        "spent_before": limit.spent_before,
        "created_at": now,
    }
    if read_row(connection, limits, name=limit.name) is None:
        insert_rows(connection, limits, [row])
    else:
        update_rows(connection, limits, [row])


def remove(connection: Connection, name: str) -> bool:
    """Remove a limit; return whether there was one."""
    return connection.execute(limits.delete().where(limits.c.name == name)).rowcount > 0


def read(connection: Connection, *, lock: bool = False) -> list[RunLimit]:
    """Return all limits by name; with `lock`, other transactions wait for this one to use them."""
    query = limits.select().order_by(limits.c.name)
    found = []
    for row in read_query(connection, limits, query.with_for_update() if lock else query):
        with translate_decode_errors(limits, row["name"]):
            values = {name: row[name] for name in ("name", "unit", "amount", "spent_before")}
            scope, period = decode_json(row["scope"]), Period(row["period"])
            found.append(RunLimit(**values, period=period, scope=scope, counts_local=bool(row["counts_local"])))
    return found


def states(connection: Connection, now: float) -> list[LimitState]:
    """Return all limits with what is spent and reserved of them."""
    day = today(connection, now)
    return [_state(connection, limit, day) for limit in read(connection)]


def covers(limit: RunLimit, own: set[tuple[str, str]]) -> bool:
    """Return whether a run that is found by these kinds and values falls under a limit."""
    return set(limit.scope.items()) <= own and (limit.counts_local or not any(kind == LOCAL for kind, _ in own))


def reserve(
    connection: Connection, table: Literal["jobs", "pings"], run_uid: str, rows: Sequence[Mapping[str, Any]], now: float
) -> None:
    """Count new jobs or pings by their rows. Raises LimitReached if they exceed a limit."""
    _check(connection, run_uid, note_rows(connection, _TABLES[table], run_uid, [], rows, now), now)


def settle(
    connection: Connection,
    table: Literal["jobs", "pings"],
    run_uid: str,
    before: Sequence[Mapping[str, Any]],
    after: Sequence[Mapping[str, Any]],
    now: float,
) -> None:
    """Count jobs or pings that have changed, by their rows before and after that."""
    note_rows(connection, _TABLES[table], run_uid, before, after, now)


def _check(connection: Connection, run_uid: str, added: Mapping[str, float], now: float) -> None:
    """Raise LimitReached if an amount that this transaction has added to a run exceeds a limit."""
    units = {unit for unit, amount in added.items() if amount > 0.0}
    if not units or not (found := [each for each in read(connection, lock=True) if each.unit in units]):
        return
    own, day = scopes_of(connection, run_uid), today(connection, now)
    for limit in found:
        if not covers(limit, own):
            continue
        state = _state(connection, limit, day)
        if state.spent + state.reserved > limit.amount * (1.0 + _SLACK):
            before = state.reserved - added[limit.unit]
            spent, reserved, needed = (f"{each:.2f} {limit.unit}" for each in (state.spent, before, added[limit.unit]))
            text = (
                f"{_in_words(limit)} is the limit, {spent} spent, {reserved} reserved for jobs in flight, and the next "
                f"jobs may take {needed}"
            )
            is_later = state.next_period_at is not None and added[limit.unit] <= limit.amount * (1.0 + _SLACK)
            until = _date(state.next_period_at) if is_later and state.next_period_at is not None else None
            raise LimitReached(limit.name, text, until, added[limit.unit])


def _in_words(limit: RunLimit) -> str:
    amount = f"{limit.amount:.2f}".removesuffix(".00") + f" {limit.unit}"
    return amount if limit.period is Period.EVER else f"{amount} per {limit.period}"


def _state(connection: Connection, limit: RunLimit, day: int) -> LimitState:
    first, following = bounds_of(limit.period, day)
    within = amounts.c.day != OPEN
    if first is not None and following is not None:
        within = (amounts.c.day >= first) & (amounts.c.day < following)
    own = [amounts.c.unit == limit.unit, *_covered(limit)]
    by_day = {
        is_open: connection.execute(select(func.sum(amounts.c.spent)).where(when, *own)).scalar() or 0.0
        for is_open, when in ((False, within), (True, amounts.c.day == OPEN))
    }
    spent = max(0.0, by_day[False] - limit.spent_before)
    return LimitState(limit, spent, by_day[True], None if following is None else following * DAY_S)


def _covered(limit: RunLimit) -> list[ColumnElement[bool]]:
    """Return the conditions for amounts of runs that fall under a limit."""

    def has(kind: str, value: str) -> ColumnElement[bool]:
        return amounts.c.run_uid.in_(select(scopes.c.run_uid).where(scopes.c.kind == kind, scopes.c.value == value))

    conditions = [has(kind, value) for kind, value in limit.scope.items()]
    return conditions if limit.counts_local else [*conditions, ~has(LOCAL, "")]


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
