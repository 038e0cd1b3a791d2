"""Bundles of real runs, each made once, for tests of reports, bundles and plots."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path
from typing import Any

from qiskit import QuantumCircuit

from hybridloop.emulator.client_clock import ServiceClock
from hybridloop.inputs.problems import read_scan
from hybridloop.journal import Journal, journal_url, open_journal
from hybridloop.journal.held_run import hold_run, new_run
from hybridloop.reports.bundle.archive import write_bundle
from hybridloop.runs.stored_run import load_run
from hybridloop.settings import ProblemText
from hybridloop.settings.keep_alive import KeepAliveMode, KeepAliveSettings
from hybridloop.settings.session_options import SessionOptions
from hybridloop.targets import Batching
from tests.conftest import Emulator, running_emulator
from tests.flow_calls import run_plainly
from tests.preparation_helpers import settings_for
from tests.session_helpers import open_run_session

COARSE = {"seed": 7, "precision": 0.005, "shots": 1000}
RUNS: dict[str, tuple[str, ProblemText, dict[str, Any]]] = {
    "vqe": ("vqe", ProblemText(name="h2"), COARSE | {"ansatz": "uccsd"}),
    "stopped": ("levels", ProblemText(name="h2"), {"seed": 7, "precision": 0.01, "max_jobs": 3}),
    "unbatched": ("vqe", ProblemText(name="h2"), COARSE | {"ansatz": "uccsd", "batching": "off"}),
    "scan": (
        "scan",
        read_scan(["h2-0.3", "h2", "h2-1.6"]),
        {**COARSE, "ansatz": "uccsd", "observables": "occupations", "observable_precision": 0.05},
    ),
    "qaoa": ("qaoa", ProblemText(name="petersen"), {"seed": 7}),
}
IDLE_S = 1500.0
KEYS = "keys.txt"
POINTS = 3


def write_bundles(emulator: Emulator, folder: Path) -> None:
    """Write a bundle of each of `RUNS`, and of a script's run that idled in virtual time: `idled-ping.zip`.

    `KEYS` has the keys of their services, which no bundle may have.
    """
    for name, (algorithm, problem, values) in RUNS.items():
        key = f"kept-{name}"
        run_plainly(algorithm, emulator.workspace(key), problem, settings_for(algorithm, values), key)
        with open_journal() as journal:
            write_bundle(load_run(journal, key), folder / f"{name}.zip")
    keys = [_idle(folder, mode) for mode in (KeepAliveMode.PING, KeepAliveMode.RENEW)]
    (folder / KEYS).write_text(" ".join([emulator.api_key, emulator.admin_key, *keys]))


def _idle(folder: Path, mode: KeepAliveMode) -> str:
    """Make a run of two rounds with 25 idle minutes between them: its session is pinged, or renewed.

    Return the service's key.
    """
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    with (
        running_emulator("--clock", "virtual") as service,
        ServiceClock(service.endpoint, service.admin_key) as clock,
        Journal(journal_url(folder / f"{mode}.db")) as journal,
    ):
        target = "rigetti.sim.qvm"
        service.admin("targets", {target: {"queue_s": 1.0}})
        begun = new_run(str(uuid.uuid4()), key=f"idled-{mode}", algorithm="session", problem="", target=target, seed=3)
        with hold_run(journal, journal.add_run(begun).uid) as run:
            with open_run_session(
                service.workspace(),
                options=SessionOptions(keep_alive=KeepAliveSettings(mode), batching=Batching.OFF),
                run=run,
                clock=clock,
            ) as session:
                sampler = session.sampler(shots=10)
                sampler.run([circuit] * POINTS).result()
                clock.wait(threading.Event(), IDLE_S)
                sampler.run([circuit]).result()
            journal.set_status(run.lease, "measured", "the script came to the end of its session")
        write_bundle(load_run(journal, f"idled-{mode}"), folder / f"idled-{mode}.zip")
        return service.api_key
