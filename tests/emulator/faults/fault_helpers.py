"""Helpers of the fault tests: set fault rules, and make the SDK's calls that they apply to."""

from __future__ import annotations

import time
import uuid
from typing import Any

from azure.quantum import Workspace
from azure.quantum.job.job import Job
from azure.quantum.job.session import Session, SessionJobFailurePolicy

from tests.conftest import Emulator
from tests.emulator.http_helpers import ASYMMETRIC_QIR, sdk_job

TARGET = "rigetti.sim.qvm"


def set_fault(service: Emulator, fault: str, **rule: Any) -> None:
    """Activate a fault plan of one rule."""
    service.admin("faults", {"rules": [{"fault": fault, **rule}]})


def injected_faults(service: Emulator) -> list[tuple[str, str]]:
    return [(entry["fault"], entry["operation"]) for entry in service.admin("faults/log")["log"]]


def run_job(workspace: Workspace, **more: Any) -> Job:
    return sdk_job(workspace, ASYMMETRIC_QIR, TARGET, **more)


def wait_until_ended(job: Job) -> Job:
    """Refresh a job until it is terminal; the SDK's own wait sleeps at least 0.2 s."""
    deadline = time.monotonic() + 30
    while not job.has_completed():
        job.refresh()
        assert time.monotonic() < deadline
    return job


def open_sdk_session(
    workspace: Workspace, policy: SessionJobFailurePolicy = SessionJobFailurePolicy.CONTINUE
) -> Session:
    session = Session(
        workspace=workspace,
        id=str(uuid.uuid4()),
        name="faulty",
        provider_id="rigetti",
        target=TARGET,
        job_failure_policy=policy,
    )
    return session.open()


def api_key_header(emulator: Emulator) -> dict[str, str]:
    return {"x-ms-quantum-api-key": emulator.api_key}
