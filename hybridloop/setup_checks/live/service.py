"""Access of the checks to the service: requests whose outcome is the finding, and jobs on free targets only."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from hybridloop.azure.job_document import RESULTS_V2, blob_url, checked_item, job_document
from hybridloop.azure.retry import call_with_retries
from hybridloop.azure.transport import FailureKind, RequestFailed, Transport
from hybridloop.runtime.clock import Clock
from hybridloop.setup_checks.live.closing import ClosingProcess

IONQ, RIGETTI, QUANTINUUM = "ionq.simulator", "rigetti.sim.qvm", "quantinuum.sim.h2-1sc"
FREE_TARGETS = (IONQ, RIGETTI, QUANTINUUM)
MAX_JOBS = 40
JOB_LIMIT_S = 300.0
ENDED_STATUSES = frozenset({"Succeeded", "Completed", "Failed", "Cancelled"})
_FIRST_POLL_S, _LONGEST_POLL_S = 0.05, 3.0
_BUSY = frozenset({FailureKind.BUSY})


class NotShown(Exception):
    """A check came to no finding; the text says why."""


class CostsMoney(Exception):
    """A job on a target that should be free was billed."""


class LiveService:
    """A workspace's service for the checks; every session and job that it creates is closed or cancelled at the end.

    Names begin with `prefix`. A request that is refused raises RequestFailed; only a busy service is asked again.
    """

    def __init__(self, workspace: Any, clock: Clock, closing: ClosingProcess) -> None:
        self.prefix = f"hybridloop-check-{uuid.uuid4().hex[:8]}"
        self.transport = Transport(workspace)
        self.clock = clock
        self.workspace = workspace
        self.opened: list[str] = []
        self._main_session = ""
        self.jobs_sent = 0
        self._closing = closing
        self._stop = threading.Event()
        self._containers: dict[str, str] = {}

    @property
    def main_session(self) -> str:
        """The session that several groups of checks share. Raises NotShown if it was not opened."""
        if not self._main_session:
            raise NotShown("the session was not opened")
        return self._main_session

    @main_session.setter
    def main_session(self, session_id: str) -> None:
        self._main_session = session_id

    def call(self, method: str, path: str, body: object = None, **query: str | int) -> Any:
        """Send a request and return its JSON; a throttled one, or one that the service could not answer, again."""
        return self._again(lambda: self.transport.call(method, path, body=body, query=query))

    def outcome(self, send: Callable[[], Any]) -> str:
        """Return `accepted`, or the status and the code with which a request was refused."""
        try:
            send()
        except RequestFailed as failure:
            return refusal(failure)
        return "accepted"

    def open_session(self, target: str, policy: str) -> dict[str, Any]:
        """Open a session and return its document; its closing is arranged before it is opened."""
        session_id = str(uuid.uuid4())
        self.opened.append(session_id)
        self._closing.hold(session_id, self.transport.sign("POST", f"/sessions/{session_id}:close", None))
        return self.put_session(session_id, target, policy)

    def put_session(self, session_id: str, target: str, policy: str, name: str = "") -> dict[str, Any]:
        """Send the session's document."""
        body = {
            "itemType": "Session",
            "name": name or self.prefix,
            "providerId": target.partition(".")[0],
            "target": target,
            "jobFailurePolicy": policy,
        }
        return checked_item(self.call("PUT", f"/sessions/{session_id}", body))

    def session(self, session_id: str) -> dict[str, Any]:
        """Read a session."""
        return checked_item(self.call("GET", f"/sessions/{session_id}"))

    def close_session(self, session_id: str) -> dict[str, Any]:
        """Close a session."""
        closed = checked_item(self.call("POST", f"/sessions/{session_id}:close"))
        self._closing.forget(session_id)
        return closed

    def upload(self, job_id: str, data: bytes, content_type: str = "qir.v1") -> str:
        """Create a job's container, upload its input, and return the container's signed URL."""
        reply = self.call("POST", "/storage/sasUri", {"containerName": f"job-{job_id}"})
        container = self._containers[job_id] = str(reply["sasUri"])
        self._again(lambda: self.transport.put_blob(blob_url(container, "inputData"), data, content_type))
        return container

    def document(self, container: str, target: str, session_id: str | None, **more: Any) -> dict[str, Any]:
        """Return a job's document; `more` replaces its fields, a field that is None is left out."""
        body = {
            "name": f"{self.prefix}-{self.jobs_sent}",
            "providerId": target.partition(".")[0],
            "target": target,
            "sessionId": session_id,
            "inputParams": {"shots": 100},
            "metadata": {"check": "1"},
            "outputDataFormat": RESULTS_V2,
            **more,
        }
        return job_document(container, {name: value for name, value in body.items() if value is not None})

    def submit(self, data: bytes, target: str, session_id: str | None, **more: Any) -> str:
        """Submit a job and return its id. Raises RequestFailed."""
        job_id = str(uuid.uuid4())
        container = self.upload(job_id, data, str(more.get("inputDataFormat", "qir.v1")))
        self.put_job(job_id, self.document(container, target, session_id, **more))
        return job_id

    def put_job(self, job_id: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """Send a job's document, to a free target only."""
        if document["target"] in FREE_TARGETS or document["target"].startswith(NO_TARGET):
            self.jobs_sent += 1
        else:
            raise NotShown(f"{document['target']} is not free")
        if self.jobs_sent > MAX_JOBS:
            raise NotShown(f"more than {MAX_JOBS} jobs")
        return checked_item(self.call("PUT", f"/jobs/{job_id}", document))

    def job(self, job_id: str) -> dict[str, Any]:
        """Read a job, with signed URLs. Raises CostsMoney."""
        job = checked_item(self.call("GET", f"/jobs/{job_id}"))
        if (job.get("costEstimate") or {}).get("estimatedTotal"):
            raise CostsMoney(f"a job on {job.get('target')} was billed; no further job is sent")
        return job

    def ended(self, job_id: str) -> dict[str, Any]:
        """Wait for a job's end and read it. Raises NotShown if it takes too long."""
        until, pause_s = self.clock.now() + JOB_LIMIT_S, _FIRST_POLL_S
        while (job := self.job(job_id)).get("status") not in ENDED_STATUSES:
            if self.clock.now() >= until:
                raise NotShown(f"the job was still {job.get('status')} after {JOB_LIMIT_S:.0f} s")
            self.pause(pause_s)
            pause_s = min(1.5 * pause_s, _LONGEST_POLL_S)
        return job

    def outcome_of_job(self, data: bytes, target: str, session_id: str | None, **more: Any) -> str:
        """Submit a job and return how it ended: its status and its error's code, or `refused`."""
        try:
            job = self.ended(self.submit(data, target, session_id, **more))
        except RequestFailed as failure:
            if failure.kind is FailureKind.REFUSED:
                return "refused"
            raise
        return " ".join(filter(None, (job["status"], (job.get("errorData") or {}).get("code"))))

    def result(self, job: Mapping[str, Any]) -> Any:
        """Download a job's result, which may appear a while after its end."""
        kinds = _BUSY | {FailureKind.MISSING}
        return json.loads(self._again(lambda: self.transport.get_blob(str(job["outputDataUri"])), kinds))

    def counts(self, job: Mapping[str, Any]) -> dict[str, int]:
        """Return a QIR job's counts by outcome, as its result lists the bits."""
        histogram = self.result(job)["Results"][0]["Histogram"]
        return {"".join(map(str, item["Outcome"])): item["Count"] for item in histogram}

    def jobs(self, session_id: str, **query: str | int) -> list[dict[str, Any]]:
        """Read one page of a session's jobs."""
        return list(self.call("GET", f"/sessions/{session_id}/jobs", None, **query)["value"])

    def pause(self, seconds: float) -> None:
        """Wait on the service's clock."""
        self.clock.wait(self._stop, seconds)

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()

    def _again(self, call: Callable[[], Any], kinds: frozenset[FailureKind] = _BUSY) -> Any:
        return call_with_retries(call, clock=self.clock, stop=self._stop, transient=kinds)


NO_TARGET = "ionq.no-such-target"


def refusal(failure: RequestFailed) -> str:
    """Return status and code of a refusal, and that it names the session's end; other failures are raised."""
    if failure.status is None:
        raise failure
    ended = ", session ended" if failure.kind is FailureKind.SESSION_OVER else ""
    return f"{failure.status} {failure.code}".strip() + ended
