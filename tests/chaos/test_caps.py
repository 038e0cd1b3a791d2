"""Runs under caps over a service of which a tenth fails: its books never show more than the cap, and all go on.

In virtual time; some runs idle for so long between rounds that their sessions are pinged, and pings count.
"""

from __future__ import annotations

import math
import random
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hybridloop.algorithms.optimizers.scipy import ScipyOptimizer
from hybridloop.algorithms.rounds import RunRound
from hybridloop.azure.targets import find_target
from hybridloop.budget.caps import Caps
from hybridloop.budget.cost_summary import CostSummary
from hybridloop.budget.prices import Unit, billing_unit
from hybridloop.errors import CapReached, HybridloopError
from hybridloop.journal import Journal, journal_url
from hybridloop.journal.claimed_run import claim_run, new_run
from hybridloop.pytest_plugin import Emulator, running_emulator
from hybridloop.tasks.keepalive.rules import KeepAliveMode
from hybridloop.tasks.keepalive.session_keep_alive import KeepAliveSettings
from hybridloop.tasks.session import open_session
from hybridloop.testing.virtual_clock import ServiceClock
from tests.chaos.process_helpers import SEED
from tests.chaos.search_helpers import Answer, ansatz, eigensolver
from tests.chaos.test_service_faults import SOAK
from tests.long_form import long_form, short_or_long

POINTS = 6  # what COBYLA takes to begin with; the final measurement is one more
RUNS = short_or_long(10, 100)
PARTS = short_or_long(1, 4)  # under caps and faults, before it is healed
IDLE_S = 700.0  # longer than a session lives by itself
MOST_OF_A_JOB: Mapping[str, float] = {"USD": 250.0}  # where a price has no bound
TARGETS = ("rigetti.sim.qvm", "quantinuum.sim.h2-1e", "ionq.qpu.forte-1", "rigetti.qpu.cepheus-1-108q")


@dataclass(frozen=True, slots=True)
class Taken:
    """What the service's books say of a run."""

    jobs: int
    shots: int
    amount: float


class CappedRun:
    """One small search, begun and resumed under caps."""

    def __init__(self, service: Emulator, folder: Path, target: str, *, idles: bool) -> None:
        self.service, self.target, self.idles = service, target, idles
        self.uid = str(uuid.uuid4())
        self.url = journal_url(folder / f"{self.uid}.db")
        self.meter, self.pings = CostSummary(), 0
        with Journal(self.url) as journal:
            journal.add_run(new_run(self.uid, key=self.uid, algorithm="x", problem="", target=target, seed=SEED))

    def go_on(self, caps: Caps, faults: list[dict[str, Any]], *, seed: int = 0) -> Answer:
        """The answer, or the error that ended it."""
        self.service.admin("faults", {"rules": faults, "seed": seed})
        keep_alive = KeepAliveSettings(KeepAliveMode.PING if self.idles else KeepAliveMode.AUTO)
        try:
            with (
                ServiceClock(self.service.endpoint, self.service.admin_key) as clock,
                Journal(self.url) as journal,
                claim_run(journal, self.uid, renew_every_s=0.2) as run,
                open_session(
                    self.service.workspace(f"ws-{self.uid[:12]}"),
                    self.target,
                    run=run,
                    caps=caps,
                    keep_alive=keep_alive,
                    clock=clock,
                ) as session,
            ):
                try:
                    search = ScipyOptimizer(ansatz().initial_point, tolerance_rad=1e-6, max_evaluations=POINTS)
                    return eigensolver(self._idling(session.run_round, clock), search)
                finally:
                    self.meter, self.pings = session.meter, session.pings
        finally:
            self.service.admin("faults", {"rules": [], "seed": 0})

    def _idling(self, run_round: RunRound, clock: ServiceClock) -> RunRound:
        def measured(pubs: Any, /) -> Any:
            answer = run_round(pubs)
            if self.idles:
                clock.wait(threading.Event(), IDLE_S)
            return answer

        return measured

    def taken(self) -> Taken:
        books = self.service.admin(f"ledger?run={self.uid}")
        assert books["duplicates"]["count"] == 0
        return Taken(books["jobs"], books["shots"], math.fsum(entry["price"] or 0.0 for entry in books["entries"]))


@pytest.fixture(scope="module")
def virtual() -> Iterator[Emulator]:
    with running_emulator("--clock", "virtual") as running:
        yield running


@pytest.fixture(scope="module")
def undisturbed(virtual: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Answer, Taken]]:
    """The answer of the search on a target, and what it takes without faults or caps."""
    known: dict[str, tuple[Answer, Taken]] = {}

    def of(target: str) -> tuple[Answer, Taken]:
        if target not in known:
            run = CappedRun(virtual, tmp_path_factory.mktemp("undisturbed"), target, idles=False)
            answer = run.go_on(Caps(), [])
            known[target] = answer, run.taken()
        return known[target]

    return of


def drawn_caps(draw: random.Random, whole: Taken, unit: Unit, times: float) -> Caps:
    """One cap or several, each some share of what the run takes, times a factor that grows with each resume."""
    chosen = draw.sample(["jobs", "shots", "cost"], draw.randint(1, 3))
    share = {name: times * draw.uniform(0.1, 1.3) for name in chosen}
    cost = {"max_cost": {unit: share["cost"] * whole.amount}} if "cost" in share and whole.amount else {}
    return Caps(
        max_jobs=max(1, round(share["jobs"] * whole.jobs)) if "jobs" in share else None,
        max_shots=max(1, round(share["shots"] * whole.shots)) if "shots" in share else None,
        max_cost_per_job={unit: MOST_OF_A_JOB[unit]} if unit in MOST_OF_A_JOB else {},
        **cost,
    )


def check_within(taken: Taken, caps: Caps, unit: Unit, before: Taken) -> None:
    """No amount is above its cap, unless it was above it before: caps are drawn again each time."""
    for name, cap, now, then in (
        ("jobs", caps.max_jobs, taken.jobs, before.jobs),
        ("shots", caps.max_shots, taken.shots, before.shots),
        ("cost", caps.max_cost.get(unit), taken.amount, before.amount),
    ):
        assert cap is None or now <= max(cap * (1 + 1e-9), then), (name, cap, now)


@long_form
@pytest.mark.slow
def test_the_services_books_never_show_more_than_a_cap_and_every_run_that_it_ends_can_be_gone_on_with(
    virtual: Emulator, tmp_path: Path, undisturbed: Callable[[str], tuple[Answer, Taken]]
) -> None:
    stops = pings = faulted = 0
    for seed in range(RUNS):
        draw = random.Random(seed)
        target = TARGETS[seed % len(TARGETS)]
        unit, (answer, whole) = billing_unit(find_target(target)), undisturbed(target)
        run = CappedRun(virtual, tmp_path, target, idles=seed % 3 == 0)
        before = Taken(0, 0, 0.0)
        for part in range(PARTS):
            caps = drawn_caps(draw, whole, unit, 1.0 + part)
            try:
                found = run.go_on(caps, SOAK, seed=4 * seed + part)
            except CapReached:
                stops += 1
            except HybridloopError:
                faulted += 1
            else:
                assert found == answer, (seed, part)
            now = run.taken()
            check_within(now, caps, unit, before)
            before = now
        assert run.go_on(Caps(), []) == answer, seed
        pings += run.pings
        after = run.taken()
        assert run.meter.jobs >= after.jobs  # of some that failed before they were accepted the books know nothing
        assert run.meter.shots >= after.shots
        assert run.meter.billed.get(unit, 0.0) == pytest.approx(after.amount, abs=1e-5)
    assert stops >= RUNS / 3
    assert pings >= RUNS
    assert faulted >= RUNS / 10
