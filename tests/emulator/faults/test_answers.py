"""Spoilt answers: half, empty or of another shape, and lists that shift between their pages."""

from __future__ import annotations

import pytest
from azure.core.exceptions import IncompleteReadError
from azure.quantum import Workspace

from tests.conftest import Emulator
from tests.emulator.calls import Caller, raw_call
from tests.emulator.faults.faulty import injected, key_of, make, open_sdk_session


def test_the_sdk_reads_again_after_half_an_answer(service: Emulator, workspace: Workspace) -> None:
    open_sdk_session(workspace)
    make(service, "truncated", operation="list", nth=1)
    assert len(list(workspace.list_sessions())) == 1
    assert injected(service) == [("truncated", "list")]


def test_the_sdk_does_not_close_again_after_half_an_answer(service: Emulator, workspace: Workspace) -> None:
    session = open_sdk_session(workspace)
    make(service, "truncated", operation="close")
    with pytest.raises(IncompleteReadError):
        session.close()


@pytest.mark.parametrize(
    ("fault", "error"), [("not-json", ValueError), ("empty", ValueError), ("wrong-shape", AttributeError)]
)
def test_the_sdk_does_not_cope_with_an_answer_that_is_none(
    service: Emulator, workspace: Workspace, fault: str, error: type[Exception]
) -> None:
    make(service, fault, operation="open")
    with pytest.raises(error):
        str(open_sdk_session(workspace).details.status.upper())
    make(service, fault, operation="close")
    assert len(list(workspace.list_sessions())) == 1  # it was done


def pages(caller: Caller) -> list[str]:
    """The ids of all sessions, in pages of two."""
    ids, reply = [], caller.call("GET", "/sessions?top=2&orderby=CreationTime%20asc")
    while True:
        page = reply.json()
        ids += [session["id"] for session in page["value"]]
        if page["nextLink"] is None:
            return ids
        path = page["nextLink"].partition(caller.emulator.endpoint)[2]
        reply = raw_call(caller.emulator.endpoint, "GET", f"/{path}", None, key_of(caller.emulator))


def test_a_list_can_shift_between_its_pages(service: Emulator, caller: Caller) -> None:
    ids = [caller.open_session() for _ in range(6)]
    assert pages(caller) == ids
    make(service, "page-repeats-item", nth=1)
    assert pages(caller) == [*ids[:2], *ids[1:]]
    make(service, "page-skips-item", nth=1)
    assert pages(caller) == [*ids[:2], *ids[3:]]
    make(service, "page-repeats-item", nth=3)
    assert pages(caller) == [*ids, ids[-1]]
    make(service, "page-skips-item", nth=3)
    assert pages(caller) == ids[:-1]
