"""Answers of an odd form, or that contradict themselves, end in a clear error or a stated reading."""

from __future__ import annotations

import json
from typing import Any

import pytest
import qdk.azure
from azure.quantum import Workspace
from azure.quantum._client.models import JobStatus, SessionStatus
from azure.quantum.target import IonQ, Quantinuum, Rigetti
from azure.quantum.target.pasqal import Pasqal

from hybridloop.azure.client import ServiceClient
from hybridloop.azure.job_document import billed_amounts, checked_item
from hybridloop.azure.listing import list_jobs
from hybridloop.budget.unknown_facts import list_targets
from hybridloop.errors import AnswerRefused, HybridloopError, JobFailed, RunParked, ServiceError
from hybridloop.settings.failure_policy import FailurePolicy, OnLostJob
from hybridloop.settings.keep_alive import KeepAliveMode, KeepAliveSettings
from hybridloop.settings.session_options import SessionOptions
from hybridloop.targets import Batching, known_targets
from hybridloop.tasks.session_renewal import TERMINAL as SESSION_ENDS
from hybridloop.tasks.submission.jobs import ACTIVE, TERMINAL
from hybridloop.tasks.submission.results import UnreadableResult, read_results_v2
from tests.azure.hostile_helpers import (
    KEY,
    SHOTS,
    TARGET,
    Answer,
    FastClock,
    HostileService,
    changed_job,
    measure,
    redirect,
    use,
)
from tests.session_helpers import open_run_session, temporary_run
from tests.tasks.test_session_closing import ones

MIB = 1 << 20
DEEP = 200_000


def nested(key: str) -> bytes:
    return b'{"%s": ' % key.encode() + b"[" * DEEP + b"]" * DEEP + b"}"


@pytest.mark.parametrize("status", [200, 400, 401, 503])
@pytest.mark.parametrize("operation", ["open", "list", "sas"])
def test_json_nested_too_deeply_is_one_clear_error(
    client: ServiceClient, hostile: HostileService, operation: str, status: int
) -> None:
    hostile.changes[operation] = lambda _: Answer(status, {}, nested("error"))
    with pytest.raises(ServiceError):
        use(client, hostile, "upload" if operation == "sas" else operation)


def test_a_job_that_was_accepted_with_an_endless_answer_is_found_by_its_id(hostile: HostileService) -> None:
    hostile.changes["submit"] = hostile.stream
    assert measure(hostile)[0] == {"1": SHOTS}
    assert hostile.sent < 40 * MIB


COSTS = [
    {"currencyCode": "USD", "estimatedTotal": float("nan")},
    {"currencyCode": "USD", "estimatedTotal": float("inf")},
    {"currencyCode": "USD", "estimatedTotal": -5.0},
    {"currencyCode": "USD", "estimatedTotal": "12"},
    {"currencyCode": "USD", "estimatedTotal": True},
    {"currencyCode": ["USD"], "estimatedTotal": 1.0},
    {"currencyCode": "USD" * 1000, "estimatedTotal": 1.0},
    {"events": [{"dimensionId": "hqc", "amountBilled": -1.0}]},
    {"events": [{"dimensionId": ["hqc"], "amountBilled": 1.0}, 7, None], "estimatedTotal": None},
    {"events": 7},
    [1, 2],
    "12 USD",
    7,
]


@pytest.mark.parametrize("cost", COSTS, ids=str)
def test_a_cost_that_is_none_counts_as_not_stated(cost: Any) -> None:
    assert billed_amounts(cost) is None


def test_a_run_with_such_costs_has_its_counts_and_no_bill(hostile: HostileService) -> None:
    costs = iter(COSTS)
    hostile.changes["list"] = lambda answer: changed_job(costEstimate=next(costs, None))(answer)
    off = KeepAliveSettings(KeepAliveMode.OFF)
    with open_run_session(
        hostile.workspace, TARGET, SessionOptions(keep_alive=off, batching=Batching.OFF), clock=FastClock()
    ) as session:
        session.run_round([ones(SHOTS)] * 3)
        assert session.cost == {}
        hostile.changes["list"] = changed_job(costEstimate=COSTS[0])
        assert [row["cost"] for row in list_jobs(hostile.workspace, session.id)] == [None] * 3


def test_a_listed_job_costs_what_its_provider_bills_in_its_own_unit(hostile: HostileService) -> None:
    line = {"dimensionId": "ehqc", "amountBilled": 6.22}
    hostile.changes["list"] = changed_job(costEstimate={"currencyCode": "USD", "events": [line], "estimatedTotal": 0.0})
    _, session = measure(hostile)
    (job,) = list_jobs(hostile.workspace, session.id)
    assert (job["cost"], job["unit"]) == (6.22, "eHQC")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ([], "an error of an unknown form"),
        ([{"code": "InvalidInputData", "message": "no"}], "InvalidInputData no"),
        (["text"], "an error of an unknown form"),
        ("text", "text"),
        (7, None),
        ({"code": ["x"], "message": {"y": 1}}, None),
        ({"code": 5}, None),
        ({"message": "m" * 100_000}, "mmm"),
        ({"message": "\x1b[2J\u202eno"}, "\\x1b[2J\\u202eno"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_error_of_another_form_has_a_stated_reading(error: Any, said: str | None) -> None:
    checked = checked_item({"id": "x", "errorData": error})["errorData"] or {}
    assert set(checked) <= {"code", "message"}
    text = " ".join(part for part in checked.values() if part)
    assert text.startswith(said) if said else not text
    assert len(text) <= 2000


def test_a_job_with_a_list_of_errors_ends_its_round_with_the_first(hostile: HostileService) -> None:
    hostile.changes["list"] = changed_job(status="Failed", errorData=[{"code": "InvalidInputData", "message": "no"}])
    with pytest.raises(JobFailed, match="InvalidInputData no"):
        measure(hostile)


def test_fields_of_another_type_read_as_missing(hostile: HostileService) -> None:
    fields = {"name": 7, "sessionId": [1], "inputParams": [1], "creationTime": {}, "target": 5, "metadata": [1]}
    hostile.changes["list"] = changed_job(**fields, endExecutionTime=7, errorData=7)
    counts, session = measure(hostile)
    assert counts == {"1": SHOTS}
    assert len(list_jobs(hostile.workspace, session.id)) == 1


@pytest.mark.parametrize(
    "status", ["Paused", pytest.param(None, marks=pytest.mark.slow), pytest.param(7, marks=pytest.mark.slow)]
)
def test_a_job_without_a_known_status_is_named_once_and_parks_its_run(
    hostile: HostileService, status: Any, caplog: pytest.LogCaptureFixture
) -> None:
    hostile.changes["list"] = changed_job(status=status)
    with pytest.raises(RunParked):
        measure(hostile)
    assert caplog.text.count("which is unknown; its run waits 30 minutes for a known one") == 1
    assert "for 30 minutes: the run is parked" in caplog.text


def test_a_listed_job_with_another_id_is_an_error_of_the_answer(hostile: HostileService) -> None:
    hostile.changes["list"] = changed_job(id="b7a9c1de-0000-4000-8000-000000000000")
    with pytest.raises(AnswerRefused, match="which is not its id"):
        measure(hostile)


def test_every_status_of_the_sdk_has_a_meaning() -> None:
    assert {status.value for status in JobStatus} == TERMINAL | ACTIVE
    assert {status.value for status in SessionStatus} - SESSION_ENDS == {"Waiting", "Executing", "Failure(s)"}


def test_every_target_of_the_sdk_is_known_but_those_that_take_pulses() -> None:
    names = {name for kind in (IonQ, Quantinuum, Rigetti, Pasqal) for name in kind.target_names}
    assert {name for name in names - set(known_targets()) if not name.startswith("pasqal.")} == set()


def test_the_workspace_of_qdk_azure_is_the_sdks() -> None:
    assert qdk.azure.Workspace is Workspace


def test_control_characters_of_any_text_are_escaped() -> None:
    assert checked_item({"id": "x", "status": "\x1b[31m"})["status"] == "\\x1b[31m"


def test_a_distribution_with_an_unreadable_outcome_is_not_rescaled() -> None:
    for outcome in ([["-"]], ["-"]):
        with pytest.raises(UnreadableResult, match="no bits"):
            read_results_v2(result([(outcome, 0.995), ([1], 0.005)]), 1, exact=True, shots=SHOTS)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>", "it is no JSON document"),
        (b'{"result": []}', "it has no field 'Results'"),
        (b"[7]", "its fields have another form"),
    ],
)
def test_what_is_wrong_with_a_result_is_said_in_words(body: bytes, said: str) -> None:
    with pytest.raises(UnreadableResult, match=said):
        read_results_v2(body, 1, exact=False, shots=SHOTS)


@pytest.mark.parametrize("targets", [None, 7, [7], [{"id": 7}], [{"id": "x", "averageQueueTime": "long"}]], ids=str)
def test_targets_of_another_form_are_left_out(hostile: HostileService, targets: Any) -> None:
    page = json.dumps({"value": [{"id": "rigetti", "targets": targets}]}).encode()
    hostile.changes["list"] = lambda _: Answer(200, {}, page)
    assert list_targets(hostile.workspace) == []


def result(rows: list[tuple[Any, Any]], shots: list[Any] | None = None, **more: Any) -> bytes:
    histogram = [{"Outcome": outcome, "Count": count} for outcome, count in rows]
    listed = {} if shots is None else {"Shots": shots}
    return json.dumps({"Results": [{"Histogram": histogram, **listed}], **more}).encode()


BAD_RESULTS = {
    "empty": b"",
    "HTML": b"<html>",
    "cut": result([([1], SHOTS)])[:-9],
    "deep": b"[" * DEEP,
    "deep outcome": b'{"Results":[{"Histogram":[{"Outcome":' + b"[" * 500 + b"1" + b"]" * 500 + b',"Count":9}]}]}',
    "too few": result([([1], SHOTS - 1)]),
    "too many": result([([1], SHOTS + 1)]),
    "negative": result([([1], SHOTS + 3), ([0], -3)]),
    "NaN": result([([1], float("nan"))]),
    "text": result([([1], "10")]),
    "fractions": result([([1], 9.5), ([0], 0.5)]),
    "other shots": result([([1], SHOTS)], [[0]] * SHOTS),
    "fewer shots": result([([1], SHOTS)], [[1]] * (SHOTS - 1)),
    "no object": b"[7]",
    "no field": b"{}",
    "no result": b'{"Results": []}',
    "no outcome": result([]),
    "other bits": result([([0, 1], SHOTS)]),
    "two results": json.dumps({"Results": [{"Histogram": [{"Outcome": [1], "Count": SHOTS}]}] * 2}).encode(),
    "null outcome": result([(None, SHOTS)]),
    "two bits in one": result([([10], SHOTS)]),
}


@pytest.mark.parametrize("body", BAD_RESULTS.values(), ids=BAD_RESULTS)
def test_a_result_that_contradicts_itself_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableResult):
        read_results_v2(body, 1, exact=False, shots=SHOTS)


def test_a_mitigated_histogram_may_differ_from_its_shots_and_may_not_exceed_them() -> None:
    data = result([([1], SHOTS - 1), ([0], 0)], [[0]] * SHOTS)
    assert read_results_v2(data, 1, exact=False, shots=SHOTS, mitigated=True).bitstrings() == {"1": SHOTS - 1}
    with pytest.raises(UnreadableResult):
        read_results_v2(data, 1, exact=False, shots=SHOTS - 2, mitigated=True)


@pytest.mark.parametrize(("body", "on_lost_job"), list(zip(["HTML", "deep", "too few"], OnLostJob, strict=True)))
def test_an_unreadable_result_is_paid_and_never_a_lost_job(
    hostile: HostileService, body: str, on_lost_job: OnLostJob
) -> None:
    penalty = 1.0 if on_lost_job is OnLostJob.PENALIZE else None
    policy = FailurePolicy(on_lost_job=on_lost_job, penalty=penalty)
    with temporary_run(TARGET.name, seed=0) as run:
        hostile.changes["download"] = lambda _: Answer(200, {}, BAD_RESULTS[body])
        with pytest.raises(JobFailed, match="can't be read") as caught:
            measure(hostile, run, failure=policy)
        assert "done and billed" in str(caught.value)
        assert "Resume the run, which reads the result again" in str(caught.value)
        hostile.changes["submit"] = redirect(hostile, 307)  # nothing is sent again
        del hostile.changes["download"]
        assert measure(hostile, run, failure=policy)[0] == {"1": SHOTS}


@pytest.mark.parametrize("body", ["HTML", "other shots"])
def test_one_bad_body_of_a_result_is_read_again(hostile: HostileService, body: str) -> None:
    bodies = iter([BAD_RESULTS[body]])
    hostile.changes["download"] = lambda answer: Answer(200, {}, next(bodies, answer.body))
    counts, session = measure(hostile)
    assert counts == {"1": SHOTS}
    assert session.num_jobs == 1


def test_a_key_that_the_service_repeats_is_in_no_error(client: ServiceClient, hostile: HostileService) -> None:
    error = json.dumps({"error": {"code": KEY, "message": f"not {KEY}"}}).encode()
    hostile.changes["open"] = lambda _: Answer(400, {}, error)
    with pytest.raises(ServiceError, match="not REDACTED") as caught:
        use(client, hostile, "open")
    assert KEY not in repr(caught.value) + repr(caught.value.__cause__)
    hostile.changes = {"list": changed_job(status="Failed", errorData={"message": KEY})}
    with pytest.raises(JobFailed, match="REDACTED") as failed:
        measure(hostile)
    assert KEY not in str(failed.value)


def test_every_error_is_of_the_tree_and_names_no_key(hostile: HostileService, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    hostile.changes["submit"] = redirect(hostile, 307)
    with pytest.raises(HybridloopError) as caught:
        measure(hostile)
    assert KEY not in caplog.text + str(caught.value) + repr(caught.value)
