"""Lists: pages, orders and filters, through the SDK, and over plain HTTP for queries that the SDK can't send."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from azure.quantum import Workspace

from hybridloop.emulator.model.list_query import parse_query
from hybridloop.emulator.store.listing import ListKind, query_page
from tests.conftest import Emulator, running_emulator
from tests.emulator.http_helpers import ASYMMETRIC_QIR, Caller, connection
from tests.emulator.portal.test_overview import ExplainingStore

JOBS = 250


@pytest.fixture(scope="module")
def crowd() -> Iterator[tuple[Caller, Workspace, str]]:
    """A workspace with a session of 250 jobs at one virtual time, and a day later a session of one and a lone job."""
    with running_emulator("--clock", "virtual") as emulator:
        caller = Caller(emulator)
        session = caller.open_session()
        url = caller.upload(str(uuid.uuid4()), ASYMMETRIC_QIR)
        headers = {"x-ms-quantum-api-key": emulator.api_key}
        with connection(emulator.endpoint) as opened:
            for number in range(JOBS):
                document = caller.document(url, name=f"run.{number // 25}.{number:03}", sessionId=session)
                opened.request("PUT", f"{caller.base}/jobs/job-{number:03}", json.dumps(document), headers)
                reply = opened.getresponse()
                reply.read()
                assert reply.status == 200
        emulator.advance(86_400)
        other = caller.open_session("ionq.simulator")
        caller.submit(target="ionq.simulator", job="in-the-other", sessionId=other, name="other")
        caller.submit(job="alone", name="lonely")
        caller.all_ended()
        yield caller, emulator.workspace(caller.workspace), session


def test_a_session_with_250_jobs_lists_each_once_and_in_order(crowd: tuple[Caller, Workspace, str]) -> None:
    _, workspace, session = crowd
    jobs = workspace.list_session_jobs(session)
    assert [job.id for job in jobs] == [f"job-{number:03}" for number in range(JOBS)]
    descending = workspace.list_session_jobs(session, orderby_property="CreationTime", is_asc=False)
    assert [job.id for job in descending] == [job.id for job in reversed(jobs)]


def test_a_name_prefix_finds_its_jobs_only(crowd: tuple[Caller, Workspace, str]) -> None:
    _, workspace, session = crowd
    jobs = workspace.list_session_jobs(session, name_match="run.3.")
    assert [job.id for job in jobs] == [f"job-{number:03}" for number in range(75, 100)]


def test_jobs_are_filtered_by_target_state_provider_and_day(crowd: tuple[Caller, Workspace, str]) -> None:
    _, workspace, _ = crowd
    assert [job.id for job in workspace.list_jobs(target=["ionq.simulator"])] == ["in-the-other"]
    assert [job.id for job in workspace.list_jobs(provider=["ionq"])] == ["in-the-other"]
    assert len(workspace.list_jobs(status=["Succeeded"])) == JOBS + 2
    assert workspace.list_jobs(status=["Failed", "Cancelled"]) == []
    assert len(workspace.list_jobs(status=["succeeded", "Waiting", "Succeeded"])) == JOBS + 2
    newest = workspace.list_jobs(status=["Succeeded", "Failed"], orderby_property="CreationTime", is_asc=False)
    assert [job.id for job in newest[2:]] == [f"job-{number:03}" for number in reversed(range(JOBS))]
    first_day = workspace.get_job("job-000").details.creation_time
    next_day = workspace.get_job("alone").details.creation_time
    assert len(workspace.list_jobs(created_before=first_day)) == JOBS
    assert {job.id for job in workspace.list_jobs(created_after=next_day)} == {"in-the-other", "alone"}


def test_top_level_items_are_sessions_and_lone_jobs(crowd: tuple[Caller, Workspace, str]) -> None:
    _, workspace, session = crowd
    items = workspace.list_top_level_items()
    assert [item.item_type for item in items] == ["Session", "Session", "Job"]
    assert (items[0].id, items[2].id) == (session, "alone")
    assert [item.id for item in workspace.list_top_level_items(item_type=["job"])] == ["alone"]
    assert [item.id for item in workspace.list_top_level_items(name_match="lone")] == ["alone"]


def test_a_page_has_at_most_100_items_and_its_next_link_keeps_the_query(crowd: tuple[Caller, Workspace, str]) -> None:
    caller, _, session = crowd
    query = quote("startswith(Name, 'run.')")
    path = f"/sessions/{session}/jobs?api-version=x&filter={query}&orderby=Name%20desc&top=500"
    page = caller.call("GET", path).json()
    assert [job["id"] for job in page["value"]] == [f"job-{number:03}" for number in range(249, 149, -1)]
    link = page["nextLink"]
    assert link.startswith(f"{caller.emulator.endpoint}subscriptions/")
    assert "api-version=x" in link
    page = caller.call("GET", link.partition(caller.workspace)[2]).json()
    assert [job["id"] for job in page["value"]] == [f"job-{number:03}" for number in range(149, 49, -1)]
    page = caller.call("GET", page["nextLink"].partition(caller.workspace)[2]).json()
    assert (len(page["value"]), page["nextLink"]) == (50, None)


def test_an_empty_page_has_no_next_link(crowd: tuple[Caller, Workspace, str]) -> None:
    caller, _, session = crowd
    for path in ("/jobs", "/sessions", "/topLevelItems", f"/sessions/{session}/jobs"):
        assert caller.call("GET", f"{path}?top=0").json() == {"value": [], "nextLink": None}


@pytest.mark.parametrize("path", ["/jobs", "/topLevelItems"])
def test_a_page_of_large_items_ends_early_and_the_next_one_follows(emulator: Emulator, path: str) -> None:
    caller = Caller(emulator)
    url = caller.upload(str(uuid.uuid4()), ASYMMETRIC_QIR)
    document = caller.document(url, inputParams={"shots": 1, "text": "x" * 2**19})
    jobs = [str(uuid.uuid4()) for _ in range(11)]
    for job in jobs:
        assert caller.call("PUT", f"/jobs/{job}", document).status == 200
    sizes, listed, link = [], [], path
    while link:
        page = caller.call("GET", link).json()
        listed += [item["id"] for item in page["value"]]
        sizes.append(len(page["value"]))
        link = (page["nextLink"] or "").partition(caller.workspace)[2]
    assert (sorted(listed), sizes) == (sorted(jobs), [4, 4, 3])


def test_signed_urls_are_in_a_single_job_and_not_in_lists(crowd: tuple[Caller, Workspace, str]) -> None:
    caller, _, _ = crowd
    uris = ("containerUri", "inputDataUri", "outputDataUri")
    listed = caller.call("GET", "/jobs?top=1").json()["value"][0]
    assert not any("sig=" in listed[uri] for uri in uris)
    read = caller.call("GET", f"/jobs/{listed['id']}").json()
    assert all("sig=" in read[uri] for uri in uris)
    assert len(read) == 26


def test_workspaces_do_not_see_each_others_jobs(crowd: tuple[Caller, Workspace, str]) -> None:
    caller, _, session = crowd
    stranger = Caller(caller.emulator)
    assert stranger.call("GET", "/jobs").json()["value"] == []
    assert stranger.call("GET", f"/sessions/{session}").status == 404
    assert Caller(caller.emulator, caller.workspace.upper()).call("GET", f"/sessions/{session}").status == 200


@pytest.mark.parametrize(
    ("kind", "filter_text", "order", "index"),
    [
        (ListKind.SESSION_JOBS, "startswith(Name, 'run.3.')", None, "session_jobs_by_name"),
        (ListKind.SESSION_JOBS, None, None, "session_jobs_by_time"),
        (ListKind.SESSION_JOBS, "(State eq 'Succeeded')", "CreationTime desc", "session_jobs_by_state"),
        (ListKind.JOBS, "(State eq 'waiting' or State eq 'Executing')", None, "jobs_by_state"),
        (ListKind.JOBS, "State eq 'Failed'", "State asc", "jobs_by_state"),
        (ListKind.TOP_LEVEL, None, None, "lone_jobs_by_time"),
        (ListKind.JOBS, "startswith(Name, 'run.3.')", None, "jobs_by_name"),
        (ListKind.JOBS, None, "CreationTime desc", "jobs_by_time"),
        (ListKind.SESSIONS, None, None, "sessions_by_time"),
    ],
)
def test_lists_use_an_index(
    tmp_path: Path, kind: ListKind, filter_text: str | None, order: str | None, index: str
) -> None:
    with closing(ExplainingStore(tmp_path / "service.sqlite")) as store:
        query_page(store, kind, parse_query(filter_text, order, None, None), "w", 1)
    plan = " ".join(store.plans)
    assert f"USING {'COVERING ' * ('startswith' in str(filter_text))}INDEX {index} " in plan
    assert "SCAN" not in plan
    assert "TEMP B-TREE" not in plan or "startswith" in str(filter_text)  # no sort of the whole table
