"""Scheduler of a sweep, with random ends of attempts and a real journal."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.errors import InputError
from hybridloop.flows.sweep_execution.scheduler import AttemptEnd, SweepProgress, run_points, with_seeds
from hybridloop.flows.sweep_execution.spec import Point, SweepSpec, points_of
from hybridloop.journal import Journal, journal_url
from hybridloop.journal.held_run import new_run

WORKSPACE = {"name": "here"}
ATTEMPTS = 3


@dataclass
class RandomPool:
    """Stand-in for a pool of `size` points; `fates` has the ends of each point's attempts. Last in, first out."""

    size: int
    fates: dict[str, deque[AttemptEnd]]
    running: list[Point] = field(default_factory=list)
    started: Counter[str] = field(default_factory=Counter)
    most: int = 0
    now: float = 0.0

    @property
    def room(self) -> int:
        return self.size - len(self.running)

    def start(self, point: Point, /) -> None:
        assert self.room > 0
        assert point.key not in {each.key for each in self.running}
        self.running.append(point)
        self.started[point.key] += 1
        self.most = max(self.most, len(self.running))

    def ended(self, within_s: float, /) -> list[AttemptEnd]:
        assert within_s > 0 or self.room > 0  # else the scheduler would poll without a pause
        if not self.running:
            self.now += within_s
            return []
        self.now += 2.0
        point = self.running.pop()
        return [self.fates[point.key].popleft()]

    def clock(self) -> float:
        return self.now


def spec_of(count: int) -> SweepSpec:
    return SweepSpec(
        name="s", algorithm="vqe", problems=("h2",), settings={"precision": 0.01}, grid={"seed": list(range(count))}
    )


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journal]:
    with Journal(journal_url(tmp_path_factory.mktemp("swept") / "journal.db")) as opened:
        yield opened


# outages, in any number before each end, take no attempt
END = st.tuples(st.integers(0, 4), st.sampled_from(["done", "again", "lost"])).map(
    lambda drawn: [*["away"] * drawn[0], drawn[1]]
)
FATES = st.lists(END, min_size=ATTEMPTS, max_size=ATTEMPTS).map(lambda ends: [fate for end in ends for fate in end])


@given(fates=st.lists(FATES, min_size=1, max_size=12), size=st.integers(1, 5))
def test_every_point_gets_its_allowed_attempts_independently_of_others(
    fates: list[list[str]], size: int, journal: Journal
) -> None:
    points = list(points_of(spec_of(len(fates))))
    ends = {
        "done": AttemptEnd("", ""),
        "again": AttemptEnd("", "in passing", again=True),
        "lost": AttemptEnd("", "for good"),
        "away": AttemptEnd("", "the server is away", again=True, is_own=False),
    }
    drawn = {
        point.key: deque(replace(ends[fate], key=point.key) for fate in fate_of)
        for point, fate_of in zip(points, fates, strict=True)
    }
    execution, told = RandomPool(size, drawn), list[SweepProgress]()
    rows, begun = run_points(
        points, execution, journal, WORKSPACE, attempts=ATTEMPTS, on_point=told.append, clock=execution.clock
    )
    assert [row["run_key"] for row in rows] == [point.key for point in points]
    assert begun == len(points)
    assert [each.number for each in told] == list(range(1, len(points) + 1))
    assert execution.most <= size
    for point, fate_of, row in zip(points, fates, rows, strict=True):
        fails = [number for number, fate in enumerate(fate_of, start=1) if fate == "again"][:ATTEMPTS]
        last = next((number for number, fate in enumerate(fate_of, start=1) if fate in ("done", "lost")), len(fate_of))
        last = min(last, fails[-1]) if len(fails) == ATTEMPTS else last
        assert execution.started[point.key] == last
        assert row["reason"] == ends[fate_of[last - 1]].trouble
        assert row["value"] is None


UID = "6f0b0f6e-0000-4000-8000-000000000000"


def add_run(journal: Journal, point: Point) -> None:
    described = {
        "problem": point.problem.model_dump(mode="json"),
        "settings": point.settings.model_dump(mode="json"),
        "workspace": WORKSPACE,
    }
    seed = point.settings.seed
    assert seed is not None
    target = point.settings.target
    new = new_run(UID, key=point.key, algorithm="vqe", problem="h2", target=target, seed=seed, settings=described)
    journal.add_run(new)


@pytest.mark.parametrize("begun", ["never", "with one seed for all", "with a seed for each"])
def test_points_have_their_own_seeds_but_in_a_sweep_that_was_begun_with_one_for_all(begun: str, tmp_path: Path) -> None:
    grid = {"shots": [10, 20, 30]}
    points = list(points_of(SweepSpec(name="s", algorithm="vqe", problems=("h2",), settings={"seed": 7}, grid=grid)))
    with Journal(journal_url(tmp_path / "journal.db")) as journal:
        if begun != "never":
            add_run(journal, points[1] if begun == "with one seed for all" else points[1].with_own_seed())
        seeded = with_seeds(points, journal)
        assert [point.key for point in seeded] == [point.key for point in points]
        seeds = [point.settings.seed for point in seeded]
        assert seeds == ([7, 7, 7] if begun == "with one seed for all" else [point.own_seed for point in points])
        rows, _ = run_points(  # the journal's run is that of its point
            seeded,
            RandomPool(3, {point.key: deque([AttemptEnd(point.key)]) for point in seeded}),
            journal,
            WORKSPACE,
            attempts=1,
            on_point=lambda _: None,
        )
        assert len(rows) == len(points)


def test_a_point_with_a_result_is_not_run_and_one_of_another_workspace_is_refused(tmp_path: Path) -> None:
    *points, _ = points_of(spec_of(3))
    with Journal(journal_url(tmp_path / "journal.db")) as journal:
        add_run(journal, points[0])
        lease = journal.take_lease(UID)
        journal.set_status(lease, "converged", "", {"value": -1.0, "jobs": {"total": 2}, "costs": {}, "sessions": []})
        journal.release(lease)
        execution = RandomPool(1, {points[1].key: deque([AttemptEnd(points[1].key)])})
        rows, begun = run_points(points, execution, journal, WORKSPACE, attempts=1, on_point=lambda _: None)
        assert ([row["value"] for row in rows], begun) == ([-1.0, None], 1)
        assert dict(execution.started) == {points[1].key: 1}
        with pytest.raises(InputError, match="Give the sweep another name"):
            run_points(points, execution, journal, {"name": "there"}, attempts=1, on_point=lambda _: None)
