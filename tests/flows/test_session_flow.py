"""Session flows: a user's loop and flows are journaled, have their own sessions, and resume when called again."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings
from prefect.utilities.callables import parameter_schema

import hybridloop as hl
from hybridloop.azure.listing import list_sessions
from hybridloop.errors import CapReached, InputError, ReplayDiverged, RunParked, ServiceRefused, TargetDown
from hybridloop.journal import Journal, journal_url, open_journal
from hybridloop.journal.limits import RunLimit
from hybridloop.local_stack import PrefectServer
from hybridloop.tasks.session import OpenSession
from tests.cli.shell_helpers import Shell
from tests.conftest import Emulator
from tests.paths import DATA
from tests.prefect_record_helpers import record_of
from tests.prefect_server import prefect_client

FILE = DATA / "own_flows.py"


@pytest.fixture(scope="module")
def theirs() -> ModuleType:
    """Import the user's file."""
    spec = importlib.util.spec_from_file_location("own_flows", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def journal(prefect_server: PrefectServer, stack_environ: Mapping[str, str], tmp_path: Path) -> Iterator[Journal]:
    """Return the test's own journal, in the environment of the shared stack."""
    before = dict(os.environ)
    os.environ.update({**stack_environ, "HYBRIDLOOP_JOURNAL": journal_url(tmp_path / "journal.db")})
    try:
        with open_journal() as kept:
            yield kept
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def at_service(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, journal: Journal) -> Callable[[str], None]:
    """Let runs use the emulator's workspace of that name."""

    def go(name: str) -> None:
        shell = Shell({}).at(emulator, name).shell
        monkeypatch.setenv("AZURE_QUANTUM_CONNECTION_STRING", shell.environ["AZURE_QUANTUM_CONNECTION_STRING"])

    return go


def books(emulator: Emulator, uid: str) -> tuple[int, int]:
    found = emulator.admin(f"ledger?run={uid}&top=1000")
    return len(found["entries"]), found["duplicates"]["count"]


def test_a_flow_has_the_functions_parameters_but_for_the_session_and_a_run_key(theirs: ModuleType) -> None:
    schema = parameter_schema(theirs.find_half).model_dump()
    assert {name: each["type"] for name, each in schema["properties"].items() if "type" in each} == {
        "rounds": "integer",
        "shots": "integer",
    }
    assert set(schema["properties"]) == {"rounds", "shots", "run_key"}
    assert theirs.find_half.name == "find-half"
    deployed: Flow[..., Any] = load_flow_from_entrypoint(f"{FILE}:find_half")
    assert (deployed.name, set(deployed.parameters.properties)) == ("find-half", {"rounds", "shots", "run_key"})


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (lambda: hl.session_flow(target="nowhere")(lambda session: None), "target"),
        (lambda: hl.session_flow("nowhere")(lambda session: None), "target"),
        (lambda: hl.session_flow("rigetti.sim.qvm", target="ionq.simulator"), "target: it is given twice"),
        (lambda: hl.session_flow(shots=3)(lambda session: None), "shots"),  # type: ignore[call-overload]
        (lambda: hl.session_flow(lambda: None), "no parameter for the session"),
        (lambda: hl.session_flow(lambda session, *many: None), "without a name"),
        (lambda: hl.session_flow(lambda session, run_key: None), "run_key is a parameter of the flow itself"),
        (lambda: hl.session_flow(asyncio.sleep), "not a plain function"),
    ],
)
def test_an_unsuitable_function_is_refused_when_it_is_decorated(refused: Callable[[], object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        refused()


def test_a_killed_loop_resumes_when_started_again_and_measures_nothing_twice(
    theirs: ModuleType, journal: Journal, emulator: Emulator, at_service: Callable[[str], None]
) -> None:
    at_service("own")
    undisturbed = theirs.find_half(run_key="undisturbed")
    again = theirs.find_half(run_key="undisturbed")  # all counts are from the journal
    assert json.loads(json.dumps(again)) == json.loads(json.dumps(undisturbed))
    assert books(emulator, journal.run("undisturbed").uid) == (6, 0)

    shell = Shell(os.environ)
    killed = shell.with_variables(HYBRIDLOOP_CRASH_AT="answer.after:4").run_python(str(FILE), "killed")
    assert killed.returncode == -9, killed.stderr
    uid = journal.run("killed").uid
    assert len(list(journal.rounds(uid))) == 4
    done = shell.run_python(str(FILE), "killed")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == json.loads(json.dumps(undisturbed))
    assert books(emulator, uid) == (6, 0)
    record = journal.run("killed")
    assert (record.status, record.problem) == ("measured", "find-half")
    assert all(row.ended_at is not None for row in journal.sessions(uid))


@pytest.mark.parametrize("kind", ["sync", pytest.param("async", marks=pytest.mark.slow)])
def test_runs_in_a_users_flow_are_subflows_between_its_tasks(
    kind: str, theirs: ModuleType, journal: Journal, prefect_server: PrefectServer, at_service: Callable[[str], None]
) -> None:
    at_service(f"night-{kind}")
    said = theirs.night() if kind == "sync" else asyncio.run(theirs.night_of_async_code())
    assert said.startswith("-1.137")
    with prefect_client(prefect_server) as client:
        for record in journal.runs():
            assert record.flow_run_id is not None
            flow_run = client.read_flow_run(record.flow_run_id)  # type: ignore[arg-type]
            assert flow_run.parent_task_run_id is not None
            assert "hybridloop" in flow_run.tags
            tasks = record_of(prefect_server, flow_run.id, lambda found: bool(found.task_runs)).task_runs
            assert tasks
            assert all("hybridloop" in task["tags"] for task in tasks)
    assert {record.algorithm for record in journal.runs()} == {"vqe", "session"}


def test_a_run_can_be_started_inside_a_running_event_loop(
    theirs: ModuleType, journal: Journal, at_service: Callable[[str], None]
) -> None:
    at_service("notebook")

    async def cell() -> tuple[Any, Any]:
        return hl.qaoa("petersen", seed=7), theirs.find_half(2)

    result, found = asyncio.run(cell())
    assert result.value is not None
    assert len(found["seen"]) == 2


def test_a_loop_retried_by_prefect_resumes_and_a_reached_cap_is_no_failure(
    journal: Journal, emulator: Emulator, prefect_server: PrefectServer
) -> None:
    workspace, calls = emulator.workspace(), []

    def measured(session: Any, rounds: int) -> int:
        from tests.tasks.test_session_closing import ones

        calls.append(rounds)
        for number in range(rounds):
            session.run_round([ones()])
            if number == 1 and len(calls) == 1:
                raise ArithmeticError("not my day")
        return rounds

    retried = hl.session_flow(workspace=workspace, seed=1)(measured).with_options(retries=1)  # type: ignore[attr-defined]
    assert retried(4) == 4
    (record,) = journal.runs()
    assert calls == [4, 4]
    assert books(emulator, record.uid) == (4, 0)

    capped = hl.session_flow(workspace=workspace, seed=1, max_jobs=2)(measured)
    with pytest.raises(CapReached, match="max_jobs"):
        capped(3, run_key="capped")
    stopped = journal.run("capped")
    assert stopped.status == "stopped"
    with prefect_client(prefect_server) as client:
        state = client.read_flow_run(stopped.flow_run_id).state  # type: ignore[arg-type]
        assert state is not None
        assert (state.type.value, state.name) == ("COMPLETED", "Stopped")
    with pytest.raises(InputError, match="rounds: run 'capped' was started with another value"):
        capped(4, run_key="capped")
    assert hl.session_flow(workspace=workspace, seed=1, max_jobs=9)(measured)(3, run_key="capped") == 3
    assert books(emulator, stopped.uid) == (3, 0)

    def otherwise(session: Any, rounds: int) -> int:
        from tests.tasks.test_session_closing import ones

        session.run_round([ones(shots=11)])
        return rounds

    otherwise.__name__ = "measured"
    with pytest.raises(ReplayDiverged):
        hl.session_flow(workspace=workspace, seed=1)(otherwise)(3, run_key="capped")


def test_a_failure_that_prefect_stores_is_text(
    journal: Journal, emulator: Emulator, prefect_server: PrefectServer, tmp_path: Path
) -> None:
    def broken(session: Any) -> int:
        raise ArithmeticError("not my day")

    flow = hl.session_flow(workspace=emulator.workspace(), seed=1)(broken)
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: tmp_path / "results"}), pytest.raises(ArithmeticError):
        flow.with_options(persist_result=True)()  # type: ignore[attr-defined]
    (stored,) = (tmp_path / "results").iterdir()
    assert json.loads(stored.read_text()) == "ArithmeticError: not my day"


def test_a_loop_holds_a_slot_while_its_session_is_open(
    prefect_server: PrefectServer, at_service: Callable[[str], None]
) -> None:
    at_service("own")
    with prefect_client(prefect_server) as client:
        client.upsert_global_concurrency_limit_by_name("own loops", 1)

        def held() -> int:
            return client.read_global_concurrency_limit_by_name("own loops").active_slots

        @hl.session_flow(session_slots="own loops")
        def look(session: OpenSession) -> list[int]:
            return [held()]

        assert look() == [1]
        assert held() == 0


@pytest.mark.usefixtures("prefect_server")
def test_a_loop_whose_target_is_down_waits_without_a_session_by_its_policy(
    journal: Journal, start_emulator: Callable[..., Emulator]
) -> None:
    service = start_emulator()
    workspace = service.workspace()

    def measured(session: OpenSession) -> int:
        from tests.tasks.test_session_closing import ones

        session.run_round([ones()])
        return session.replayed

    def loop(on_target_down: str) -> Callable[..., int]:
        failure = {"on_target_down": on_target_down, "target_down_wait_s": 0.2}
        return hl.session_flow(workspace=workspace, seed=1, failure=failure)(measured)

    service.admin("targets", {"rigetti.sim.qvm": {"availability": "Unavailable"}})
    with pytest.raises(ServiceRefused, match="not available at the moment"):
        loop("fail")(run_key="fail")
    assert journal.runs() == []
    for policy, error, status in (("park", RunParked, "parked"), ("wait", TargetDown, "failed")):
        with pytest.raises(error, match="target"):
            loop(policy)(run_key=policy)
        assert journal.run(policy).status == status
    assert list_sessions(workspace, 20) == []
    service.admin("targets", {"rigetti.sim.qvm": {"availability": "Available"}})
    assert loop("park")(run_key="park") == 0
    service.admin("targets", {"rigetti.sim.qvm": {"availability": "Unavailable"}})
    assert loop("park")(run_key="park") == 1  # all counts are in the journal


def test_a_limit_over_runs_refuses_what_it_can_not_bound_and_no_replay(
    journal: Journal, at_service: Callable[[str], None]
) -> None:
    at_service("unbounded")

    @hl.session_flow(target="rigetti.qpu.cepheus-1-108q", seed=7)
    def seven(session: OpenSession) -> int:
        return 7

    assert seven(run_key="before") == 7
    journal.put_limit(RunLimit("team", "USD", 5.0, counts_local=True))
    assert seven(run_key="before") == 7  # it submits nothing
    with pytest.raises(InputError, match=r"max_cost_per_job: .*so limit team could be exceeded"):
        seven(run_key="after")
