"""Private ways of Prefect that the product takes, as there is no public one: each still does what it is taken for."""

from __future__ import annotations

import inspect
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from prefect import Flow, flow, task
from prefect._internal.concurrency.services import _QueueServiceBase
from prefect.context import TaskRunContext
from prefect.events.worker import EventsWorker
from prefect.exceptions import PrefectHTTPStatusError
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from hybridloop.flows.in_prefect.exit import bound_exit
from hybridloop.flows.in_prefect.one_request import client_without_retries
from tests.http_helpers import answer, replying


def test_a_client_without_retries_sends_a_request_once_where_prefect_retries() -> None:
    asked: list[str] = []

    def refuse(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        answer(request, 503)

    with (
        replying(refuse) as url,
        temporary_settings({PREFECT_API_URL: f"{url}api"}),
        client_without_retries() as client,
        pytest.raises(PrefectHTTPStatusError),
    ):
        client.read_work_pool("any")
    assert asked.count("/api/work_pools/any") == 1
    assert PREFECT_CLIENT_MAX_RETRIES.value() > 0  # else the client needs no settings of its own


@pytest.mark.usefixtures("prefect_server")
def test_the_context_of_a_task_is_left_by_its_variable() -> None:
    @task
    def inside() -> tuple[Any, Any]:
        before = TaskRunContext.get()
        token = TaskRunContext.__var__.set(None)  # type: ignore[arg-type]  # as its default
        try:
            return before, TaskRunContext.get()
        finally:
            TaskRunContext.__var__.reset(token)

    @flow(persist_result=False)
    def outer() -> Any:
        return inside()

    run: Any = outer
    before, after = run()
    assert before is not None
    assert after is None


def test_prefect_makes_a_plain_flow_of_a_subclass_with_other_options() -> None:
    """Otherwise session flows need not set their class again."""

    class Own(Flow[Any, Any]):
        """A flow of a class of its own."""

    def nothing() -> None:
        """Do nothing at all."""

    assert type(Own(nothing).with_options(retries=1)) is Flow


@pytest.mark.parametrize("service", [APILogWorker, EventsWorker])
def test_the_services_for_logs_and_events_end_by_the_method_that_the_exit_bounds(service: Any) -> None:
    bound_exit()
    assert service.drain is _QueueServiceBase.drain
    assert "at_exit" in inspect.signature(service._drain).parameters
