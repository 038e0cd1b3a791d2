"""Client on a service with injected faults, in virtual time: transient faults are retried, others are reported."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.rounds import Counts
from hybridloop.azure.pace import RequestLimits
from hybridloop.azure.retry import ATTEMPTS
from hybridloop.emulator.client_clock import ServiceClock
from hybridloop.errors import AccessDenied, JobFailed, ServiceBusy, ServiceRefused, ServiceUnreachable, SessionEnded
from hybridloop.settings.failure_policy import FailurePolicy, OnSessionLost
from hybridloop.settings.session_options import SessionOptions
from tests.conftest import Emulator, running_emulator
from tests.session_helpers import open_run_session, temporary_run
from tests.tasks.test_session_closing import ones

pytestmark = pytest.mark.usefixtures("job_per_point")

POINTS = 4
PASSING: list[dict[str, Any]] = [
    {"fault": "throttled"},
    {"fault": "throttled", "retry_after": 20},
    {"fault": "throttled", "retry_after": "soon"},
    {"fault": "throttled", "retry_after_date": 20},
    *({"fault": "error", "status": status} for status in (500, 502, 503, 504)),
    {"fault": "reset-before-commit"},
    {"fault": "reset-after-commit"},
    {"fault": "answer-dropped"},
    {"fault": "truncated"},
    {"fault": "not-json"},
    {"fault": "slow-answer", "seconds": 40},
]


def angled() -> QuantumCircuit:
    """Return a circuit with one angle, which gives 0 in all shots at 0."""
    circuit = QuantumCircuit(1, 1)
    circuit.ry(Parameter("theta"), 0)
    circuit.measure(0, 0)
    return circuit


def run(service: Emulator, clock: ServiceClock, rules: list[dict[str, Any]]) -> list[Any]:
    """Run two rounds under these rules; assert right counts, no duplicate job and a closed session.

    Returns the log of the injected faults.
    """
    run_uid = str(
        uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(rules))
    )  # fixed ids, so that random faults hit the same calls
    workspace = service.workspace(f"faults-{run_uid}")
    service.admin("faults", {"rules": rules})
    with (
        temporary_run("rigetti.sim.qvm", seed=0, uid=run_uid) as kept,
        open_run_session(workspace, clock=clock, run=kept) as session,
    ):
        for _ in range(2):
            for points in session.run_round([ones()] * POINTS):
                (counts,) = points
                assert isinstance(counts, Counts)
                assert counts.bitstrings() == {"1": 10}
    log: list[Any] = service.admin("faults/log")["log"]
    service.admin("faults", {"rules": []})
    assert len(list(workspace.list_jobs())) == 2 * POINTS
    assert workspace.get_session(session.id).details.status == "Succeeded"
    return log


@pytest.mark.claim("the connection breaks")
@pytest.mark.parametrize("first", range(0, len(PASSING), ATTEMPTS - 1))
@pytest.mark.parametrize(
    "operations",
    [["open", "sas", "upload", "submit", "list", "close"], ["download"]],  # an upload that was done is read again
    ids=["sending", "reading"],
)
def test_a_transient_fault_is_retried_at_every_kind_of_call(
    service: Emulator, clock: ServiceClock, operations: list[str], first: int
) -> None:
    faults = PASSING[first : first + ATTEMPTS - 1]  # one call may get all of them in successive attempts
    rules = [
        {**fault, "operation": operation, "nth": nth} for operation in operations for nth, fault in enumerate(faults, 1)
    ]
    assert len(run(service, clock, rules)) == len(rules)


def test_a_wide_round_keeps_to_the_rate_that_the_service_takes(service: Emulator, clock: ServiceClock) -> None:
    jobs, per_s = 60, 20
    workspace = service.workspace(f"limited-{uuid.uuid4()}")
    with open_run_session(workspace, "rigetti.sim.qvm", seed=0, clock=clock) as session:
        service.admin("faults", {"rules": [{"fault": "throttled", "above_per_s": per_s, "retry_after": 1}]})
        began = clock.now()
        (points,) = session.run_round([SamplerPub.coerce((angled(), [[0.0]] * jobs), 10)])
        taken_s = clock.now() - began
        refused = service.admin("faults/log")["injected"]
        service.admin("faults", {"rules": []})
    assert [counts.bitstrings() for counts in points if isinstance(counts, Counts)] == [{"0": 10}] * jobs
    assert len(list(workspace.list_jobs())) == jobs
    calls = 4 * jobs
    assert refused < calls / 4
    assert taken_s < 1.3 * calls / per_s + 5.0  # in virtual time


def test_a_users_limit_of_requests_is_kept(service: Emulator, clock: ServiceClock) -> None:
    jobs, per_s = 20, 4.0
    limits = RequestLimits(in_flight=2, per_s=per_s)
    with open_run_session(
        service.workspace(), "rigetti.sim.qvm", SessionOptions(requests=limits), seed=0, clock=clock
    ) as session:
        began = clock.now()
        session.run_round([SamplerPub.coerce((angled(), [[0.0]] * jobs), 10)])
        assert clock.now() - began >= (4 * jobs - 5) / per_s  # in virtual time; the first ones are sent at once


def test_many_faults_at_once_are_retried_and_hit_the_same_calls_in_every_run(service: Emulator) -> None:
    operations = ["open", "sas", "upload", "submit", "close"]  # the number of polls depends on the computing time
    storm = [{**rule, "operation": operations, "probability": 0.02} for rule in PASSING]
    strikes = []
    with running_emulator("--clock", "virtual") as another:
        for emulator in (service, another):
            with ServiceClock(emulator.endpoint, emulator.admin_key) as clock:
                log = run(emulator, clock, storm)
            strikes.append(sorted((entry["path"], entry["fault"]) for entry in log))
    assert strikes[0] == strikes[1]
    assert len(strikes[0]) > 5


@pytest.mark.parametrize("fault", ["empty", "wrong-shape"])
@pytest.mark.parametrize("operation", ["open", "sas", "submit", "list", "close"])
def test_an_answer_without_its_document_is_asked_for_again(
    service: Emulator, clock: ServiceClock, fault: str, operation: str
) -> None:
    assert len(run(service, clock, [{"fault": fault, "operation": operation, "nth": 1}])) == 1


def test_a_list_that_shifts_between_its_pages_loses_no_job(service: Emulator, clock: ServiceClock) -> None:
    assert len(run(service, clock, [{"fault": "page-skips-item", "every": 2}, {"fault": "page-repeats-item"}])) > 1


@pytest.mark.claim("a result is missing or can't be read")
def test_a_late_result_is_awaited(service: Emulator, clock: ServiceClock) -> None:
    assert len(run(service, clock, [{"fault": "blob-missing", "seconds": 0.02}])) >= 2 * POINTS


def test_an_input_whose_signature_has_expired_is_uploaded_with_a_renewed_one(
    service: Emulator, clock: ServiceClock
) -> None:
    assert len(run(service, clock, [{"fault": "signature-expired", "operation": "sas", "nth": 1}])) == 1


def test_an_existing_upload_counts_as_done(service: Emulator, clock: ServiceClock) -> None:
    assert len(run(service, clock, [{"fault": "blob-exists"}])) == 2 * POINTS


@pytest.mark.parametrize(
    ("rule", "error", "said"),
    [
        ({"fault": "error", "status": 503, "operation": "submit"}, ServiceBusy, "submitting a job"),
        ({"fault": "reset-before-commit", "operation": "upload"}, ServiceUnreachable, "uploading"),
        ({"fault": "not-json", "operation": "sas"}, ServiceBusy, "preparing a job"),
        ({"fault": "wrong-shape", "operation": "sas"}, ServiceBusy, "preparing a job"),
        ({"fault": "empty", "operation": "list"}, ServiceBusy, "listing"),
        ({"fault": "not-json", "operation": "download"}, JobFailed, "can't be read"),
        ({"fault": "unauthorized", "operation": "submit", "nth": 1}, AccessDenied, "does not accept the key"),
        ({"fault": "quota-exceeded"}, ServiceRefused, "quota"),
        ({"fault": "blob-missing"}, JobFailed, "not in the storage"),
        ({"fault": "blob-exists", "content": "theirs"}, ServiceRefused, "another input"),
        ({"fault": "signature-expired", "operation": "download"}, AccessDenied, "AuthenticationFailed"),
        ({"fault": "signature-expired", "operation": "upload"}, AccessDenied, "storage does not accept the signature"),
        ({"fault": "job-fails", "code": "InvalidInputData", "nth": 2}, JobFailed, "InvalidInputData"),
        ({"fault": "job-fails", "nth": 2}, JobFailed, "gave no reason"),
        ({"fault": "job-cancelled", "nth": 2}, JobFailed, "Cancelled"),
        ({"fault": "session-times-out", "operation": "submit", "nth": 3}, SessionEnded, "allows no other"),
        ({"fault": "session-fails", "operation": "submit", "nth": 3}, SessionEnded, "allows no other"),
    ],
    ids=lambda value: " ".join(str(part) for part in value.values()) if isinstance(value, dict) else None,
)
def test_a_permanent_fault_is_reported_and_the_session_is_closed(
    service: Emulator, clock: ServiceClock, rule: dict[str, Any], error: type[Exception], said: str
) -> None:
    workspace = service.workspace()
    service.admin("faults", {"rules": [rule]})
    policy = FailurePolicy(on_session_lost=OnSessionLost.FAIL)
    with (
        pytest.raises(error, match=said),
        open_run_session(workspace, options=SessionOptions(failure=policy), clock=clock) as session,
    ):
        session.run_round([ones()] * POINTS)
    service.admin("faults", {"rules": []})
    deadline = time.monotonic() + 30
    while not workspace.get_session(session.id).is_in_terminal_state():  # jobs that were accepted run on
        assert time.monotonic() < deadline
