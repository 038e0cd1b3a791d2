"""H2 on every target that the local service simulates, and on invented ones, by the flow and by its parts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from qiskit import QuantumCircuit

import hybridloop as hl
from hybridloop.algorithms.problems.energy_units import CHEMICAL_ACCURACY
from hybridloop.azure.offered import find_offered_target
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError
from hybridloop.flows.algorithms import vqe
from hybridloop.flows.sweep import sweep
from hybridloop.flows.sweep_execution.spec import SweepSpec
from hybridloop.journal import open_journal
from hybridloop.local_stack import PrefectServer
from hybridloop.preparation import prepare
from hybridloop.reports.verify import verify_run
from hybridloop.results.result import RunResult
from hybridloop.runs.stored_run import load_run
from hybridloop.settings import ProblemText
from hybridloop.targets import known_targets
from tests.conftest import Emulator, running_emulator
from tests.flow_calls import call_flow
from tests.long_form import long_form, short_or_long
from tests.prefect_server import as_own_server
from tests.session_helpers import open_run_session

EXACT_H2 = -1.1373060357534004
INVENTED = "rigetti.qpu.lynx-1"
EXTRA = [
    {"id": INVENTED, "like": "rigetti.qpu.cepheus-1-108q", "states_facts": False},
    {"id": "quantinuum.sim.sol-1e", "like": "quantinuum.sim.helios-1e", "num_qubits": 150},
]
SIMULATED = sorted(name for name, target in known_targets().items() if not target.checks_only)
SHORT = ["ionq.simulator", "quantinuum.qpu.helios-1", "quantinuum.sim.helios-1e"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """Return a local service with targets that the table lacks."""
    file = tmp_path_factory.mktemp("targets") / "extra.json"
    file.write_text(json.dumps(EXTRA))
    with running_emulator("--extra-targets", str(file)) as running:
        yield running


# The noise of Aria shifts the energy by some 30 mHa at two entangling gates: three of these standard errors.
@long_form
@pytest.mark.parametrize("name", [*short_or_long(SHORT, SIMULATED), "quantinuum.sim.sol-1e"])
def test_h2_is_within_chemical_accuracy_or_three_standard_errors(name: str, wide: Emulator) -> None:
    wide.admin("targets", {name: {"availability": "Available"}})
    workspace = wide.workspace()
    settings = VqeSettings(target=name, seed=7, precision=0.012)
    prepared = prepare("vqe", ProblemText(name="h2"), settings, 7, target=find_offered_target(name, workspace))
    with open_run_session(workspace, prepared.target, seed=7) as session:
        outcome = prepared.algorithm.measure(session.run_round, lambda _: None)
    off = abs(outcome.value - EXACT_H2)
    assert off <= max(CHEMICAL_ACCURACY, 3.0 * (outcome.standard_error or 0.0)), f"{off:.4f} hartree off"


def test_an_invented_target_runs_h2_with_its_warnings_and_is_kept_where_it_is_gone(
    prefect_server: PrefectServer, wide: Emulator, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    def run(service: Emulator, max_jobs: int) -> RunResult:
        settings = VqeSettings(target=INVENTED, seed=7, precision=0.01, max_jobs=max_jobs)
        result: RunResult = call_flow(
            vqe, service.workspace("world"), ProblemText(name="h2"), settings, run_key="on-lynx"
        )
        return result

    stopped = run(wide, 1)
    assert stopped.status == "stopped"
    text = " ".join(caplog.messages)
    assert f"not known of {INVENTED}: its price (assumed: it bills in USD); its QIR profile (assumed: Base)" in text
    assert "nothing bounds the cost of this run" in text
    # a service without the target, in a workspace of the same name: the run stays as it is
    with pytest.raises(InputError, match=f"this workspace does not offer {INVENTED}"):
        run(emulator, 500)
    result = run(wide, 500)
    assert result.resumed
    assert result.value is not None
    assert abs(result.value - EXACT_H2) <= max(CHEMICAL_ACCURACY, 3.0 * (result.standard_error or 0.0))
    assert result.cost["USD"] > 0.0
    # without any service
    with open_journal() as journal:
        assert verify_run(load_run(journal, "on-lynx")).agrees


def test_a_sweep_and_a_session_flow_run_on_an_invented_target_and_warn_of_what_is_not_known(
    prefect_server: PrefectServer, wide: Emulator, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = wide.workspace("world-of-many")
    spec = SweepSpec(
        name="on-lynx",
        algorithm="qaoa",
        problems=("ring-8",),
        settings={"target": INVENTED, "seed": 7, "shots": 200},
        grid={"layers": [1, 2]},
        in_flight=1,
        deployment="none",
    )
    result = call_flow(sweep, workspace, spec)
    warnings = [text for text in caplog.messages if text.startswith("not known of")]
    assert [f"not known of {INVENTED}: its price" in text for text in warnings] == [True]  # one for both points
    assert "nothing bounds the cost of this run" in caplog.text
    caplog.clear()
    again = call_flow(sweep, workspace, spec)
    assert (dict(result.counts), result.rows) == ({"measured": 2}, again.rows)
    assert "not known of" not in caplog.text  # no point is left

    def flip(session: Any, rounds: int) -> list[dict[str, int]]:
        circuit = QuantumCircuit(1)
        circuit.x(0)
        circuit.measure_all()
        return [session.run(circuit, shots=20).counts for _ in range(rounds)]

    for name, value in as_own_server(prefect_server).items():
        monkeypatch.setenv(name, value)
    flow = hl.session_flow(INVENTED, seed=1, workspace=workspace)(flip)
    measured = flow(2, run_key="flips-on-lynx")
    assert f"not known of {INVENTED}: its price" in caplog.text
    assert measured == flow(2, run_key="flips-on-lynx")
    with open_journal() as journal:
        record = journal.run("flips-on-lynx")
    ledger = wide.admin(f"ledger?run={record.uid}")
    assert (record.status, record.target, ledger["jobs"], ledger["duplicates"]["count"]) == ("measured", INVENTED, 2, 0)
