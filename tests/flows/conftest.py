"""Runs that were really made, each once: what reports, bundles and pictures are tested with."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qiskit import QuantumCircuit

from hybridloop import calls
from hybridloop.flows.bundles import read_bundle, write_bundle
from hybridloop.flows.catalog import FLOWS
from hybridloop.flows.context import called_with
from hybridloop.flows.kept import KeptRun, kept_in_journal
from hybridloop.flows.settings import ProblemText
from hybridloop.sessions.idle import KeepAliveMode
from hybridloop.sessions.journal import Journal, journal_url, open_journal
from hybridloop.sessions.keeping import Keeping
from hybridloop.sessions.run import claimed, new_run
from hybridloop.sessions.service_clock import ServiceClock
from hybridloop.sessions.session import open_session
from hybridloop.stack import PrefectServer
from hybridloop.user_input import read_scan
from tests.conftest import Emulator, running_emulator

COARSE = {"seed": 7, "precision": 0.005, "shots": 1000}
RUNS: dict[str, tuple[str, ProblemText, dict[str, Any]]] = {
    "vqe": ("vqe", ProblemText(name="h2"), COARSE),
    "stopped": ("vqe", ProblemText(name="h2"), {"seed": 7, "max_jobs": 10}),
    "scan": ("scan", read_scan(["h2-0.3", "h2", "h2-1.6"]), COARSE),
    "qaoa": ("qaoa", ProblemText(name="petersen"), {"seed": 7}),
}
IDLE_S = 1500.0
POINTS = 3


@pytest.fixture(scope="session")
def bundles(prefect_server: PrefectServer, emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle of each of `RUNS`, and of a script's run that idled in virtual time: `idled.zip`."""
    folder = tmp_path_factory.mktemp("bundles")
    for name, (algorithm, problem, values) in RUNS.items():
        key = f"kept-{name}"
        with called_with(emulator.workspace(key), None):
            FLOWS[algorithm](problem, calls.checked_settings(algorithm, values), key)
        with open_journal() as journal:
            write_bundle(kept_in_journal(journal, key), folder / f"{name}.zip")
    for mode in (KeepAliveMode.PING, KeepAliveMode.RENEW):
        _idle(folder, mode)
    return folder


@pytest.fixture
def kept(bundles: Path, request: pytest.FixtureRequest) -> KeptRun:
    """One of them, by its name: `@pytest.mark.parametrize("kept", ["vqe"], indirect=True)`."""
    return read_bundle(bundles / f"{request.param}.zip")[0]


@pytest.fixture
def vqe_run(bundles: Path) -> KeptRun:
    """The one of H2."""
    return read_bundle(bundles / "vqe.zip")[0]


@pytest.fixture
def own_journal(tmp_path: Path) -> Iterator[Journal]:
    """A journal with nothing in it."""
    with Journal(journal_url(tmp_path / "journal.db")) as journal:
        yield journal


def _idle(folder: Path, mode: KeepAliveMode) -> None:
    """A run of two rounds with 25 idle minutes between: its session is pinged, or renewed."""
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    with (
        running_emulator("--clock", "virtual", "--latency", "recorded") as service,
        ServiceClock(service.endpoint, service.admin_key) as clock,
        Journal(journal_url(folder / f"{mode}.db")) as journal,
    ):
        target = "rigetti.sim.qvm"
        begun = new_run(str(uuid.uuid4()), key=f"idled-{mode}", algorithm="session", problem="", target=target, seed=3)
        with claimed(journal, journal.add_run(begun).uid) as run:
            with open_session(service.workspace(), run=run, clock=clock, keeping=Keeping(mode)) as session:
                sampler = session.sampler(shots=10)
                sampler.run([circuit] * POINTS).result()
                clock.wait(threading.Event(), IDLE_S)
                sampler.run([circuit]).result()
            journal.set_status(run.lease, "finished", "the script came to the end of its session")
        write_bundle(kept_in_journal(journal, f"idled-{mode}"), folder / f"idled-{mode}.zip")
