"""Operations of the service without HTTP: atomic steps, repeated requests, refused jobs."""

from __future__ import annotations

import pytest

from hybridloop.emulator.admin.target_status import TargetStatusOverrides
from hybridloop.emulator.model.errors import ApiError
from hybridloop.emulator.model.job import JobError
from hybridloop.emulator.model.latency import LatencyModel
from hybridloop.emulator.model.session import JobFailurePolicy
from tests.emulator.store_load_helpers import USAGE, ServiceHarness

ERROR = JobError("InvalidInputData", "no circuit")


def test_under_abort_a_failed_job_cancels_the_pending_ones_in_the_same_step() -> None:
    harness = ServiceHarness(JobFailurePolicy.ABORT)
    failing, running, waiting = (harness.submit() for _ in range(3))
    for job in (failing, running):
        assert harness.service.begin(job.key) is not None
    harness.service.fail(failing.key, ERROR)
    assert [harness.job_status(job) for job in (failing, running, waiting)] == ["Failed", "Cancelled", "Cancelled"]
    assert harness.session_status() == "Failed"
    assert sorted(harness.queue.dropped) == [running.key, waiting.key]
    assert harness.service.begin(waiting.key) is None
    with pytest.raises(ApiError, match="Session is already in a terminal state"):
        harness.submit()


def test_a_result_after_the_cancellation_changes_nothing() -> None:
    harness = ServiceHarness(JobFailurePolicy.CONTINUE)
    job = harness.submit()
    harness.service.begin(job.key)
    harness.service.cancel_job("w", job.id)
    harness.service.succeed(job.key, b"{}", USAGE)
    harness.service.fail(job.key, ERROR)
    assert harness.job_status(job) == "Cancelled"
    assert harness.service.store.blob(job.request.container, "outputData") is None
    assert harness.service.session("w", harness.session_id).state.failed == 0


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"target": "rigetti.sim.other"}, 403, "InvalidJobDefinition"),
        ({"provider_id": "ionq"}, 403, "InvalidJobDefinition"),
        ({"target": "ionq.simulator", "provider_id": "ionq"}, 400, "InvalidJobDefinition"),
        ({"session_id": "nowhere"}, 404, "NotFound"),
        ({"target": "ionq.qpu.forte-1", "provider_id": "ionq", "session_id": None}, 409, "TargetUnavailable"),
    ],
)
def test_a_refused_job_leaves_no_trace(changes: dict[str, object], status: int, code: str) -> None:
    harness = ServiceHarness(JobFailurePolicy.CONTINUE)
    conditions = TargetStatusOverrides(harness.service, LatencyModel({}, 0))
    conditions.change({"ionq.qpu.forte-1": {"availability": "Unavailable"}})
    with pytest.raises(ApiError) as refusal:
        harness.submit("j1", **changes)
    assert (refusal.value.status, refusal.value.code) == (status, code)
    assert harness.session_status() == "Waiting"
    assert harness.queue.added == []
    harness.submit("j1")
