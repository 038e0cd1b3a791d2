"""Refusals as a client meets them: the unmodified SDK, and plain HTTP for what the SDK hides."""

from __future__ import annotations

import email.utils
import json
import uuid
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.quantum import Workspace

from tests.conftest import Emulator
from tests.emulator.calls import Caller, raw_call
from tests.emulator.faults.faulty import TARGET, injected, make, open_sdk_session, run_job


@pytest.mark.parametrize(
    "rule",
    [{"fault": "throttled"}, *({"fault": "error", "status": status} for status in (500, 502, 503, 504))],
    ids=lambda rule: str(rule.get("status", 429)),
)
def test_the_sdk_asks_again_after_passing_trouble(service: Emulator, workspace: Workspace, rule: Any) -> None:
    make(service, **rule, operation="list", nth=1)
    assert list(workspace.list_sessions()) == []
    assert injected(service) == [(rule["fault"], "list")]


@pytest.mark.parametrize(
    ("pause", "header"),
    [
        ({}, None),
        ({"retry_after": 7}, "7"),
        ({"retry_after": 0.5}, "0.5"),
        ({"retry_after": 86400}, "86400"),
        ({"retry_after": "soon"}, "soon"),
    ],
)
def test_a_throttled_call_says_when_to_come_back_as_it_was_told_to(
    service: Emulator, caller: Caller, pause: Any, header: str | None
) -> None:
    make(service, "throttled", **pause)
    reply = caller.call("GET", "/sessions")
    assert (reply.status, reply.json()["error"]["code"]) == (429, "TooManyRequests")
    assert reply.headers.get("retry-after") == header


def test_a_date_to_come_back_lies_ahead_in_the_machines_time(service: Emulator, caller: Caller) -> None:
    make(service, "throttled", retry_after_date=3600)
    header = caller.call("GET", "/sessions").headers["retry-after"]
    at = email.utils.parsedate_to_datetime(header)
    assert 3500 < at.timestamp() - email.utils.parsedate_to_datetime(caller_date(caller)).timestamp() < 3700


def caller_date(caller: Caller) -> str:
    return str(caller.call("GET", "/sessions").headers["date"])


def test_garbage_in_place_of_seconds_breaks_the_sdk(service: Emulator, workspace: Workspace) -> None:
    make(service, "throttled", retry_after="soon", nth=1)
    with pytest.raises(ValueError, match="Invalid HTTP date"):
        list(workspace.list_sessions())


def test_any_refusal_can_be_made_with_its_own_words(service: Emulator, workspace: Workspace) -> None:
    make(service, "error", status=400, code="InvalidJobDefinition", message="no such thing", operation="open")
    with pytest.raises(HttpResponseError, match="no such thing") as refusal:
        open_sdk_session(workspace)
    assert (refusal.value.status_code, refusal.value.error.code) == (400, "InvalidJobDefinition")


def test_a_key_can_stop_being_accepted_in_the_middle(service: Emulator, workspace: Workspace) -> None:
    make(service, "unauthorized", nth=2)
    list(workspace.list_sessions())
    with pytest.raises(ClientAuthenticationError):
        list(workspace.list_sessions())
    list(workspace.list_sessions())


def test_a_quota_can_be_used_up(service: Emulator, workspace: Workspace) -> None:
    make(service, "quota-exceeded")
    with pytest.raises(HttpResponseError) as refusal:
        run_job(workspace)
    assert (refusal.value.status_code, refusal.value.error.code) == (409, "QuotaExceeded")
    assert list(workspace.list_jobs()) == []


def test_a_call_without_the_key_is_refused_before_any_fault_strikes(service: Emulator, workspace: Workspace) -> None:
    session = open_sdk_session(workspace)
    service.admin("faults", {"rules": [{"fault": "session-fails", "operation": "submit", "session": session.id}]})
    path = f"/subscriptions/{workspace.subscription_id}/resourceGroups/{workspace.resource_group}"
    path += f"/providers/Microsoft.Quantum/workspaces/{workspace.name}/jobs/{uuid.uuid4()}?api-version=x"
    body = json.dumps({"sessionId": session.id, "target": TARGET, "providerId": "rigetti"}).encode()
    reply = raw_call(service.endpoint, "PUT", path, body, {"x-ms-quantum-api-key": "wrong"})
    assert reply.status == 401
    assert session.refresh().details.status == "Waiting"
    assert service.admin("faults/log")["injected"] == 0
