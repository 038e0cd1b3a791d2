"""The run of a request: found by key or by flow run, with which settings; held by one; what a resume may change."""

from __future__ import annotations

import logging
import re
import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import TerminationSignal
from prefect.states import Crashed

from hybridloop.azure.listing import list_sessions
from hybridloop.azure.workspace import connection_string_of, identity_of
from hybridloop.data.states import Who
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import (
    AccessDenied,
    CapReached,
    HybridloopError,
    InputError,
    InvalidValue,
    RunBusy,
    RunParked,
    RunStopped,
    ServiceBusy,
    StopRequested,
)
from hybridloop.flows.algorithms import vqe
from hybridloop.flows.in_prefect.hooks import SECOND_REPORT, close_open_session
from hybridloop.journal import Job, Journal, journal_url, open_journal
from hybridloop.results.result import RunResult
from hybridloop.results.statuses import status_after
from hybridloop.runs.hold import write_end
from hybridloop.runs.order import RunOrder, algorithm_order
from hybridloop.runs.recorded import settings_of
from hybridloop.runs.run import find_run, run_of_key
from hybridloop.runtime.signals import STORED_END
from hybridloop.runtime.workspace_variables import CONNECTION_VARIABLE
from hybridloop.settings import ProblemText, RunSettings
from hybridloop.settings.energies import GroupingName
from tests.conftest import Died, Emulator
from tests.journal.journal_helpers import BODY, PROGRAM, pub
from tests.result_helpers import a_result
from tests.runs.holding_helpers import hold, hold_found
from tests.session_helpers import open_run_session

H2 = ProblemText(name="h2")
HERE = {"subscription": "s", "resource_group": "g", "name": "here", "host": "127.0.0.1"}
ALGORITHMS = VqeSettings(seed=7, max_jobs=10)


def wanted(settings: RunSettings = ALGORITHMS, **changed: Any) -> RunOrder:
    given = {"algorithm": "vqe", "problem": H2, "workspace": HERE, "run_key": "k", **changed}
    return algorithm_order(settings=settings, **given)


@pytest.fixture
def begun(journal: Journal) -> Journal:
    """A journal with a started run `k`."""
    with hold(journal, wanted()):
        return journal


def test_a_new_run_has_a_key_of_its_problem_and_a_seed(journal: Journal) -> None:
    request = wanted(VqeSettings(), run_key=None, problem=ProblemText(name="a b/c", text="&FCI"))
    found = find_run(journal, request)
    assert not found.record.is_stored
    with hold_found(journal, found) as run:
        assert run.record.key == f"vqe-a-b-c-{run.uid[:8]}"
        assert run.seed == found.record.seed == run.record.settings["settings"]["seed"]
        assert journal.run(run.uid).status == "running"


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"settings": ALGORITHMS.model_copy(update={"shots": 17})}, "shots"),
        ({"settings": ALGORITHMS.model_copy(update={"seed": 8})}, "seed"),
        ({"settings": ALGORITHMS.model_copy(update={"grouping": GroupingName.FULLY_COMMUTING})}, "grouping"),
        ({"settings": VqeSettings.model_validate({"failure": {"retries": 5}})}, "failure.retries"),
        ({"problem": ProblemText(name="lih-3.0-cas22")}, "problem"),
        ({"workspace": {**HERE, "name": "there"}}, "workspace"),
        ({"algorithm": "qaoa"}, "algorithm"),
    ],
)
def test_a_key_with_other_settings_is_refused_and_the_first_that_differs_named(
    changed: dict[str, Any], field: str, begun: Journal
) -> None:
    with pytest.raises(InputError, match=r"was started with another value\. Nothing was submitted\.") as refusal:
        find_run(begun, wanted(**changed))
    assert refusal.value.field == field


def test_a_seed_that_is_left_out_is_that_of_the_run(begun: Journal) -> None:
    assert find_run(begun, wanted(VqeSettings())).record.seed == 7


def test_limits_may_be_others_and_the_last_ones_given_are_kept(begun: Journal) -> None:
    with hold(begun, wanted(VqeSettings(max_jobs=20, deadline=60.0))):
        pass
    again = find_run(begun, wanted(VqeSettings())).settings
    assert again == VqeSettings(seed=7, max_jobs=20, deadline=60.0) == settings_of(begun, begun.run("k"))


def test_a_flow_run_that_is_started_again_resumes_its_run(journal: Journal) -> None:
    with hold(journal, wanted(run_key=None, flow_run_id="f")) as run:
        pass
    changed = VqeSettings(shots=123, seed=5, max_jobs=20)  # by its deployment, since then
    again = find_run(journal, wanted(changed, run_key=None, flow_run_id="f"))
    assert again.record.uid == run.uid
    assert again.who is Who.PREFECT
    assert again.settings == ALGORITHMS.model_copy(update={"max_jobs": 20})
    assert again.record.seed == 7
    assert not find_run(journal, wanted(run_key=None, flow_run_id="g")).record.is_stored


def test_a_run_is_held_by_one_at_a_time(begun: Journal) -> None:
    with hold(begun, wanted()), pytest.raises(RunBusy, match="'k'"), hold(begun, wanted()):
        pass


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file of this process grow."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_process_resumes_a_run_whose_end_it_could_not_store(begun: Journal, caplog: pytest.LogCaptureFixture) -> None:
    with ExitStack() as until_then, suppress(ArithmeticError), hold(begun, wanted()):
        until_then.enter_context(full_disk())
        raise ArithmeticError("theirs")
    assert "the journal could not store that the run is failed" in caplog.text
    assert "run k is interrupted; to resume it" in caplog.text
    assert "run k is failed; to resume it" not in caplog.text
    assert begun.run("k").is_orphaned(time.time())
    with hold(begun, wanted()) as run:
        assert run.record.has_begun


@pytest.mark.claim("Ctrl-C, SIGTERM, cancelled in Prefect")
@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (StopRequested(1), "stopped", "stop"),
        (CapReached("max_jobs", "", ""), "stopped", "max_jobs"),
        (RunParked(1), "parked", "."),
        (RunStopped(1), "interrupted", "."),
        (KeyboardInterrupt(), "interrupted", "^ended by Ctrl-C$"),
        (TerminationSignal(15), "interrupted", "^its process was told to end, as by a cancellation in Prefect$"),
        (SystemExit(143), "interrupted", "^ended by SystemExit$"),
        (ServiceBusy("it", "is", "so"), "failed", "^it"),
        (ArithmeticError("theirs"), "failed", "^ended by ArithmeticError: theirs$"),
    ],
)
def test_the_status_and_reason_of_an_end_are_stored(
    error: BaseException, status: str, reason: str, begun: Journal
) -> None:
    with pytest.raises(type(error)), hold(begun, wanted()):
        raise error
    record = begun.run("k")
    assert (record.status, record.owner) == (status, None)
    assert status_after(error) == status
    assert re.search(reason, record.reason)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("the watch of the flow run")])
def test_an_error_after_the_end_of_a_run_leaves_its_status(error: BaseException, begun: Journal) -> None:
    STORED_END.set("")
    with suppress(type(error)), hold(begun, wanted()) as run:
        write_end(run, "converged", "it is", a_result())
        raise error
    assert STORED_END.get() == "converged"
    ended = begun.run("k")
    assert (ended.status, ended.reason) == ("converged", "it is")
    assert ended.result is not None
    assert RunResult.from_dict(ended.result) == a_result()


@pytest.mark.parametrize("error", [AccessDenied("no role", "", ""), InvalidValue("optimizer", "it asks for no points")])
def test_an_error_after_jobs_were_submitted_is_no_refusal(begun: Journal, error: HybridloopError) -> None:
    job = Job(str(uuid4()), 0, 0, 0, 0, 100, None, 0, {})
    for is_sent, code in ((False, 2), (True, 1)):
        with suppress(type(error)), hold(begun, wanted()) as run:
            if is_sent:
                begun.mark_submitted(run.lease, [job.id])
            else:
                begun.begin_round(run.lease, "main", 0, "ionq.simulator", [pub(points=1)], [job], {PROGRAM: BODY})
            raise error
        assert error.exit_code == code


def test_a_uid_is_no_key(begun: Journal) -> None:
    assert run_of_key(begun, begun.run("k").uid) is None


@pytest.mark.parametrize("key", ["../k", ".", "..", ".hidden", "-x", "--json", "", "a b", "k" * 101])
def test_a_key_is_no_path_and_no_option(begun: Journal, key: str) -> None:
    with pytest.raises(InputError, match="is not a run's key"):
        run_of_key(begun, key)


def test_a_request_to_stop_that_was_met_does_not_stop_the_run_again(begun: Journal) -> None:
    begun.request_stop(begun.run("k").uid)
    with pytest.raises(StopRequested), hold(begun, wanted()):
        raise StopRequested(0)
    with hold(begun, wanted()) as run:
        assert not begun.renew(run.lease).stop_requested


@pytest.mark.claim("The sessions of a flow run that has ended are closed")
@pytest.mark.parametrize("by_key", [False, True], ids=["by its flow run", "by its key"])
def test_the_hook_of_a_crashed_flow_run_closes_its_session_from_the_journal(
    by_key: bool,  # noqa: FBT001
    emulator: Emulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("HYBRIDLOOP_JOURNAL", journal_url(tmp_path / "journal.db"))
    workspace = emulator.workspace()
    monkeypatch.setenv(CONNECTION_VARIABLE, connection_string_of(workspace))  # of the worker
    here = identity_of(workspace)
    crashed = FlowRun(flow_id=uuid4(), parameters={"run_key": None})

    def die(*_: object, **__: object) -> Any:
        raise Died

    with open_journal() as journal:
        request = wanted(workspace=here, flow_run_id=str(crashed.id))
        with monkeypatch.context() as dying:
            dying.setattr(
                "hybridloop.tasks.session_renewal.SessionRenewal.close", die
            )  # a process that is dead closes nothing
            with (
                pytest.raises(Died),
                hold(journal, request) as run,
                open_run_session(workspace, ALGORITHMS.target, run=run) as session,
            ):
                session.open()
    assert [row["status"] for row in list_sessions(workspace, 5)] == ["Waiting"]
    flow_run = FlowRun(flow_id=uuid4(), parameters={"run_key": "k"}) if by_key else crashed
    flow_run.deployment_id = uuid4() if by_key else None
    # Prefect's own handler sends to a server
    monkeypatch.setattr(logging.getLogger("prefect.flow_runs"), "handlers", [caplog.handler])
    for _ in range(2):  # again changes nothing
        close_open_session(vqe, flow_run, Crashed())
        assert [row["status"] for row in list_sessions(workspace, 5)] == ["Succeeded"]
    assert (SECOND_REPORT in caplog.messages) == by_key  # only a worker reports a crash


@pytest.mark.parametrize(("status", "ended_early"), [("converged", False), ("finished", False), ("stopped", True)])
def test_only_a_run_without_a_result_has_ended_early_in_the_log(
    status: str,
    ended_early: bool,  # noqa: FBT001
    begun: Journal,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("HYBRIDLOOP_JOURNAL", journal_url(tmp_path / "journal.db"))
    begun.set_status(begun.take_lease(begun.run("k").uid), status, "")
    flow_run = FlowRun(flow_id=uuid4(), parameters={"run_key": "k"})
    log = logging.getLogger("prefect.flow_runs")
    monkeypatch.setattr(log, "handlers", [caplog.handler])  # Prefect's own sends to a server
    close_open_session(vqe, flow_run, Crashed())
    assert any("run k ended early" in message for message in caplog.messages) == ended_early
