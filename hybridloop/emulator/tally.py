"""How many jobs there are, and what they cost, added up for each session; deleted jobs count, they were paid for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hybridloop.emulator.store import Store


@dataclass(frozen=True, slots=True)
class Tally:
    """Jobs by status, their shots, and what they cost by unit."""

    jobs: Mapping[str, int]
    shots: int
    money: Mapping[str, float]

    @property
    def total(self) -> int:
        """The number of all jobs."""
        return sum(self.jobs.values())


def together(tallies: Iterable[Tally]) -> Tally:
    """All of them as one."""
    jobs, shots, money = dict[str, int](), 0, dict[str, float]()
    for tally in tallies:
        shots += tally.shots
        for status, number in tally.jobs.items():
            jobs[status] = jobs.get(status, 0) + number
        for unit, price in tally.money.items():
            money[unit] = round(money.get(unit, 0.0) + price, 6)
    return Tally(jobs, shots, money)


def tallies_where(store: Store, where: str, parameters: Sequence[object]) -> dict[int | None, Tally]:
    """The tallies of the jobs for which an SQL condition holds, by their session's number, None for those without one.

    They are read from one index alone unless the condition needs another.
    """
    sql = (
        "SELECT session_key, status, unit, count(*) AS jobs, coalesce(sum(shots), 0) AS shots,"
        f" sum(price) AS price FROM jobs WHERE {where} GROUP BY session_key, status, unit"
    )
    parts: dict[int | None, list[Tally]] = {}
    for row in store.rows(sql, parameters):
        money = {} if row["unit"] is None else {row["unit"]: row["price"]}
        part = Tally({row["status"]: row["jobs"]}, row["shots"], money)
        parts.setdefault(row["session_key"], []).append(part)
    return {key: together(of_session) for key, of_session in parts.items()}


def tallies_of(store: Store, keys: Sequence[int]) -> dict[int | None, Tally]:
    """The tallies of the sessions of these numbers; only their own entries of the index are read."""
    found = tallies_where(store, f"session_key IN ({', '.join('?' * len(keys))})", keys)
    return {key: found.get(key, together(())) for key in keys}
