"""Provider options of runs in flows: result, report, verification and resume; and of a user's own flow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from qiskit import QuantumCircuit

import hybridloop as hl
from hybridloop.descriptions.qaoa import QaoaSettings
from hybridloop.errors import InputError, JobFailed
from hybridloop.flows.algorithms import qaoa
from hybridloop.journal import Journal, journal_url, open_journal
from hybridloop.local_stack import PrefectServer
from hybridloop.reports.content import report_content
from hybridloop.reports.verify import verify_run
from hybridloop.runs.stored_run import load_run
from hybridloop.settings import ProblemText
from tests.conftest import Emulator
from tests.flow_calls import call_flow

pytestmark = pytest.mark.slow
TARGET, RING = "ionq.simulator", ProblemText(name="ring-8")


@pytest.fixture
def journal(prefect_server: PrefectServer, stack_environ: Mapping[str, str], tmp_path: Path) -> Iterator[Journal]:
    """Return the test's own journal, in the environment of the shared stack."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**stack_environ, "HYBRIDLOOP_JOURNAL": journal_url(tmp_path / "journal.db")}.items():
            patch.setenv(name, value)
        with open_journal() as kept:
            yield kept


@pytest.fixture
def workspace(journal: Journal, emulator: Emulator) -> Any:
    return emulator.workspace()


def test_a_run_keeps_its_options_and_its_record_has_them(workspace: Any, journal: Journal) -> None:
    def run(**options: Any) -> Any:
        settings = QaoaSettings(target=TARGET, seed=1, shots=500, **options)
        return call_flow(qaoa, workspace, RING, settings, "noisy")

    noise = {"noise": {"model": "harmony", "seed": 2}}
    result = run(provider_options=noise)
    assert (result.is_exact, result.standard_error > 0) == (False, True)
    assert result.provider_options == noise
    shown = "ionq.simulator with noise.model=harmony, noise.seed=2"
    assert f"cost 0.00 USD (local: not billed) on {shown}" in " ".join(str(result).split())
    stored = load_run(journal, "noisy")
    assert report_content(stored).target == shown
    assert verify_run(stored).agrees
    (job,) = workspace.list_jobs()
    assert job.details.input_params["noise"]["model"] == "harmony"
    for options, field in (({"noise": {"model": "aria-1", "seed": 2}}, "model"), ({"noise.model": "harmony"}, "seed")):
        with pytest.raises(
            InputError, match=rf"provider_options\.noise\.{field}: run 'noisy' was started with another"
        ):
            run(provider_options=options)
    again = run(provider_options={"noise.model": "harmony", "noise.seed": 2})
    assert again.value == result.value


def test_a_users_flow_has_options_of_its_own(workspace: Any, journal: Journal) -> None:
    def flow(**options: Any) -> Any:
        @hl.session_flow(target=TARGET, seed=3, workspace=workspace, **options)
        def measure(session: Any) -> Mapping[str, int]:
            circuit = QuantumCircuit(2, 2)
            circuit.rxx(1.0, 0, 1)
            circuit.measure([0, 1], [0, 1])
            counts: Mapping[str, int] = session.run(circuit, shots=2000).counts
            return dict(counts)

        return measure

    noisy = flow(provider_options={"noise.model": "harmony"})
    counts = noisy(run_key="mine")
    assert set(counts) == {"00", "01", "10", "11"}
    assert noisy(run_key="mine") == counts
    with pytest.raises(InputError, match=r"noise\.model: run 'mine' was started with another value"):
        flow(provider_options={"noise.model": "aria-2"})(run_key="mine")
    assert set(flow()(run_key="exact")) == {"00", "11"}
    with pytest.raises(InputError, match=r"skipQuilc: ionq\.simulator has no such option"):
        flow(provider_options={"skipQuilc": True})()
    assert report_content(load_run(journal, "mine")).target == "ionq.simulator with noise.model=harmony"


def test_priority_and_tags_go_into_every_job_and_pings_and_a_resume_may_change_them(
    workspace: Any, journal: Journal, emulator: Emulator
) -> None:
    asked = {
        "target": TARGET,
        "seed": 1,
        "shots": 500,
        "search": "measured",
        "max_rounds": 2,
        "tags": "project=x, night",
    }
    emulator.admin("faults", {"rules": [{"fault": "job-fails", "code": "InvalidInputData", "nth": 2}]})
    try:
        with pytest.raises(JobFailed):
            call_flow(qaoa, workspace, RING, QaoaSettings.model_validate(asked), "tagged")
    finally:
        emulator.admin("faults", {"rules": []})
    raised = QaoaSettings.model_validate({**asked, "priority": "high"})
    assert call_flow(qaoa, workspace, RING, raised, "tagged").resumed
    labels = {(job.details.priority, tuple(job.details.tags or ())) for job in workspace.list_jobs()}
    assert labels == {(None, ("project=x", "night")), ("High", ("project=x", "night"))}
    with hl.open_session(
        TARGET, workspace=workspace, keep_alive="ping", priority="standard", tags=["pinged"]
    ) as session:
        session.ping()
    (ping,) = (job.details for job in workspace.list_jobs() if job.details.tags == ["pinged"])
    assert ping.priority == "Standard"
    with pytest.raises(InputError, match="priority must be 'standard' or 'high'"):
        hl.open_session(TARGET, workspace=workspace, priority="urgent").__enter__()


def test_options_for_general_two_qubit_gates_reach_quantinuum(workspace: Any, journal: Journal) -> None:
    circuit = QuantumCircuit(2)
    circuit.rzz(0.3, 0, 1)
    circuit.measure_all()
    options = {"nativetq": "Rxxyyzz", "noreduce": True}
    with hl.open_session("quantinuum.sim.h2-1e", workspace=workspace, provider_options=options) as session:
        session.sampler(shots=10).run([circuit]).result()
    (job,) = workspace.list_jobs()
    assert job.details.input_params | options == job.details.input_params
