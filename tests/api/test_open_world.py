"""Targets that the table lacks: what the workspace offers runs, with warnings for what is not known of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from azure.quantum import Workspace
from qiskit import QuantumCircuit

import hybridloop as hl
from hybridloop.api.environment import find_target_in
from hybridloop.azure.offered import find_offered_target
from hybridloop.azure.workspace import connection_string_of
from hybridloop.budget.unknown_facts import list_targets, unknown_facts
from hybridloop.errors import CapReached, InputError
from hybridloop.targets import find_target, recorded_target
from tests.circuit_helpers import bell
from tests.conftest import Emulator, running_emulator
from tests.session_helpers import open_run_session

pytestmark = pytest.mark.usefixtures("own_journal")

MACHINE, SILENT, CHECKER = "ionq.qpu.tempo-1", "rigetti.qpu.lynx-1", "quantinuum.sim.sol-1sc"
EXTRA = [
    {"id": "ionq.qpu.Tempo-1", "like": "ionq.qpu.forte-1", "num_qubits": 64, "profile": "Adaptive_RI"},
    {"id": SILENT, "like": "rigetti.qpu.cepheus-1-108q", "states_facts": False},
    {"id": CHECKER, "like": "quantinuum.sim.h2-1sc"},
]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """Return a local service with targets that the table lacks."""
    file = tmp_path_factory.mktemp("targets") / "extra.json"
    file.write_text(json.dumps(EXTRA))
    with running_emulator("--extra-targets", str(file)) as running:
        yield running


@pytest.fixture
def workspace(wide: Emulator) -> Workspace:
    return wide.workspace()


def test_a_target_of_the_workspace_has_what_its_status_and_its_provider_state(workspace: Workspace) -> None:
    machine = find_offered_target("IonQ.QPU.Tempo-1", workspace)
    assert (machine.name, machine.provider, machine.qubits, machine.profile) == (MACHINE, "ionq", 64, "Adaptive_RI")
    assert machine.debiases
    assert unknown_facts(machine) == ("price", "max_shots")
    silent = find_offered_target(SILENT, workspace)
    assert (silent.qubits, silent.profile, silent.parameter_sets, silent.is_noisy) == (None, "Base", True, True)
    assert unknown_facts(silent) == ("price", "qubits", "profile", "max_shots")
    assert find_offered_target(CHECKER, workspace).checks_only
    rows = {row["target"]: row for row in list_targets(workspace)}
    assert (rows[MACHINE]["qubits"], rows[MACHINE]["unknown"]) == (64, ["price", "max_shots"])
    assert rows["quantinuum.qpu.helios-1"]["unknown"] == ["price"]
    assert rows["rigetti.sim.qvm"]["unknown"] == []


def test_a_limit_takes_a_target_that_the_workspace_alone_offers(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_QUANTUM_CONNECTION_STRING", connection_string_of(workspace))
    assert hl.set_limit("new", "5USD", target="IonQ.QPU.Tempo-1").limit.scope == {"target": MACHINE}
    with pytest.raises(InputError, match=r"target: 'ionq\.qpu\.tempo-2' .*Did you mean"):
        hl.set_limit("new", "5USD", target="ionq.qpu.tempo-2")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("rigetti.sim.qmv", r"not a known target, and this workspace does not offer it.*'rigetti\.sim\.qvm'"),
        ("pasqal.sim.emu-mps", "takes pulse sequences, and hybridloop runs programs of gates"),
        ("microsoft.estimator", "resources it estimates"),
        ("acme.qpu.one", "not a known target"),
    ],
)
def test_a_target_that_nobody_offers_or_that_takes_no_gates_is_refused_in_words(
    workspace: Workspace, name: str, problem: str
) -> None:
    for refuse in (
        lambda: find_target_in(workspace, name),
        lambda: hl.plan("vqe", "h2", target=name, workspace=workspace),
        lambda: hl.vqe("h2", target=name, workspace=workspace),
        lambda: open_run_session(workspace, name).__enter__(),
        lambda: hl.open_session(name, workspace=workspace).__enter__(),
    ):
        with pytest.raises(InputError, match=problem):
            refuse()


def test_the_workspace_is_not_looked_up_for_a_known_name_or_an_unknown_provider() -> None:
    nothing = object()  # a request to it would fail
    assert find_target_in(nothing, "IonQ.Simulator").name == "ionq.simulator"
    with pytest.raises(InputError, match="not a known target"):
        find_target_in(nothing, "acme.qpu.one")


def test_a_plan_of_an_unknown_target_says_what_is_not_known(workspace: Workspace) -> None:
    asked: dict[str, Any] = {"target": SILENT, "workspace": workspace}
    path = [(0, 1), (1, 2)]
    plan = hl.plan("qaoa", path, **asked, compare=[MACHINE])
    warnings = " ".join(plan.warnings)
    assert f"not known of {SILENT}: its price (assumed: it bills in USD)" in warnings
    assert "its QIR profile (assumed: Base)" in warnings
    assert "number of qubits" in warnings
    assert "state it with max_cost_per_job" in warnings
    assert (plan.cost.expected, plan.cost.upper, plan.state) == (None, None, "Available")
    assert "price      unknown, in USD" in str(plan)
    (row,) = plan.comparison
    assert (row.target, row.expected, row.note) == (MACHINE, None, "")
    capped = hl.plan("qaoa", path, **asked, max_cost="9USD", max_cost_per_job="3USD")
    assert capped.cost.upper == 3.0
    assert "refused" not in " ".join(capped.warnings)
    refused = hl.plan("qaoa", path, **asked, max_cost="9USD")
    assert "max_cost_per_job: the maximum price" in " ".join(refused.warnings)


def test_a_session_on_an_unknown_target_warns_at_its_start_and_keeps_its_caps(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    with hl.open_session(SILENT, workspace=workspace, seed=1) as session:
        started = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert any(text.startswith(f"not known of {SILENT}: its price") for text in started)
        assert any(text.startswith("nothing bounds the cost of this run") for text in started)
        assert session.run(bell(), shots=100).result().get_counts().keys() <= {"00", "11"}
    assert dict(session.meter.billed) == {"USD": pytest.approx(0.04)}
    assert session.meter.estimated == {}
    caplog.clear()
    with pytest.raises(CapReached, match="2 USD is the cap"):
        with hl.open_session(SILENT, workspace=workspace, max_cost="2USD", max_cost_per_job="1.5USD") as session:
            session.run([bell(), bell()], shots=100)
    assert "nothing bounds" not in caplog.text
    with pytest.raises(InputError, match="max_cost_per_job"):
        hl.open_session(SILENT, workspace=workspace, max_cost="2USD").__enter__()
    with pytest.raises(InputError, match=r"70 qubits, ionq\.qpu\.tempo-1 has 64"):
        with hl.open_session(MACHINE, workspace=workspace, max_jobs=1, debias=False) as session:
            session.run(QuantumCircuit(70, 1), shots=10)


def test_a_run_whose_target_is_gone_is_known_by_its_name() -> None:
    gone = recorded_target("rigetti.qpu.cepheus-1-36q")
    assert (gone.provider, gone.qubits, gone.parameter_sets, gone.batches) == ("rigetti", None, True, False)
    assert recorded_target("acme.qpu.one").provider == "acme"
    assert recorded_target("ionq.simulator") == find_target("ionq.simulator")
