"""Runs under caps on a service of which a tenth of the calls fails: no cap is exceeded, and all runs resume.

In virtual time. Some runs idle between rounds until their sessions are pinged; pings count towards caps.
"""

from __future__ import annotations

import math
import random
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hybridloop.algorithms.optimizers.scipy import ScipyOptimizer
from hybridloop.algorithms.rounds import RunRound
from hybridloop.budget.caps import Caps
from hybridloop.budget.cost_summary import CostSummary
from hybridloop.emulator.client_clock import ServiceClock
from hybridloop.emulator.pytest_plugin import Emulator
from hybridloop.errors import CapReached, HybridloopError
from hybridloop.journal import Journal, journal_url
from hybridloop.journal.held_run import hold_run, new_run
from hybridloop.settings.keep_alive import KeepAliveMode, KeepAliveSettings
from hybridloop.settings.session_options import SessionOptions
from hybridloop.targets import find_target
from hybridloop.targets.prices import Unit, billing_unit
from tests.chaos.process_helpers import SEED
from tests.chaos.search_helpers import Answer, ansatz, eigensolver
from tests.chaos.test_service_faults import SOAK
from tests.long_form import long_form, short_or_long
from tests.session_helpers import open_run_session

POINTS = 6  # COBYLA's first points; the final measurement is one more
RUNS = short_or_long(10, 100)
PARTS = short_or_long(1, 4)  # resumes under caps and faults before one without
IDLE_S = 700.0  # longer than the idle limit of a session
# a tenth of the runs end by this fault: which others end a run depends on the order of its threads, too
REFUSED = {"fault": "unauthorized", "operation": "submit", "nth": 1}
REFUSED_RUN = 4
MAX_COST_PER_JOB: Mapping[str, float] = {"USD": 250.0}  # for prices without an upper bound
TARGETS = ("rigetti.sim.qvm", "quantinuum.sim.h2-1e", "ionq.qpu.forte-1", "rigetti.qpu.cepheus-1-108q")


@dataclass(frozen=True, slots=True)
class RunUsage:
    """Jobs, shots and cost of a run in the service's ledger."""

    jobs: int
    shots: int
    amount: float


class CappedRun:
    """One small search that is started and resumed under caps."""

    def __init__(self, service: Emulator, folder: Path, target: str, *, idles: bool) -> None:
        self.service, self.target, self.idles = service, target, idles
        self.uid = str(uuid.uuid4())
        self.url = journal_url(folder / f"{self.uid}.db")
        self.meter, self.pings = CostSummary(), 0
        with Journal(self.url) as journal:
            journal.add_run(new_run(self.uid, key=self.uid, algorithm="x", problem="", target=target, seed=SEED))

    def resume(self, caps: Caps, faults: list[dict[str, Any]], *, seed: int = 0) -> Answer:
        """Resume the run; return its answer or raise its error."""
        self.service.admin("faults", {"rules": faults, "seed": seed})
        keep_alive = KeepAliveSettings(KeepAliveMode.PING if self.idles else KeepAliveMode.AUTO)
        try:
            with (
                ServiceClock(self.service.endpoint, self.service.admin_key) as clock,
                Journal(self.url) as journal,
                hold_run(journal, self.uid, renew_every_s=0.2) as run,
                open_run_session(
                    self.service.workspace(f"ws-{self.uid[:12]}"),
                    self.target,
                    SessionOptions(caps=caps, keep_alive=keep_alive),
                    run=run,
                    clock=clock,
                ) as session,
            ):
                try:
                    search = ScipyOptimizer(ansatz().initial_point, tolerance_rad=1e-6, max_evaluations=POINTS)
                    return eigensolver(self._with_idle_time(session.run_round, clock), search)
                finally:
                    self.meter, self.pings = session.meter, session.pings
        finally:
            self.service.admin("faults", {"rules": [], "seed": 0})

    def _with_idle_time(self, run_round: RunRound, clock: ServiceClock) -> RunRound:
        def measured(pubs: Any, /) -> Any:
            answer = run_round(pubs)
            if self.idles:
                clock.wait(threading.Event(), IDLE_S)
            return answer

        return measured

    def usage(self) -> RunUsage:
        ledger = self.service.admin(f"ledger?run={self.uid}")
        assert ledger["duplicates"]["count"] == 0
        return RunUsage(
            ledger["jobs"], ledger["shots"], math.fsum(entry["price"] or 0.0 for entry in ledger["entries"])
        )


@pytest.fixture(scope="module")
def virtual(azure_quantum_emulator: Emulator) -> Emulator:
    return azure_quantum_emulator


@pytest.fixture(scope="module")
def undisturbed(
    virtual: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Answer, RunUsage]]:
    """Return a function that gives a target's answer and usage without faults or caps."""
    known: dict[str, tuple[Answer, RunUsage]] = {}

    def of(target: str) -> tuple[Answer, RunUsage]:
        if target not in known:
            run = CappedRun(virtual, tmp_path_factory.mktemp("undisturbed"), target, idles=False)
            answer = run.resume(Caps(), [])
            known[target] = answer, run.usage()
        return known[target]

    return of


def drawn_caps(draw: random.Random, whole: RunUsage, unit: Unit, times: float) -> Caps:
    """Draw one to three caps: a random share of the run's usage, times a factor that grows with each resume."""
    chosen = draw.sample(["jobs", "shots", "cost"], draw.randint(1, 3))
    share = {name: times * draw.uniform(0.1, 1.3) for name in chosen}
    max_cost = {unit: share["cost"] * whole.amount} if "cost" in share and whole.amount else {}
    return Caps(
        max_jobs=max(1, round(share["jobs"] * whole.jobs)) if "jobs" in share else None,
        max_shots=max(1, round(share["shots"] * whole.shots)) if "shots" in share else None,
        max_cost=max_cost,
        max_cost_per_job={unit: MAX_COST_PER_JOB[unit]} if unit in MAX_COST_PER_JOB else {},
    )


def check_within(usage: RunUsage, caps: Caps, unit: Unit, before: RunUsage) -> None:
    """Assert that no amount is above its cap, unless it was before: each resume has other caps."""
    for name, cap, now, then in (
        ("jobs", caps.max_jobs, usage.jobs, before.jobs),
        ("shots", caps.max_shots, usage.shots, before.shots),
        ("cost", caps.max_cost.get(unit), usage.amount, before.amount),
    ):
        assert cap is None or now <= max(cap * (1 + 1e-9), then), (name, cap, now)


@long_form
@pytest.mark.slow
def test_the_ledger_never_exceeds_a_cap_and_every_stopped_run_resumes(
    virtual: Emulator, tmp_path: Path, undisturbed: Callable[[str], tuple[Answer, RunUsage]]
) -> None:
    stops = pings = faulted = 0
    for seed in range(3 * RUNS):
        if seed >= RUNS and stops >= RUNS / 3 and pings >= RUNS and faulted >= RUNS / 10:
            break  # which calls the faults strike, before a cap or in place of it, depends on the order of threads
        draw = random.Random(seed)
        target = TARGETS[seed % len(TARGETS)]
        unit, (answer, whole) = billing_unit(find_target(target)), undisturbed(target)
        run = CappedRun(virtual, tmp_path, target, idles=seed % 3 == 0)
        before = RunUsage(0, 0, 0.0)
        for part in range(PARTS):
            caps = drawn_caps(draw, whole, unit, 1.0 + part)
            try:
                faults = [REFUSED, *SOAK] if seed % 10 == REFUSED_RUN and part == 0 else SOAK
                outcome = run.resume(caps, faults, seed=4 * seed + part)
            except CapReached:
                stops += 1
            except HybridloopError:
                faulted += 1
            else:
                assert outcome == answer, (seed, part)
            now = run.usage()
            check_within(now, caps, unit, before)
            before = now
        assert run.resume(Caps(), []) == answer, seed
        pings += run.pings
        after = run.usage()
        assert run.meter.jobs >= after.jobs  # the ledger lacks jobs that failed before they were accepted
        assert run.meter.shots >= after.shots
        assert run.meter.billed.get(unit, 0.0) == pytest.approx(after.amount, abs=1e-5)
    assert stops >= RUNS / 3
    assert pings >= RUNS
    assert faulted >= RUNS / 10
