"""The public tasks: a user's own flow of tasks opens, uses, keeps and closes a session, and leaves none open."""

from __future__ import annotations

import pickle
from typing import Any
from uuid import UUID

import pytest
from prefect import flow, task
from prefect.runtime import flow_run
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub

import hybridloop as hl
from hybridloop import tasks as public
from hybridloop.algorithms.rounds import Counts
from hybridloop.errors import InputError
from hybridloop.local_stack import PrefectServer
from tests.conftest import Emulator
from tests.prefect_record_helpers import FlowRunRecord, record_of
from tests.waiting import eventually

TARGET = "ionq.simulator"
tasks: Any = public  # Prefect types every call of a task as a coroutine, for mypy


def one() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    return circuit


def test_a_flow_of_tasks_shows_each_of_them(prefect_server: PrefectServer, emulator: Emulator) -> None:
    workspace = emulator.workspace("own-tasks")

    @flow(persist_result=False)
    def own() -> tuple[UUID, str, list[Any]]:
        session = tasks.open_session(hl.open_session(TARGET, workspace=workspace, keep_alive="ping", seed=1))
        measured = [tasks.run_round(session, [one(), one()], shots=10) for _ in range(2)]
        tasks.keep_alive(session)
        return UUID(flow_run.id), tasks.close_session(session), measured

    run: Any = own
    identifier, status, measured = run()
    assert status in {"Executing", "Succeeded"}  # a closed session executes as long as the ping's job
    (session,) = workspace.list_sessions()
    eventually(lambda: workspace.get_session(session.id).details.status == "Succeeded")
    assert all(
        isinstance(counts, Counts) and counts.bitstrings() == {"1": 10}
        for round_ in measured
        for points in round_
        for counts in points
    )

    def is_whole(found: FlowRunRecord) -> bool:
        ended = [each for each in found.task_runs if each["state_type"] == "COMPLETED"]
        return len(ended) >= 6 and found.kinds["ping.sent"] > 0

    record = record_of(prefect_server, identifier, is_whole)
    assert "hybridloop" in record.tags  # so that automations tell of it
    names = sorted(each["name"] for each in record.task_runs)
    assert [name.split(" of session")[0] for name in names if name.startswith(("round", "keep-alive"))] == [
        "keep-alive ping 1",
        "round 1: 2 jobs",
        "round 2: 2 jobs",
    ]
    assert record.kinds["ping.sent"] == record.kinds["session.opened"] == 1


def test_a_session_that_the_flow_leaves_open_is_closed(prefect_server: PrefectServer, emulator: Emulator) -> None:
    workspace = emulator.workspace("left-open")

    @flow(persist_result=False)
    def forgetful(*, raises: bool) -> None:
        tasks.open_session(hl.open_session(TARGET, workspace=workspace, seed=1))
        if raises:
            raise ValueError("a bug of the user's")

    run: Any = forgetful
    for raises in (False, True):
        run(raises=raises, return_state=True)
    assert [session.details.status for session in workspace.list_sessions()] == ["Succeeded"] * 2


def test_tasks_in_other_threads_share_the_session(prefect_server: PrefectServer, emulator: Emulator) -> None:
    workspace = emulator.workspace("threads")

    @flow(persist_result=False)
    def own() -> tuple[UUID, str, list[Any]]:
        session = tasks.open_session.submit(hl.open_session(TARGET, workspace=workspace, seed=1)).result()
        rounds = [tasks.run_round.submit(session, [one()], shots=10, stream=name) for name in "abc"]
        measured = [round_.result() for round_ in rounds]
        return UUID(flow_run.id), tasks.close_session.submit(session).result(), measured

    run: Any = own
    identifier, status, measured = run()
    assert status == "Succeeded"
    assert [counts.bitstrings() for ((counts,),) in measured] == [{"1": 10}] * 3
    record = record_of(prefect_server, identifier, lambda found: found.kinds["round.completed"] >= 3)
    assert (record.kinds["session.opened"], record.kinds["round.completed"]) == (1, 3)


def test_a_session_that_is_not_pinged_says_so(prefect_server: PrefectServer, emulator: Emulator) -> None:
    workspace = emulator.workspace("not-pinged")

    @flow(persist_result=False)
    def own() -> None:
        session = tasks.open_session(hl.open_session(TARGET, workspace=workspace, keep_alive="renew", seed=1))
        with pytest.raises(InputError, match="not pinged"):
            tasks.keep_alive(session)

    run: Any = own
    run()


def test_outside_of_a_flow_it_says_what_to_use(prefect_server: PrefectServer, emulator: Emulator) -> None:
    with pytest.raises(InputError, match=r"hybridloop\.open_session"):
        tasks.open_session(hl.open_session(TARGET, workspace=emulator.workspace("no-flow")))


def test_a_session_may_be_an_argument_of_a_users_own_task(
    prefect_server: PrefectServer, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = emulator.workspace("own-argument")

    @task
    def measured(session: Any, shots: int) -> int:
        ((counts,),) = session.run_round([SamplerPub.coerce((one(), None, shots))])
        return int(counts.shots)

    @flow
    def own() -> list[int]:
        with hl.open_session(TARGET, workspace=workspace, seed=1) as session:
            return [measured(session, 10), measured(session, 10), measured.submit(session, 20).result()]

    assert own() == [10, 10, 20]
    assert "Error" not in caplog.text
    assert len(list(workspace.list_jobs())) == 3  # Prefect has cached none


def test_a_session_is_refused_in_another_process_in_words(emulator: Emulator) -> None:
    with hl.open_session(TARGET, workspace=emulator.workspace("own-pickled"), seed=1) as session:
        pickled = pickle.dumps(session)
        assert pickle.dumps(session) != pickled
    with pytest.raises(InputError, match="can't go to another process"):
        pickle.loads(pickled)
