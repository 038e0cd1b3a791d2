"""VQE flow on a real Prefect server and a real service: result, tasks, session, and the end after errors."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State, TaskRun
from prefect.exceptions import ParameterTypeError

import hybridloop as hl
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError, ServiceError
from hybridloop.flows.algorithms import vqe
from hybridloop.journal import open_journal
from hybridloop.local_stack import PrefectServer
from hybridloop.reports.verify import verify_run
from hybridloop.results.live import RoundUpdate
from hybridloop.results.result import RunResult
from hybridloop.runs.stored_run import load_run
from hybridloop.runtime.clock import RealClock
from hybridloop.settings import MitigationName, ProblemText, SearchName
from tests.conftest import Emulator
from tests.flow_calls import call_flow, run_plainly
from tests.prefect_server import prefect_client
from tests.waiting import eventually

EXACT_H2 = -1.1373060357534004
H2 = ProblemText(name="h2")


def run(workspace: Any, settings: VqeSettings, on_progress: Callable[[RoundUpdate], None] | None = None) -> RunResult:
    """Run the algorithm for H2 on the plain host, in the workspace."""
    return run_plainly("vqe", workspace, H2, settings, on_progress=on_progress)


@pytest.fixture(autouse=True)
def _in_the_own_journal(own_journal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use it in the tests with Prefect, too, which set another one."""
    monkeypatch.setenv("HYBRIDLOOP_JOURNAL", own_journal)


def task_names(server: PrefectServer, state: State[RunResult]) -> list[str]:
    """Return the names of the run's tasks by start, once the server has the last: it receives them as events."""
    flow_run = FlowRunFilter(id=FlowRunFilterId(any_=[_flow_run_id(state)]))
    with prefect_client(server) as client:

        def all_are_there() -> bool:
            tasks = client.read_task_runs(flow_run_filter=flow_run)
            return any(task.name.startswith("close session") and task.state_name == "Completed" for task in tasks)

        eventually(all_are_there)
        tasks = client.read_task_runs(flow_run_filter=flow_run)
    assert {task.state_name for task in tasks} == {"Completed"}
    return [task.name for task in sorted(tasks, key=_start)]


def _start(task: TaskRun) -> datetime:
    assert task.start_time is not None
    return task.start_time


def _flow_run_id(state: State[Any]) -> UUID:
    assert state.state_details.flow_run_id is not None
    return state.state_details.flow_run_id


@pytest.fixture(scope="module")
def sampled(own_journal: str, emulator: Emulator) -> RunResult:
    """Return one run with seed 7 on the default target, which samples."""
    return run(emulator.workspace("sampled"), VqeSettings(seed=7))


@pytest.mark.claim(
    "passes the counts to the optimizer",
    "so you need no account",
    "until it reaches the standard error that you set",
    "computes the ground state of H2",
)
def test_the_energy_has_the_requested_precision_and_agrees_with_the_exact_one(sampled: RunResult) -> None:
    assert sampled.value is not None
    assert sampled.standard_error is not None
    assert sampled.standard_error <= 0.7e-3
    assert abs(sampled.value - EXACT_H2) <= min(1.6e-3, 3 * sampled.standard_error)
    assert sampled.exact == pytest.approx(EXACT_H2, abs=1e-9)
    assert (sampled.status, sampled.is_exact) == ("converged", False)
    assert len(sampled.history) == sampled.rounds
    asked = sampled.history[-1].total_shots  # the jobs of many points have whole sets of shots
    assert asked <= sampled.shots <= 1.05 * asked


@pytest.mark.claim("A run opens one session")
def test_the_session_is_closed_and_the_service_knows_as_many_jobs(sampled: RunResult, emulator: Emulator) -> None:
    (session,) = emulator.workspace("sampled").list_sessions()
    assert [(record.id, record.status) for record in sampled.sessions] == [(session.id, "Succeeded")]
    assert session.details.status == "Succeeded"
    jobs = emulator.workspace("sampled").list_session_jobs(session_id=session.id)
    assert len(jobs) == sampled.jobs == sampled.sessions[0].jobs


@pytest.mark.claim("as Prefect flows")
def test_prefect_shows_a_run_by_its_problem_and_rounds_and_takes_the_plain_values_of_a_deployment(
    sampled: RunResult, prefect_server: PrefectServer, emulator: Emulator
) -> None:
    parameters: dict[str, Any] = {"problem": {"name": "h2"}, "settings": {"seed": 7, "mapping": "parity"}}
    state: State[RunResult] = call_flow(vqe, emulator.workspace(), **parameters, return_state=True)
    result = state.result()
    assert result.value == sampled.value
    opening, *rounds, closing = task_names(prefect_server, state)
    assert opening == "open a session on rigetti.sim.qvm"
    assert [name.partition(":")[0] for name in rounds] == [f"round {i + 1}" for i in range(result.rounds)]
    assert closing == f"close session {result.sessions[0].id}"
    with prefect_client(prefect_server) as client:
        flow_run = client.read_flow_run(_flow_run_id(state))
    assert (flow_run.name, flow_run.state_name) == (result.run_key, "Completed")


def test_the_stored_result_is_read_by_its_key(sampled: RunResult) -> None:
    assert hl.result(sampled.run_key).to_json() == sampled.to_json()
    with pytest.raises(InputError, match="no run"):
        hl.result("of-nobody")


def test_the_same_seed_gives_the_same_answer_and_every_round_is_reported(
    sampled: RunResult, emulator: Emulator
) -> None:
    updates: list[RoundUpdate] = []
    again = run(emulator.workspace(), VqeSettings(seed=7), updates.append)
    assert (again.value, again.standard_error, again.parameters) == (
        sampled.value,
        sampled.standard_error,
        sampled.parameters,
    )
    assert again.history == sampled.history == tuple(update.progress for update in updates)
    assert [update.jobs for update in updates][-1] == again.jobs
    assert {update.session_id for update in updates} == {again.sessions[0].id} != {sampled.sessions[0].id}


def test_a_target_that_does_not_sample_gives_an_exact_value_and_the_bound_of_its_rounding(emulator: Emulator) -> None:
    result = run(emulator.workspace(), VqeSettings(seed=7, target="ionq.simulator"))
    assert result.is_exact
    assert result.value is not None
    assert result.standard_error == 0.0
    assert 0.0 < result.rounding_bound <= 0.7e-3
    assert (
        abs(result.value - EXACT_H2) <= result.rounding_bound + 1e-6
    )  # 1e-6: the distance from the minimum is no error


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"shotz": 100}, "settings.shotz"),
        ({"ansatz": "uccs"}, "settings.ansatz"),
    ],
)
def test_invalid_parameters_are_refused_with_the_fields_name(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ParameterTypeError, match=complaint):
        vqe.validate_parameters({"problem": {"name": "h2"}, "settings": settings})  # as the engine does before the body


def test_a_flow_run_without_a_workspace_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_QUANTUM_CONNECTION_STRING", raising=False)
    with pytest.raises(InputError, match="AZURE_QUANTUM_CONNECTION_STRING"):
        vqe.fn(H2, VqeSettings(), None, None)  # its body, as the engine calls it


def test_a_run_whose_service_dies_ends_failed_with_an_error_of_the_service(
    start_emulator: Callable[..., Emulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = start_emulator()
    died = threading.Event()

    def in_haste(_: RealClock, event: threading.Event, seconds: float) -> bool:
        return event.wait(seconds / 100)

    def kill_service(_: RoundUpdate) -> None:
        if not died.is_set():
            emulator.stop(signal.SIGKILL)
            died.set()
            monkeypatch.setattr(RealClock, "wait", in_haste)  # calls during a run are repeated for 40 s

    of_two_rounds = VqeSettings(seed=7, search=SearchName.MEASURED)
    with pytest.raises(ServiceError, match=r"127\.0\.0\.1"):
        run_plainly("vqe", emulator.workspace(), H2, of_two_rounds, "service-dies", kill_service)
    assert died.is_set()
    with open_journal() as journal:
        assert journal.run("service-dies").status == "failed"


NOISY = "quantinuum.sim.h2-1e"


def test_a_mitigated_run_counts_its_calibration_and_verifies(emulator: Emulator) -> None:
    names = (MitigationName.READOUT, MitigationName.ZNE_LINEAR)
    result = run(emulator.workspace(), VqeSettings(seed=7, precision=5e-3, target=NOISY, mitigation=names))
    assert result.value is not None
    assert result.standard_error is not None
    (spread,) = (source.amount for source in result.error_budget if source.source == "extrapolation")
    assert spread is not None
    assert abs(result.value - EXACT_H2) < 4 * result.standard_error + spread
    with open_journal() as journal:
        record = journal.run(result.run_key)
        assert len(list(journal.rounds(record.uid))) == result.rounds
        assert verify_run(load_run(journal, record.key)).agrees
