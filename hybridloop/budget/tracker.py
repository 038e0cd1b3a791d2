"""Tracker: the jobs, shots and cost of all runs and sessions that a block of a program uses, by target and run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from hybridloop.budget.cost_summary import CostSummary, subtract_costs, sum_costs
from hybridloop.runtime.text_table import format_table

_COLUMNS = ("run", "target", "jobs", "shots", "estimated", "billed")
_lock = threading.Lock()
_active: list[Tracker] = []  # of this process: a block counts the work of all its threads
_open: set[Account] = set()


@dataclass(eq=False)
class Account:
    """The cost of a run: `read` returns it as of now, `before` is that of earlier processes."""

    run: str
    target: str
    before: CostSummary
    read: Callable[[], CostSummary]


@contextmanager
def account_open(account: Account) -> Iterator[None]:
    """Let trackers count an account: those whose blocks are entered now, and those that begin while it is open."""
    with _lock:
        _open.add(account)
        for tracker in _active:
            tracker.watch(account, account.before)
    try:
        yield
    finally:
        with _lock:
            _open.discard(account)


def are_tracked() -> bool:
    """Return True inside a tracker's block."""
    with _lock:
        return bool(_active)


class Tracker:
    """Jobs, shots and cost of all that runs inside of its block, in this process, and in the points of its sweeps.

    Keep-alive pings and retries count. Amounts are by unit (USD, HQC, eHQC, …): `estimated` is what the jobs were
    expected to cost, `billed` what the service stated, `reserved` the most that jobs without a bill can cost. A job
    from the journal costs nothing again.
    """

    def __init__(self) -> None:
        self._watched: dict[Hashable, tuple[Account, CostSummary]] = {}
        self._ended: list[tuple[Account, CostSummary]] | None = None

    def __enter__(self) -> Self:
        with _lock:
            self._watched, self._ended = {}, None  # of a block before
            for account in _open:  # of sessions that were opened before
                self.watch(account, account.read())
            _active.append(self)
        return self

    def __exit__(self, *_raised: object) -> None:
        with _lock:
            _active.remove(self)
        self._ended = self._now()

    def __str__(self) -> str:
        rows = [{**row, **{name: _text(row[name]) for name in ("estimated", "billed")}} for row in self.rows()]
        total = {"run": "total", "target": None, "jobs": self.jobs, "shots": self.shots}
        total |= {"estimated": _text(self.estimated), "billed": _text(self.billed)}
        return "\n".join(format_table(_COLUMNS, [*rows, total]))

    def watch(self, account: Account, before: CostSummary) -> None:
        """Count an account from `before` on."""
        self._watched.setdefault(id(account), (account, before))

    @property
    def total(self) -> CostSummary:
        """All jobs, shots and amounts."""
        return sum_costs(cost for _, cost in self._costs())

    @property
    def jobs(self) -> int:
        """Number of jobs, retries and pings included."""
        return self.total.jobs

    @property
    def shots(self) -> int:
        """Number of shots of all jobs."""
        return self.total.shots

    @property
    def estimated(self) -> dict[str, float]:
        """Amounts that the jobs were expected to cost, by unit."""
        return dict(self.total.estimated)

    @property
    def billed(self) -> dict[str, float]:
        """Amounts that the service billed, by unit."""
        return dict(self.total.billed)

    @property
    def by_target(self) -> dict[str, CostSummary]:
        """Jobs, shots and amounts by target."""
        return self._by(lambda account: account.target)

    @property
    def by_run(self) -> dict[str, CostSummary]:
        """Jobs, shots and amounts by run key; a session without one has its run's uid."""
        return self._by(lambda account: account.run)

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each run and target, ready for a data frame."""
        keys = {(account.run, account.target): None for account, _ in self._costs()}
        rows = []
        for run, target in keys:
            cost = sum_costs(cost for account, cost in self._costs() if (account.run, account.target) == (run, target))
            amounts = {"estimated": dict(cost.estimated), "billed": dict(cost.billed), "reserved": dict(cost.reserved)}
            rows.append({"run": run, "target": target, "jobs": cost.jobs, "shots": cost.shots, **amounts})
        return rows

    def _by(self, key: Callable[[Account], str]) -> dict[str, CostSummary]:
        costs = self._costs()
        names = dict.fromkeys(key(account) for account, _ in costs)
        return {name: sum_costs(cost for account, cost in costs if key(account) == name) for name in names}

    def _costs(self) -> list[tuple[Account, CostSummary]]:
        costs = self._now() if self._ended is None else self._ended
        return [(account, cost) for account, cost in costs if cost.jobs or any(cost.amounts.values())]

    def _now(self) -> list[tuple[Account, CostSummary]]:
        with _lock:
            watched = list(self._watched.values())
        return [(account, subtract_costs(account.read(), before)) for account, before in watched]


def track() -> Tracker:
    """Count the jobs, shots and cost of a block: `with hybridloop.track() as t:`, then `print(t)`, `t.by_target`.

    Runs, sweeps, sessions and flows count, in all threads of this process. Runs that other machines execute (a
    deployment's) are in `hybridloop cost`.
    """
    return Tracker()


def _text(amounts: dict[str, float]) -> str:
    return ", ".join(f"{amount:,.2f} {unit}" for unit, amount in amounts.items()) or "-"
