"""Corrupt responses: truncated, empty or of another shape, and lists that shift between their pages."""

from __future__ import annotations

import pytest
from azure.core.exceptions import IncompleteReadError
from azure.quantum import Workspace

from tests.conftest import Emulator
from tests.emulator.faults.fault_helpers import api_key_header, injected_faults, open_sdk_session, set_fault
from tests.emulator.http_helpers import Caller, raw_call


def test_the_sdk_repeats_a_read_after_a_truncated_response(service: Emulator, workspace: Workspace) -> None:
    open_sdk_session(workspace)
    set_fault(service, "truncated", operation="list", nth=1)
    assert len(list(workspace.list_sessions())) == 1
    assert injected_faults(service) == [("truncated", "list")]


def test_the_sdk_does_not_repeat_a_close_after_a_truncated_response(service: Emulator, workspace: Workspace) -> None:
    session = open_sdk_session(workspace)
    set_fault(service, "truncated", operation="close")
    with pytest.raises(IncompleteReadError):
        session.close()


@pytest.mark.parametrize(
    ("fault", "error"), [("not-json", ValueError), ("empty", ValueError), ("wrong-shape", AttributeError)]
)
def test_the_sdk_raises_on_a_corrupt_response(
    service: Emulator, workspace: Workspace, fault: str, error: type[Exception]
) -> None:
    set_fault(service, fault, operation="open")
    with pytest.raises(error):
        str(open_sdk_session(workspace).details.status.upper())
    set_fault(service, fault, operation="close")
    assert len(list(workspace.list_sessions())) == 1  # it was executed


def session_ids(caller: Caller) -> list[str]:
    """Read the ids of all sessions, in pages of two."""
    ids, reply = [], caller.call("GET", "/sessions?top=2&orderby=CreationTime%20asc")
    while True:
        page = reply.json()
        ids += [session["id"] for session in page["value"]]
        if page["nextLink"] is None:
            return ids
        path = page["nextLink"].partition(caller.emulator.endpoint)[2]
        reply = raw_call(caller.emulator.endpoint, "GET", f"/{path}", None, api_key_header(caller.emulator))


def test_a_list_can_shift_between_its_pages(service: Emulator, caller: Caller) -> None:
    ids = [caller.open_session() for _ in range(6)]
    assert session_ids(caller) == ids
    set_fault(service, "page-repeats-item", nth=1)
    assert session_ids(caller) == [*ids[:2], *ids[1:]]
    set_fault(service, "page-skips-item", nth=1)
    assert session_ids(caller) == [*ids[:2], *ids[3:]]
    set_fault(service, "page-repeats-item", nth=3)
    assert session_ids(caller) == [*ids, ids[-1]]
    set_fault(service, "page-skips-item", nth=3)
    assert session_ids(caller) == ids[:-1]
