"""Data plane beyond Microsoft's documents: repeated requests, changes, cancels, providers, clock, invalid bodies."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError

from tests.conftest import Emulator
from tests.emulator.http_helpers import ASYMMETRIC_QIR, ENDLESS_QIR, Caller, sdk_job

SESSION_KEYS = {
    "status", "jobFailurePolicy", "jobPriority", "name", "id", "providerId", "target", "creationTime",
    "endExecutionTime", "costEstimate", "itemType",
}  # fmt: skip


def test_a_submission_returns_waiting_and_a_repeated_put_changes_nothing(emulator: Emulator) -> None:
    caller = Caller(emulator)
    job = str(uuid.uuid4())
    document = caller.document(caller.upload(job, ASYMMETRIC_QIR))
    first = caller.call("PUT", f"/jobs/{job}", document)
    assert (first.status, first.json()["status"], first.json()["quantumComputingData"]) == (200, "Waiting", None)
    ended = caller.ended(job)
    again = caller.call("PUT", f"/jobs/{job}", document)
    assert (again.status, again.json()["status"], again.json()["id"]) == (200, "Succeeded", job)
    assert again.json()["endExecutionTime"] == ended["endExecutionTime"]
    other = caller.call("PUT", f"/jobs/{job}", {**document, "inputParams": {"shots": 101}})
    assert (other.status, other.json()["error"]["code"]) == (409, "Conflict")


def test_a_job_is_returned_as_it_was_sent_with_metadata_as_strings(emulator: Emulator) -> None:
    caller = Caller(emulator)
    sent: dict[str, Any] = {"inputParams": {"shots": 7, "items": [{"entryPoint": "ENTRYPOINT__main", "arguments": []}]}}
    job = caller.submit(**sent, metadata={"n": 3, "s": "x", "d": {"a": 1}}, tags=["t"], providerId="Rigetti")
    document = caller.ended(job)
    assert len(document) == 26
    assert document["inputParams"] == sent["inputParams"]
    assert document["metadata"] == {"n": "3", "s": "x", "d": '{"a": 1}'}
    assert (document["tags"], document["providerId"]) == (["t"], "rigetti")
    assert document["costEstimate"]["estimatedTotal"] == 0.0
    assert document["beginExecutionTime"] is not None


def test_a_repeated_open_returns_the_existing_session(emulator: Emulator) -> None:
    caller = Caller(emulator)
    document = {"name": "s", "providerId": "IonQ", "target": "ionq.simulator"}
    first = caller.call("PUT", "/sessions/one", document)
    assert set(first.json()) == SESSION_KEYS
    assert (first.json()["providerId"], first.json()["jobFailurePolicy"]) == ("ionq", "Abort")
    caller.call("POST", "/sessions/one:close")
    again = caller.call("PUT", "/sessions/one", document)
    assert (again.status, again.json()["status"]) == (200, "Succeeded")
    assert caller.call("PUT", "/sessions/one", {**document, "jobFailurePolicy": "Continue"}).status == 409


def test_a_job_is_renamed_cancelled_and_deleted_through_the_sdk(emulator: Emulator) -> None:
    workspace = emulator.workspace()
    job = sdk_job(workspace, ENDLESS_QIR, "rigetti.sim.qvm")
    assert job.update(name="renamed", tags=["a"]).details.name == "renamed"
    workspace.cancel_job(job)
    job.refresh()
    assert job.details.status == "Cancelled"
    assert job.details.cancellation_time is not None
    job.delete()
    with pytest.raises(ResourceNotFoundError):
        job.refresh()
    # its worker was killed and runs the next job after a restart
    assert sdk_job(workspace, ASYMMETRIC_QIR, "ionq.simulator").get_results_histogram()


def test_the_same_sampling_value_gives_the_same_counts_in_another_job_and_another_value_does_not(
    emulator: Emulator,
) -> None:
    workspace = emulator.workspace()
    results = [
        sdk_job(workspace, ASYMMETRIC_QIR, "rigetti.sim.qvm", metadata={"sampling_value": value}).get_results_shots()
        for value in ("00ff", "00ff", "0100")
    ]
    assert results[0] == results[1] != results[2]


def test_shots_may_be_given_as_count_but_the_parameter_shots_wins(emulator: Emulator) -> None:
    caller = Caller(emulator)
    sent: list[dict[str, Any]] = [{"count": 5}, {"count": 1, "shots": 6}, {}]
    jobs = [caller.submit(inputParams=params) for params in sent]
    assert [len(caller.result(job)["Results"][0]["Shots"]) for job in jobs] == [5, 6, 1]


def test_the_sdk_reads_targets_and_quotas(emulator: Emulator) -> None:
    workspace = emulator.workspace()
    targets = {target.name: target for target in workspace.get_targets()}
    assert {"ionq.simulator", "quantinuum.sim.h2-1e", "rigetti.sim.qvm"} <= set(targets)
    assert targets["ionq.simulator"].average_queue_time == 37
    assert {target.current_availability for target in targets.values()} == {"Available"}
    assert {quota["providerId"] for quota in workspace.get_quotas()} == {"ionq", "quantinuum"}


def test_an_unknown_item_is_404_and_a_wrong_method_405(emulator: Emulator) -> None:
    caller = Caller(emulator)
    calls = [
        *(("GET", path) for path in ("/jobs/none", "/sessions/none", "/sessions/none/jobs", "/nothing", "/jobs/a/b")),
        *(("POST", path) for path in ("/sessions/none:close", "/jobs/none:cancel")),
        ("DELETE", "/jobs/none"),
    ]
    assert [caller.call(*call).status for call in calls] == [404] * len(calls)
    for path in ("/jobs/none", "/jobUpdateOptions/none"):  # the SDK's, by its version
        answer = caller.call("PATCH", path, {"name": "x"})
        assert (answer.status, b"No endpoint" in answer.body) == (404, False)
    assert [
        caller.call(*call).status for call in [("POST", "/jobs"), ("DELETE", "/sessions/x"), ("PATCH", "/quotas")]
    ] == [405] * 3


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"\xff", b'{"target": NaN}', b"[" * 5000, b'{"a":' * 200 + b"1" + b"}" * 200,
        b'{"target": 7, "providerId": "ionq", "inputDataFormat": "qir.v1"}',
        b'{"target": "ionq.simulator", "inputDataFormat": "qir.v1"}',
        b'{"target": "ionq.simulator", "providerId": "ionq"}',
        b'{"target": "ionq.simulator", "providerId": "ionq", "inputDataFormat": "qir.v1", "inputParams": 5}',
        b'{"target": "ionq.simulator", "providerId": "ionq", "inputDataFormat": "qir.v1", "metadata": []}',
        b'{"target": "ionq.simulator", "providerId": "ionq", "inputDataFormat": "qir.v1", "tags": "x"}',
        b'{"target": "ionq.simulator", "providerId": "ionq", "inputDataFormat": "qir.v1", "name": "\\ud800"}',
        *(
            b'{"target": "ionq.simulator", "providerId": "ionq", "inputDataFormat": "qir.v1", %s}' % more
            for more in (
                b'"inputParams": {"shots": 1e999}', b'"inputParams": {"a": ["\\ud800"]}', b'"tags": ["\\ud800"]',
                b'"inputParams": {"a": [' + b"[]," * 200_000 + b"[]]}", b'"name": "' + b"x" * 9000 + b'"',
                b'"tags": ["' + b"x" * 9000 + b'"]',
                b'"metadata": {"\\ud800": "x"}', b'"metadata": {"a": "\\udfff"}', b'"name": "\xed\xa0\x80"',
            )
        ),
        b'{"target": "ionq.simulator", "providerId": "ionq", "inputDataFormat": "qir.v1", "containerUri": "http://elsewhere/x"}',
        b'{"target": "ionq.simulator", "providerId": "ionq", "inputDataFormat": "qir.v1", "containerUri": "http://[/x"}',
    ],
)  # fmt: skip
def test_a_bad_job_body_is_400_and_leaves_the_id_free(emulator: Emulator, body: bytes) -> None:
    caller = Caller(emulator)
    reply = caller.call("PUT", "/jobs/bad", body)
    assert (reply.status, reply.json()["error"]["code"]) == (400, "InvalidJobDefinition")
    assert caller.call("GET", "/jobs/bad").status == 404


def test_the_virtual_clock_moves_only_forward_and_only_by_a_request(start_emulator: Callable[..., Emulator]) -> None:
    emulator = start_emulator("--clock", "virtual", "--idle-rule", "documented")
    start = emulator.admin("clock")
    assert (start["clock"], emulator.admin("clock")["now"]) == ("virtual", start["now"])
    assert emulator.admin("clock", {"advance": 1.5})["seconds"] == start["seconds"] + 1.5
    caller = Caller(emulator)
    session = caller.open_session()
    assert emulator.admin("clock", {"to": "2100-01-01T00:00:00Z"})["now"] == "2100-01-01T00:00:00.0000000Z"
    assert caller.session_status(session) == "TimedOut"
    wrong: list[object] = [
        {"advance": -1},
        {"to": "1999-01-01"},
        {"advance": "x"},
        {"advance": 1e12},
        {},
        {"by": 1},
        [],
    ]
    for document in wrong:
        with pytest.raises(OSError, match="400"):
            emulator.admin("clock", document)


def test_the_real_clock_can_not_be_advanced(emulator: Emulator) -> None:
    assert emulator.admin("clock")["clock"] == "real"
    with pytest.raises(OSError, match="409"):
        emulator.advance(1)
