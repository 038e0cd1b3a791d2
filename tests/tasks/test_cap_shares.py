"""Runs under caps: they end with a value and its error bar, the same however often they are interrupted."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.estimation.sampling import Sampling
from hybridloop.algorithms.optimizers.rotosolve import Rotosolve
from hybridloop.algorithms.rounds import MeasuredPub
from hybridloop.algorithms.search import Search
from hybridloop.algorithms.vqe.claims import Claims
from hybridloop.algorithms.vqe.simulated_energy import SimulatedEnergy
from hybridloop.algorithms.vqe.vqe import VqeResult, vqe
from hybridloop.budget.caps import Caps
from hybridloop.emulator.client_clock import ServiceClock
from hybridloop.emulator.pytest_plugin import Emulator
from hybridloop.errors import CapReached
from hybridloop.journal import Journal, journal_url
from hybridloop.journal.held_run import hold_run, new_run
from hybridloop.settings import ProblemText
from hybridloop.settings.session_options import SessionOptions
from hybridloop.tasks.cap_shares import CapShares
from hybridloop.tasks.session import OpenSession
from tests.chaos.search_helpers import ISING, ansatz
from tests.preparation_helpers import prepared, settings_for
from tests.session_helpers import open_run_session

TARGET = "quantinuum.sim.h2-1e"  # whose prices have an upper bound
PRECISION = 0.01  # some 20,000 shots of two groups


class KilledError(Exception):
    """The process ends."""


class CappedRounds:
    """Rounds of a session within its caps, which end before or after a number of rounds."""

    def __init__(self, session: OpenSession, kill_at: float) -> None:
        self._shares, self._session, self._left = CapShares(session.rounds), session, kill_at
        self.share, self.larger_cap = self._shares.share, self._shares.larger_cap

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        pubs = self._shares.fitted(pubs)
        self._left -= 0.5
        if self._left < 0:
            raise KilledError
        measured = self._session.run_round(pubs)
        self._left -= 0.5
        if self._left < 0:
            raise KilledError
        return measured


class CappedRun:
    """A run of VQE that can be interrupted and resumed under other caps."""

    def __init__(self, service: Emulator, clock: ServiceClock, folder: Path) -> None:
        self.uid = str(uuid.uuid4())
        self.service, self.clock = service, clock
        self.url = journal_url(folder / f"{self.uid}.db")
        with Journal(self.url) as journal:
            journal.add_run(new_run(self.uid, key=self.uid, algorithm="x", problem="", target=TARGET, seed=3))

    def resume(
        self, caps: Caps, kill_at: float = 1e9, simulated: SimulatedEnergy | None = None, max_rounds: int = 6
    ) -> VqeResult:
        circuit = ansatz()
        optimizer = Rotosolve(circuit.initial_point, circuit.frequencies)
        with (
            Journal(self.url) as journal,
            hold_run(journal, self.uid, renew_every_s=0.2) as run,
            open_run_session(
                self.service.workspace(f"ws-{self.uid[:12]}"),
                TARGET,
                SessionOptions(caps=caps),
                run=run,
                clock=self.clock,
            ) as session,
        ):
            rounds = CappedRounds(session, kill_at)
            return vqe(
                ISING,
                circuit,
                Search(optimizer, max_rounds),
                rounds,
                sampling=Sampling(1000, PRECISION),
                claims=Claims(simulated),
            )

    @property
    def spent(self) -> dict[str, float]:
        ledger = self.service.admin(f"ledger?run={self.uid}")
        amount = sum(entry["price"] or 0.0 for entry in ledger["entries"])
        return {"jobs": ledger["jobs"], "shots": ledger["shots"], "eHQC": amount}


@pytest.fixture
def capped_run(service: Emulator, clock: ServiceClock, tmp_path: Path) -> CappedRun:
    return CappedRun(service, clock, tmp_path)


@pytest.mark.claim("a cap or the deadline is reached")
@pytest.mark.parametrize(
    ("caps", "name"),
    [
        (Caps(max_shots=12_000), "max_shots"),
        (Caps(max_jobs=16), "max_jobs"),
        (Caps(max_cost={"eHQC": 250.0}), "max_cost"),
        (Caps(max_shots=500), "max_shots"),
    ],
    ids=["shots", "jobs", "cost", "few-shots"],
)
def test_a_capped_run_ends_with_a_value_and_the_error_bar_that_the_cap_pays_for(
    capped_run: CappedRun, caps: Caps, name: str
) -> None:
    result = capped_run.resume(caps)
    assert not result.converged
    assert f"{name} leaves only the final measurement" in result.reason
    assert 0.0 < result.standard_error < 0.5
    assert result.is_precise == (result.standard_error <= PRECISION)
    if not result.is_precise:
        assert f"in place of 0.01; to extend it, raise {name}" in result.reason
    spent = capped_run.spent
    assert spent["jobs"] <= (caps.max_jobs or spent["jobs"])
    assert spent["shots"] <= (caps.max_shots or spent["shots"])
    assert spent["eHQC"] <= caps.max_cost.get("eHQC", spent["eHQC"])
    assert spent["shots"] == result.shots


def test_a_cap_below_a_minimal_final_measurement_is_reached_before_anything_is_spent(capped_run: CappedRun) -> None:
    for caps in (Caps(max_shots=15), Caps(max_jobs=1), Caps(max_cost={"eHQC": 5.0})):
        with pytest.raises(CapReached):
            capped_run.resume(caps)
    assert capped_run.spent["jobs"] == 0


@pytest.mark.parametrize(
    "simulated",
    [None, pytest.param(SimulatedEnergy(-5.0, 0.01, ""), marks=pytest.mark.slow)],
    ids=["measured", "simulated-far-below-so-that-a-search-follows"],
)
def test_a_capped_run_is_the_same_after_any_interruption(
    service: Emulator, clock: ServiceClock, tmp_path: Path, simulated: SimulatedEnergy | None
) -> None:
    caps = Caps(max_shots=28_000)
    whole = CappedRun(service, clock, tmp_path).resume(caps, simulated=simulated)
    assert not whole.is_precise
    killed = CappedRun(service, clock, tmp_path)
    kill_at, result = 0.5, None
    while result is None:
        try:
            result = killed.resume(caps, kill_at, simulated)
        except KilledError:
            kill_at += 0.5
    assert kill_at >= 4
    assert result == whole


def test_a_larger_cap_lets_an_interrupted_run_go_on(capped_run: CappedRun) -> None:
    whole = capped_run.resume(Caps(max_shots=12_000))
    final = next(round_.round for round_ in whole.history if round_.phase == "final")
    assert not whole.is_precise
    result = capped_run.resume(Caps(max_shots=200_000))
    assert result.is_precise
    assert result.history[:final] == whole.history[:final]
    assert capped_run.resume(Caps()).value == result.value


@pytest.mark.parametrize(("algorithm", "values"), [("adapt", {}), ("vqe", {"ansatz": "uccsd"})])
def test_a_molecule_has_a_value_within_a_cap(
    service: Emulator, clock: ServiceClock, algorithm: str, values: dict[str, Any]
) -> None:
    settings = settings_for(algorithm, {"precision": 0.0003, **values})
    search = prepared(algorithm, ProblemText(name="lih-3.0-cas22"), settings, 7)
    workspace, options = service.workspace(f"capped-{algorithm}"), SessionOptions(caps=Caps(max_shots=9_000))
    with open_run_session(workspace, "rigetti.sim.qvm", options, seed=7, clock=clock) as session:
        outcome = search.run(CappedRounds(session, 1e9))
        assert session.meter.shots <= 9_000
    assert not outcome.converged
    assert "in place of 0.0003; to extend it, raise max_shots to about" in outcome.reason
    assert 0.0003 < outcome.standard_error < 0.003
    assert abs(outcome.value + 7.71) < 0.1


@pytest.mark.parametrize(
    ("settings", "caps"),
    [
        ({}, Caps(max_jobs=3)),
        ({}, Caps(max_shots=600)),
        ({"layers": 1, "extend_to": 3, "max_rounds": 2}, Caps(max_jobs=4)),
    ],
    ids=["jobs", "fewer-shots-than-one-round", "layers"],
)
def test_a_graph_has_a_mean_within_a_cap(
    service: Emulator, clock: ServiceClock, settings: dict[str, Any], caps: Caps
) -> None:
    chosen = settings_for("qaoa", {"search": "measured", **settings})
    search = prepared("qaoa", ProblemText(name="petersen"), chosen, 7)
    workspace, options = service.workspace(f"capped-{uuid.uuid4()}"), SessionOptions(caps=caps)
    with open_run_session(workspace, "rigetti.sim.qvm", options, seed=7, clock=clock) as session:
        outcome = search.run(CappedRounds(session, 1e9))
        assert session.meter.shots <= (caps.max_shots or session.meter.shots)
        assert session.meter.jobs <= (caps.max_jobs or session.meter.jobs)
    assert not outcome.converged
    assert "leaves only the final measurement" in outcome.reason
    assert outcome.history[-1].phase == "final"
    assert 0.0 < outcome.standard_error < 0.2
    assert 9.0 < outcome.value < 12.0
