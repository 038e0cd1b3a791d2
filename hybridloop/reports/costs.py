"""Costs of the journal's runs since a time, by run, target, algorithm, problem, day or month; without the service."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hybridloop.azure.targets import recorded_target
from hybridloop.budget.cost_summary import CostSummary, sum_costs, summarize_charges
from hybridloop.journal import Journal, RunRecord
from hybridloop.reports.cost_groups import CostGroup
from hybridloop.runs.stored_run import result_of

_PAGE = 200


@dataclass(frozen=True, slots=True)
class CostRow:
    """A group of runs: its name, the number of runs, and what they cost."""

    name: str
    runs: int
    cost: CostSummary

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; amounts by unit."""
        cost = self.cost
        counts = {"name": self.name, "runs": self.runs, "jobs": cost.jobs, "shots": cost.shots}
        return counts | {
            "estimated": dict(cost.estimated),
            "billed": dict(cost.billed),
            "reserved": dict(cost.reserved),
        }


def cost_rows(journal: Journal, since: float, group: CostGroup, keys: str = "*") -> list[CostRow]:
    """Return the costs of the runs that began since a time (epoch seconds), and whose key matches a pattern.

    Newest first by run, day and month, else the most expensive first. A run counts whole, resumes included.
    """
    members: dict[str, list[CostSummary]] = {}
    for record in _runs_since(journal, since):
        if fnmatch.fnmatchcase(record.key, keys):
            members.setdefault(_name(record, group), []).append(cost_of(journal, record))
    rows = [CostRow(name, len(costs), sum_costs(costs)) for name, costs in members.items()]
    if group in (CostGroup.RUN, CostGroup.DAY, CostGroup.MONTH):
        return rows
    return sorted(rows, key=lambda row: (-max(_spent(row).values(), default=0.0), -row.cost.jobs, row.name))


def total_row(rows: Sequence[CostRow]) -> CostRow:
    """Return the sum of rows."""
    return CostRow("total", sum(row.runs for row in rows), sum_costs(row.cost for row in rows))


def cost_of(journal: Journal, record: RunRecord) -> CostSummary:
    """Return what a run has cost; of one that was pruned to its result, what the result states."""
    charges = journal.charges(record.uid)
    if not charges and (result := result_of(record)) is not None:
        jobs = result.jobs + result.pings + result.retried
        return CostSummary(jobs, result.shots, result.estimated, result.reserved, result.cost)
    return summarize_charges(charges, recorded_target(record.target))


def _spent(row: CostRow) -> dict[str, float]:
    return dict(row.cost.billed) or dict(row.cost.estimated)


def _runs_since(journal: Journal, since: float) -> Iterator[RunRecord]:
    before: float | None = None
    while page := journal.runs(limit=_PAGE, before=before):
        for record in page:
            if record.created_at < since:
                return
            yield record
        if len(page) < _PAGE:
            return
        before = page[-1].created_at


def _name(record: RunRecord, group: CostGroup) -> str:
    day = datetime.fromtimestamp(record.created_at, UTC).astimezone().date().isoformat()
    return {
        CostGroup.DAY: day,
        CostGroup.MONTH: day[: len("2026-11")],
        CostGroup.RUN: record.key,
        CostGroup.TARGET: record.target,
        CostGroup.ALGORITHM: record.algorithm,
        CostGroup.PROBLEM: record.problem or "-",
    }[group]
