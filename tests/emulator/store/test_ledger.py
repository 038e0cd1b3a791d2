"""Ledger of the service: every accepted job once, duplicates, and totals of cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.emulator.model.job import JobError
from hybridloop.emulator.model.session import JobFailurePolicy
from hybridloop.emulator.service import EmulatorService
from hybridloop.emulator.store.ledger import LedgerQuery, ledger
from hybridloop.emulator.store.store import Store
from tests.conftest import Emulator
from tests.emulator.http_helpers import ASYMMETRIC_QIR, Caller, raw_call
from tests.emulator.portal.test_overview import ExplainingStore
from tests.emulator.store_load_helpers import USAGE, ServiceHarness

LONE = {"session_id": None, "provider_id": "quantinuum", "target": "quantinuum.qpu.h2-1"}
UID = "0d6f7c1e-0000-4000-8000-000000000000"


def at_place(place: str, attempt: int = 0) -> dict[str, Any]:
    return {"metadata": {"place": f"{UID}/main/{place}", "attempt": str(attempt)}}


def end(service: EmulatorService, key: int, how: str) -> None:
    if how == "succeed":
        service.succeed(key, b"{}", USAGE)
    elif how == "fail":
        service.fail(key, JobError("TransientFailure", "try again"))
    elif how == "cancel":
        service.cancel_job("w", service.store.job_by_key(key).id)


@pytest.mark.parametrize(("how", "duplicates"), [("fail", 0), ("cancel", 0), ("succeed", 1), ("leave", 1)])
def test_a_second_attempt_is_a_duplicate_unless_the_first_failed_or_was_cancelled(how: str, duplicates: int) -> None:
    bench = ServiceHarness(JobFailurePolicy.CONTINUE)
    first = bench.submit("first", **at_place("0"))
    end(bench.service, first.key, how)
    bench.submit("second", **at_place("0", attempt=1))
    document = ledger(bench.service.store, LedgerQuery())["duplicates"]
    assert document["count"] == len(document["entries"]) == duplicates
    if duplicates:
        assert document["entries"][0]["job"] == "second"
        assert (document["entries"][0]["earlier"]["job"], document["entries"][0]["attempt"]) == ("first", "1")


def test_an_attempt_that_fails_later_does_not_undo_the_duplicate() -> None:
    bench = ServiceHarness(JobFailurePolicy.CONTINUE)
    first = bench.submit("first", **at_place("0"))
    bench.submit("second", **at_place("0", attempt=1))
    end(bench.service, first.key, "fail")
    assert ledger(bench.service.store, LedgerQuery())["duplicates"]["count"] == 1


def test_jobs_without_a_place_and_the_same_place_elsewhere_are_no_duplicates() -> None:
    bench = ServiceHarness(JobFailurePolicy.CONTINUE)
    bench.submit("a")
    bench.submit("b")
    bench.submit("c", **at_place("0"))
    job = bench.submit("d", **at_place("1"))
    elsewhere = replace(job.request, session_id=None, **at_place("0"))
    assert bench.service.submit("another workspace", "c", elsewhere)[1]
    assert ledger(bench.service.store, LedgerQuery())["duplicates"]["count"] == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["fail", "cancel", "succeed", "leave"])), max_size=25))
def test_duplicates_and_cost_agree_with_a_plain_count(history: list[tuple[int, str]]) -> None:
    bench = ServiceHarness(JobFailurePolicy.CONTINUE)
    living: dict[int, bool] = {}
    duplicates = money = 0.0
    for number, (place, how) in enumerate(history):
        job = bench.submit(f"job-{number}", **LONE, **at_place(str(place), number))
        duplicates += living.get(place, False)
        end(bench.service, job.key, how)
        living[place] = living.get(place, False) or how in ("succeed", "leave")
        money += 6.22 if how == "succeed" else 0
    document = ledger(bench.service.store, LedgerQuery())
    assert document["duplicates"]["count"] == duplicates
    assert document["jobs"] == len(document["entries"]) == len(history)
    assert document["money"].get("HQC", 0.0) == pytest.approx(money)


def test_the_ledger_can_be_read_by_run_by_session_and_in_pages(emulator: Emulator) -> None:
    caller = Caller(emulator)
    session, other = caller.open_session("quantinuum.qpu.h2-1"), caller.open_session("quantinuum.qpu.h2-1")
    shared: dict[str, Any] = {"target": "quantinuum.qpu.h2-1", "providerId": "quantinuum"}
    uid = f"run-of-{caller.workspace}"
    for number in range(3):
        metadata = {"place": f"{uid}/main/0/0/{number}/0", "attempt": "0"}
        job = caller.submit(sessionId=session, metadata=metadata, **shared)
    caller.submit(sessionId=other, metadata={"place": f"{uid}0/main/0/0/0/0"}, **shared)
    caller.all_ended()
    caller.call("DELETE", f"/jobs/{job}")

    by_run = emulator.admin(f"ledger?run={uid}")
    assert (by_run["jobs"], by_run["shots"], by_run["ended"]) == (3, 300, {"Succeeded": 3})
    assert by_run["money"] == {"HQC": pytest.approx(3 * 5.64)}
    assert by_run["sessions"] == [
        {
            "id": session,
            "target": "quantinuum.qpu.h2-1",
            "status": "Executing",
            "jobs": 3,
            "shots": 300,
            "money": {"HQC": pytest.approx(16.92)},
        }
    ]
    assert [entry["deleted"] for entry in by_run["entries"]] == [False, False, True]
    assert emulator.admin(f"ledger?session={other}")["jobs"] == 1
    page = emulator.admin(f"ledger?run={uid}&top=2")
    rest = emulator.admin(f"ledger?run={uid}&top=2&after={page['next']}")
    assert page["entries"] + rest["entries"] == by_run["entries"]
    assert rest["next"] is None
    assert page["jobs"] == rest["jobs"] == 3  # totals are of all matching jobs, not of the page


@pytest.mark.parametrize(
    ("shots", "data", "more"),
    [
        (
            20,
            b"DECLARE ro BIT[1]\nDECLARE t REAL[1]\nRX(t) 0\nMEASURE 0 ro[0]\n",
            {
                "inputDataFormat": "rigetti.quil.v1",
                "outputDataFormat": "rigetti.quil-results.v1",
                "inputParams": {"shots": 10, "substitutions": {"t": [[0.0], [3.0]]}},
            },
        ),
        (1000, ASYMMETRIC_QIR, {"target": "ionq.qpu.forte-1", "inputParams": {}}),  # its default
        (1, b"no program", {"inputParams": {"shots": 1}}),  # nothing was run: the requested shots
    ],
    ids=["substitutions", "default", "failed"],
)
def test_the_ledger_counts_the_shots_that_were_run_and_billed(
    emulator: Emulator, shots: int, data: bytes, more: dict[str, Any]
) -> None:
    caller = Caller(emulator)
    session = caller.open_session(more.get("target", "rigetti.sim.qvm"))
    caller.ended(caller.submit(data, sessionId=session, **more))
    book = emulator.admin(f"ledger?session={session}")
    assert (book["shots"], book["entries"][0]["shots"]) == (shots, shots)


@pytest.mark.parametrize("query", ["top=-1", "top=x", "after=1.5", "top=10001", "what=1", "top=99999999999999999999"])
def test_an_invalid_ledger_query_is_refused(emulator: Emulator, query: str) -> None:
    headers = {"x-admin-key": emulator.admin_key}
    assert raw_call(emulator.endpoint, "GET", f"/_admin/ledger?{query}", None, headers).status == 400


def test_the_ledger_needs_the_admin_key_and_is_read_only(emulator: Emulator) -> None:
    for headers in ({}, {"x-admin-key": emulator.api_key}, {"x-ms-quantum-api-key": emulator.api_key}):
        assert raw_call(emulator.endpoint, "GET", "/_admin/ledger", None, headers).status == 401
    assert raw_call(emulator.endpoint, "POST", "/_admin/ledger", b"", {"x-admin-key": emulator.admin_key}).status == 405


def test_a_job_accepted_before_a_kill_is_in_the_ledger_once_after_the_restart(
    start_emulator: Callable[..., Emulator], tmp_path: Path
) -> None:
    with_state = {"state": tmp_path / "state"}
    first = start_emulator(**with_state)
    caller = Caller(first)
    session = caller.open_session()
    jobs = [
        caller.submit(ASYMMETRIC_QIR, sessionId=session, metadata={"place": f"uid/main/0/0/{n}/0"}) for n in range(5)
    ]
    first.process.kill()
    first.process.wait(10)
    second = start_emulator(**with_state)
    again = Caller(second, caller.workspace)
    again.all_ended()
    document = second.admin("ledger")
    assert [entry["job"] for entry in document["entries"]] == jobs
    assert (document["ended"], document["duplicates"]["count"]) == ({"Succeeded": 5}, 0)


def test_totals_of_the_whole_ledger_use_one_index_and_its_pages_need_no_sort(tmp_path: Path) -> None:
    with closing(ExplainingStore(tmp_path / "service.sqlite")) as store:
        ledger(store, LedgerQuery())
        assert [plan for plan in store.plans if plan.startswith("SCAN") or "TEMP B-TREE" in plan] == [
            "SCAN jobs USING COVERING INDEX jobs_by_price",
            *["SCAN jobs USING INDEX duplicate_jobs"] * 2,  # counted and listed: it has the duplicates alone
        ]


@pytest.mark.parametrize(
    ("query", "searched"),
    [
        (LedgerQuery(run="a"), "(place>? AND place<?)"),
        (LedgerQuery(session="a"), "(session_key=?)"),
        (LedgerQuery(run="a", session="b"), "(session_key=?)"),
    ],
    ids=["run", "session", "both"],
)
def test_the_ledger_of_a_run_or_a_session_reads_only_its_jobs(
    tmp_path: Path, query: LedgerQuery, searched: str
) -> None:
    with closing(ExplainingStore(tmp_path / "service.sqlite")) as store:
        ledger(store, query)
        assert [plan for plan in store.plans if plan.startswith("SCAN")] == []
        of_jobs = [plan for plan in store.plans if plan.startswith("SEARCH jobs ")]
        assert len(of_jobs) == 4  # totals, the number of duplicates, these, the page
        assert all(plan.endswith(searched) for plan in of_jobs)


def test_an_empty_ledger_is_all_zeros() -> None:
    document = ledger(Store(None), LedgerQuery())
    assert json.dumps(document)
    assert (document["jobs"], document["money"], document["entries"], document["next"]) == (0, {}, [], None)
