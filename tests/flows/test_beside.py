"""Work beside Prefect: done in the caller's thread and in the flow run's context, once for each attempt."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.schemas.objects import StateType
from prefect.context import FlowRunContext
from prefect.exceptions import ParameterTypeError
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed

from hybridloop.errors import HybridloopError, InputError, InvalidValue, RunBusy, RunCancelled, StackError
from hybridloop.flows.algorithms import vqe
from hybridloop.flows.in_prefect import beside, one_request
from hybridloop.flows.in_prefect.beside import run_beside, show_in_flow, with_body
from hybridloop.flows.in_prefect.host import PrefectHost
from hybridloop.flows.lifecycle.host import Ended
from hybridloop.local_stack import PrefectServer
from hybridloop.runtime.signals import AFTER_THE_END, STORED_END
from tests.prefect_server import prefect_client


@flow
def doubled(x: int = 21) -> int:
    """Double a number."""
    raise AssertionError("the work takes the place of the flow's function")


def current_flow_run() -> UUID:
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    return context.flow_run.id


def test_the_work_is_done_in_the_callers_thread_and_in_the_flow_runs_context(prefect_server: PrefectServer) -> None:
    seen: list[Any] = []

    def work(_host: PrefectHost, x: int) -> Ended[int]:
        seen.extend([threading.current_thread(), current_flow_run()])
        return Ended(2 * x, show=lambda: Completed(name="Doubled"))

    assert run_beside(doubled, work, "4") == 8  # as Prefect validated it
    assert seen[0] is threading.current_thread()
    with prefect_client(prefect_server) as client:
        assert client.read_flow_run(seen[1]).state_name == "Doubled"


def test_arguments_that_the_flow_does_not_take_are_refused_before_any_work() -> None:
    with pytest.raises(ParameterTypeError, match="x"):
        run_beside(doubled, lambda *_: pytest.fail("it began"), "many")


@pytest.mark.usefixtures("prefect_server")
def test_the_work_is_done_again_for_each_attempt_and_its_last_end_counts() -> None:
    attempts: list[int] = []

    def work(_host: PrefectHost, x: int) -> Ended[int]:
        attempts.append(x)
        if len(attempts) < 3:
            raise ArithmeticError("not yet")
        return Ended(2 * x)

    assert run_beside(doubled.with_options(retries=2), work, x=5) == 10
    assert attempts == [5, 5, 5]
    attempts.clear()
    with pytest.raises(ArithmeticError, match="not yet"):
        run_beside(doubled.with_options(retries=1), work, x=5)


def test_the_caller_gets_an_error_that_prefect_shows_as_a_state(prefect_server: PrefectServer) -> None:
    ids: list[UUID] = []

    def work(_host: PrefectHost, _: int) -> Ended[int]:
        ids.append(current_flow_run())
        return Ended(error=RunCancelled(0), show=lambda: Completed(name="Stopped"))

    with pytest.raises(RunCancelled):
        run_beside(doubled, work)
    with prefect_client(prefect_server) as client:
        assert client.read_flow_run(ids[0]).state_name == "Stopped"


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("stored", ["converged", pytest.param("", marks=pytest.mark.slow)])
def test_a_ctrl_c_after_the_end_of_a_run_is_stored_says_so(stored: str) -> None:
    def work(_host: PrefectHost, _: int) -> Ended[int]:
        assert not STORED_END.get()  # that of an earlier run in this thread
        STORED_END.set(stored)
        raise KeyboardInterrupt

    STORED_END.set("stopped")
    with pytest.raises(KeyboardInterrupt) as raised:
        run_beside(doubled, work)
    assert (AFTER_THE_END in getattr(raised.value, "__notes__", ())) == bool(stored)


def test_a_flow_called_in_a_users_flow_is_its_subflow_also_from_async_code(prefect_server: PrefectServer) -> None:
    def work(_host: PrefectHost, _: int) -> Ended[UUID]:
        ours = current_flow_run()
        return Ended(ours)

    @flow
    def outer() -> UUID:
        return run_beside(doubled, work)

    @flow
    async def outer_async() -> UUID:
        return run_beside(doubled, work)

    inner = [outer(), asyncio.run(outer_async())]
    with prefect_client(prefect_server) as client:
        assert all(client.read_flow_run(each).parent_task_run_id is not None for each in inner)
        assert client.read_flow_run(run_beside(doubled, work)).parent_task_run_id is None


def test_a_flow_with_another_body_takes_the_same_parameters_and_says_the_same_of_them() -> None:
    changed = with_body(vqe, lambda *_, **__: None)
    assert changed.parameters == vqe.parameters
    assert (changed.name, changed.fn.__doc__) == (vqe.name, vqe.fn.__doc__)
    assert changed.on_crashed_hooks == vqe.on_crashed_hooks
    values = {"problem": {"name": "h2"}, "settings": {"shots": "300"}}
    assert changed.validate_parameters(values) == vqe.validate_parameters(values)


def test_nothing_is_begun_where_the_server_accepts_connections_and_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(beside, "PREFECT_START_S", 0.3)
    monkeypatch.setattr(beside, "LOOK_S", 0.1)
    monkeypatch.setattr(one_request, "ONE_REQUEST_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://user:secret@127.0.0.1:{silent.getsockname()[1]}/api"
        with temporary_settings({PREFECT_API_URL: url}), pytest.raises(StackError) as refused:
            run_beside(doubled, lambda *_: pytest.fail("it began"), "4")
    assert "has not answered for" in str(refused.value)
    assert "No run was affected" in str(refused.value)
    assert "secret" not in str(refused.value)


BUSY = RunBusy("night", "process 17 on node3", "2026-11-20 12:30:05 UTC")


@pytest.mark.parametrize(
    ("error", "name", "message"),
    [
        (InvalidValue("shots", "must be at least 1, got 0"), "Refused", "shots must be at least 1, got 0."),
        pytest.param(BUSY, "Held", "run 'night' is held by process 17 on node3", marks=pytest.mark.slow),
    ],
)
def test_a_refused_input_or_a_held_run_is_a_completed_flow_run_and_an_error_of_its_caller(
    error: HybridloopError, name: str, message: str, prefect_server: PrefectServer
) -> None:
    ids: list[UUID] = []

    def work(_host: PrefectHost, _: int = 0) -> Ended[int]:
        ids.append(current_flow_run())
        raise error

    @flow
    def on_a_worker() -> Any:
        return show_in_flow(work)

    @flow
    def parent() -> Any:
        return on_a_worker()

    with pytest.raises(type(error)):
        run_beside(doubled, work)
    on_a_worker(return_state=True)
    with pytest.raises(type(error)):  # else the parent would go on
        parent()
    with prefect_client(prefect_server) as client:
        states = [client.read_flow_run(each).state for each in ids]
    assert [(state.name, state.type) for state in states if state is not None] == [
        (name, StateType.COMPLETED),
        (name, StateType.COMPLETED),
        ("Failed", StateType.FAILED),
    ]
    assert all(str(state.message).startswith(message) for state in states[:2] if state is not None)


def test_an_input_that_is_refused_after_jobs_were_paid_is_a_failure(prefect_server: PrefectServer) -> None:
    ids: list[UUID] = []

    def work(_host: PrefectHost, _: int) -> Ended[int]:
        ids.append(current_flow_run())
        error = InvalidValue("optimizer", "it asks for no points")
        error.exit_code = 1
        raise error

    with pytest.raises(InputError):
        run_beside(doubled, work)
    with prefect_client(prefect_server) as client:
        assert client.read_flow_run(ids[0]).state_name == "Failed"
