"""Service for tests without HTTP and without workers, in virtual time."""

from __future__ import annotations

import uuid
from dataclasses import replace

from hybridloop.emulator.clock import VirtualClock
from hybridloop.emulator.model.billing import Usage
from hybridloop.emulator.model.requests import JobRequest, SessionRequest
from hybridloop.emulator.model.session import JobFailurePolicy
from hybridloop.emulator.model.targets import load_catalogue
from hybridloop.emulator.service import EmulatorService
from hybridloop.emulator.settings import IdleRule
from hybridloop.emulator.store.blobs import MemoryBlobs
from hybridloop.emulator.store.records import StoredJob
from hybridloop.emulator.store.store import Store

START = 1_800_000_000.0  # a multiple of the 120 s between idle checks
USAGE = Usage(1, 2, 4, 4, 0, 100)


class RecordingQueue:
    """Queue that records its calls and runs nothing."""

    def __init__(self) -> None:
        self.added: list[int] = []
        self.dropped: list[int] = []

    def add(self, job: StoredJob) -> None:
        self.added.append(job.key)

    def drop(self, key: int) -> None:
        self.dropped.append(key)

    def expected_s(self, key: int) -> float | None:
        return None


class ServiceHarness:
    """A service in memory with a virtual clock, and one session."""

    def __init__(self, policy: JobFailurePolicy, rule: IdleRule = IdleRule.RECORDED) -> None:
        self.clock = VirtualClock(START)
        self.queue = RecordingQueue()
        self.service = EmulatorService(Store(None), MemoryBlobs(), self.clock, load_catalogue(), rule, seed=0)
        self.service.queue = self.queue
        request = SessionRequest("s", "rigetti", "rigetti.sim.qvm", policy, None, None)
        self.session_id = self.service.open_session("w", "s1", request).id

    def submit(self, job_id: str = "", **changes: object) -> StoredJob:
        job_id = job_id or str(uuid.uuid4())
        request = JobRequest(
            name="n",
            provider_id="rigetti",
            target="rigetti.sim.qvm",
            container=f"job-{job_id}",
            input_blob="inputData",
            input_format="qir.v1",
            output_format="microsoft.quantum-results.v2",
            params={"shots": 5},
            metadata={"sampling_value": "ab"},
            session_id=self.session_id,
            priority=None,
            tags=None,
        )
        self.service.containers.put(f"job-{job_id}", "inputData", b"qir", "", "")
        return self.service.submit("w", job_id, replace(request, **changes))[0]  # type: ignore[arg-type]  # any field

    def job_status(self, job: StoredJob) -> str:
        return str(self.service.job("w", job.id).state.status)

    def session_status(self) -> str:
        return str(self.service.session("w", self.session_id).state.status)
