"""Costs of the journal's runs in a period, by run, target, tag, month and others; without the service.

An amount falls on the day (UTC) on which its job ended, as in an invoice, and until then on that of its reservation: a
run that was resumed in another month has costs in both. The amounts of deleted runs stay. Runs on the local service
have an amount of their own.
"""

from __future__ import annotations

import fnmatch
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from hybridloop.data.states import State
from hybridloop.errors import InputError, JournalDamaged
from hybridloop.journal import Journal, RunLabel, RunRecord
from hybridloop.journal.amounts import JOBS, LOCAL, SHOTS, date_of
from hybridloop.journal.records import DayAmount
from hybridloop.reports.cost_groups import CostGroup

NONE = "-"  # name of the group of runs without a tag, a deployment or a problem
DELETED, DAMAGED = "deleted", "damaged"  # names of the groups of runs whose record is gone or can't be read


@dataclass(slots=True)
class CostRow:
    """A group of runs: its name, the number of runs, and what they cost, as amounts by unit.

    `unbilled` counts jobs that ended without a bill, at their maximum price, `reserved` those in flight. `local` is
    what runs on the local service would have cost: nothing of it is billed.
    """

    name: str
    runs: int = 0
    jobs: int = 0
    shots: int = 0
    billed: dict[str, float] = field(default_factory=dict)
    unbilled: dict[str, float] = field(default_factory=dict)
    reserved: dict[str, float] = field(default_factory=dict)
    local: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; amounts by unit."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class OpenReservation:
    """Amounts by unit that stay reserved for the jobs of a run that no process works on; `command` settles them."""

    run_key: str
    reserved: Mapping[str, float]
    command: str

    def __str__(self) -> str:
        amounts = ", ".join(f"{amount:,.2f} {unit}" for unit, amount in self.reserved.items())
        return f"{amounts} stay reserved for jobs of run {self.run_key}, which no process works on: {self.command}"


def open_reservations(journal: Journal, now: float) -> list[OpenReservation]:
    """Return what is reserved for runs that ended early, newest first; a parked run waits for its jobs by itself."""
    by_run: dict[str, dict[str, float]] = {}
    for amount in journal.amounts():
        if amount.reserved > 0.0 and amount.unit not in (JOBS, SHOTS):
            reserved = by_run.setdefault(amount.run_uid, {})
            reserved[amount.unit] = reserved.get(amount.unit, 0.0) + amount.reserved
    found = [(record, by_run[uid]) for uid in by_run if (record := _record(journal, uid)) is not None]
    return [
        OpenReservation(record.key, reserved, f"hybridloop runs resume {shlex.quote(record.key)}")
        for record, reserved in sorted(found, key=lambda each: -each[0].created_at)
        if not record.is_held(now) and record.state is not State.PARKED
    ]


def cost_rows(
    journal: Journal, since: int, until: int | None, group: CostGroup, keys: str = "*"
) -> tuple[list[CostRow], CostRow]:
    """Return what runs whose key matches a pattern cost from the day `since` until before the day `until`, and the sum.

    Days are counted from 1970-01-01 (UTC). Newest first by run, day and
    month, else the most expensive first. A run with several tags counts for each.
    """
    scopes, labels = journal.scopes(), journal.labels()
    members: dict[str, list[DayAmount]] = {}
    everything: list[DayAmount] = []
    for amount in journal.amounts():
        if amount.reserved == amount.spent == amount.billed == 0.0:
            continue
        if not since <= amount.day < (math.inf if until is None else until):
            continue
        label = labels.get(amount.run_uid, DELETED) or DAMAGED
        if fnmatch.fnmatchcase(label if isinstance(label, str) else label.key, keys):
            everything.append(amount)
            for name in _names(label, scopes.get(amount.run_uid, set()), amount.day, group):
                members.setdefault(name, []).append(amount)
    rows = [_row(name, amounts, scopes) for name, amounts in members.items()]
    if group in (CostGroup.DAY, CostGroup.MONTH):
        rows.sort(key=lambda row: row.name, reverse=True)
    elif group is CostGroup.RUN:
        begun = {label.key: label.created_at for label in labels.values() if label is not None}
        rows.sort(key=lambda row: begun.get(row.name, 0.0), reverse=True)
    else:
        rows.sort(key=lambda row: (-max(row.billed.values(), default=0.0), -row.jobs, row.name))
    return rows, _row("total", everything, scopes)


def total_cost(journal: Journal) -> CostRow:
    """Return what all runs cost that the journal has ever had."""
    return _row("total", journal.amounts(), journal.scopes())


def _record(journal: Journal, uid: str) -> RunRecord | None:
    """Return the record of a run; None if it is deleted or damaged."""
    try:
        return journal.run(uid)
    except (InputError, JournalDamaged):
        return None


def _row(name: str, amounts: Iterable[DayAmount], scopes: Mapping[str, set[tuple[str, str]]]) -> CostRow:
    row, runs = CostRow(name), set[str]()
    for amount in amounts:
        runs.add(amount.run_uid)
        if amount.unit == JOBS:
            row.jobs += round(amount.reserved + amount.spent)
        elif amount.unit == SHOTS:
            row.shots += round(amount.reserved + amount.spent)
        elif any(kind == LOCAL for kind, _ in scopes.get(amount.run_uid, ())):
            _add(row.local, amount.unit, amount.reserved + amount.spent)
        else:
            _add(row.reserved, amount.unit, amount.reserved)
            _add(row.billed, amount.unit, amount.billed)
            _add(row.unbilled, amount.unit, amount.spent - amount.billed)
    row.runs = len(runs)
    return row


def _add(sums: dict[str, float], unit: str, amount: float) -> None:
    if amount := round(sums.get(unit, 0.0) + amount, 9):
        sums[unit] = amount


def _names(label: RunLabel | str, scopes: Iterable[tuple[str, str]], day: int, group: CostGroup) -> Sequence[str]:
    match group:
        case CostGroup.DAY | CostGroup.MONTH:
            date = date_of(day)
            return [date if group is CostGroup.DAY else date[: len("2026-11")]]
        case CostGroup.TARGET | CostGroup.TAG | CostGroup.DEPLOYMENT:
            return sorted(value for kind, value in scopes if kind == group.value) or [NONE]
    if isinstance(label, str):
        return [label]
    return [{CostGroup.RUN: label.key, CostGroup.ALGORITHM: label.algorithm}.get(group, label.problem or NONE)]
