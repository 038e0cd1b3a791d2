"""Access of the checks to the service: requests whose outcome is the finding, and jobs on free targets only."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import closing
from typing import Any, TypeVar

from hybridloop.azure.client import ServiceClient
from hybridloop.azure.job_document import RESULTS_V2, blob_url, checked_item, job_document
from hybridloop.azure.retry import call_with_retries
from hybridloop.azure.transport import TRANSIENT, FailureKind, RequestFailed, Transport
from hybridloop.errors import AnswerRefused, ServiceBusy, ServiceRefused
from hybridloop.runtime.clock import Clock
from hybridloop.setup_checks.live.closing import ClosingProcess
from hybridloop.tasks.submission.job_errors import TRANSIENT_ERRORS
from hybridloop.tasks.submission.jobs import SUCCEEDED

IONQ, RIGETTI, QUANTINUUM = "ionq.simulator", "rigetti.sim.qvm", "quantinuum.sim.h2-1sc"
FREE_TARGETS = (IONQ, RIGETTI, QUANTINUUM)
NO_TARGET = "ionq.no-such-target"
MAX_JOBS = 40
JOB_LIMIT_S = 300.0
MAX_UNENDING = 2  # jobs of a target: one of some hundred takes so long
TIME_LIMIT_S = 2700.0  # of all checks, without those of idling
LAG_S = 10.0  # a session's status may follow that of its jobs by so much
ENDED_STATUSES = SUCCEEDED | {"Failed", "Cancelled"}
_FIRST_POLL_S, _LONGEST_POLL_S = 0.05, 3.0
_NO_ANSWER = frozenset({FailureKind.UNREACHABLE, FailureKind.DOWN})
_BUSY_STATUSES = frozenset({408, 429, 502, 503, 504})  # not 500: it may be the answer to this request


Found = Iterator[tuple[str, str | Callable[[], str]]]  # a check's name, and what was found or how to find it
T = TypeVar("T")


class NotShown(Exception):
    """A check came to no finding; the text says why."""


def unknown(reason: str) -> Callable[[], str]:
    """Return a function in place of a check that can't be made: it raises NotShown."""

    def find() -> str:
        raise NotShown(reason)

    return find


class CostsMoney(Exception):
    """A job on a target that should be free was billed."""


class LiveService:
    """A workspace's service for the checks; every session and job that it creates is closed or cancelled at the end.

    Names begin with `prefix`. A request that is refused raises RequestFailed; one that may be repeated and that a busy
    service or a broken connection left without an answer is sent again.
    """

    def __init__(self, workspace: Any, clock: Clock, closing: ClosingProcess) -> None:
        self.prefix = f"hybridloop-check-{uuid.uuid4().hex[:8]}"
        self.transport = Transport(workspace)
        self.clock = clock
        self.workspace = workspace
        self.opened: list[str] = []
        self.main_session_reason = "the session was not opened"
        self.documents: list[dict[str, Any]] = []  # of sessions and jobs, as the service sent them
        self.jobs_sent = 0
        self.calls_repeated = 0
        self.until = clock.now() + TIME_LIMIT_S
        self._main_session = ""
        self._closing = closing
        self._stop = threading.Event()
        self._unending: dict[str, str] = {}  # targets of jobs that took too long
        self._availability = _availability_by_target(workspace, clock, self._stop)

    @property
    def main_session(self) -> str:
        """The session that several groups of checks share. Raises NotShown if it was not opened."""
        if not self._main_session:
            raise NotShown(self.main_session_reason)
        return self._main_session

    @main_session.setter
    def main_session(self, session_id: str) -> None:
        self._main_session = session_id

    def require(self, target: str) -> None:
        """Raise NotShown if the workspace does not have the target, or the target takes no jobs now."""
        if self._availability is None:
            return
        if target not in self._availability:
            provider = target.partition(".")[0]
            raise NotShown(f"the workspace has no {target}: the provider {provider} was not added to it")
        if self._availability[target] == "Unavailable":
            raise NotShown(f"{target} is Unavailable at present")

    def call(self, method: str, path: str, body: object = None, **query: str | int) -> Any:
        """Send a request and return its JSON. Raises RequestFailed."""
        kinds = {FailureKind.BUSY} if method == "DELETE" else TRANSIENT
        has_document = method in ("GET", "PUT") or path.endswith((":close", "/sasUri"))

        def send() -> Any:
            reply = self.transport.call(method, path, body=body, query=query)
            if has_document and not isinstance(reply, dict):
                raise RequestFailed(FailureKind.UNCLEAR, "an answer without a document")
            return reply

        reply = self._again(send, kinds)
        for item in reply.get("value") or [reply] if isinstance(reply, dict) else ():
            if isinstance(item, dict) and item.get("itemType") in ("Session", "Job"):
                self.documents.append(item)
        return reply

    def outcome(self, send: Callable[[], Any]) -> str:
        """Return `accepted`, or the status and the code with which a request was refused."""
        try:
            send()
        except RequestFailed as failure:
            return refusal(failure)
        return "accepted"

    def settled(self, read: Callable[[], str], *expected: str) -> str:
        """Read until one of the expected texts is there, for at most `LAG_S`, and return the last one."""
        until = self.clock.now() + LAG_S
        while (found := read()) not in expected and self.clock.now() < until:
            self.pause(1.0)
        return found

    def open_session(self, target: str, policy: str) -> dict[str, Any]:
        """Open a session and return its document; its closing is arranged before it is opened."""
        self.require(target)
        session_id = str(uuid.uuid4())
        self.opened.append(session_id)
        self._closing.add(session_id, self.transport.sign("POST", f"/sessions/{session_id}:close", None))
        try:
            return self.put_session(session_id, target, policy)
        except RequestFailed as failure:
            if _is_refused(failure):
                self._closing.forget(session_id)
            raise

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

    def session_status(self, session_id: str, *expected: str) -> str:
        """Read a session's status, which may follow late."""
        return self.settled(lambda: str(self.session(session_id).get("status")), *expected)

    def close_session(self, session_id: str) -> dict[str, Any]:
        """Close a session."""
        closed = checked_item(self.call("POST", f"/sessions/{session_id}:close"))
        self._closing.forget(session_id)
        return closed

    def container(self, job_id: str) -> str:
        """Create a job's container and return its signed URL."""
        return str(self.call("POST", "/storage/sasUri", {"containerName": f"job-{job_id}"})["sasUri"])

    def upload(self, job_id: str, data: bytes, content_type: str = "qir.v1") -> str:
        """Create a job's container, upload its input, and return the container's signed URL."""
        container = self.container(job_id)
        self.blob(lambda: self.transport.put_blob(blob_url(container, "inputData"), data, content_type))
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
        """Send a job's document, to a free target only; its cancellation is arranged before."""
        target = document["target"]
        if target not in (*FREE_TARGETS, NO_TARGET):
            raise NotShown(f"{target} is not free")
        if list(self._unending.values()).count(target) >= MAX_UNENDING:
            raise NotShown(f"{MAX_UNENDING} jobs on {target} had not ended after {JOB_LIMIT_S:.0f} s each")
        if self.jobs_sent >= MAX_JOBS:
            raise NotShown(f"more than {MAX_JOBS} jobs would be needed")
        self.jobs_sent += 1
        self._closing.add(job_id, self.transport.sign("POST", f"/jobs/{job_id}:cancel", None))
        try:
            return checked_item(self.call("PUT", f"/jobs/{job_id}", document))
        except RequestFailed as failure:
            if _is_refused(failure):
                self._closing.forget(job_id)
            raise

    def job(self, job_id: str) -> dict[str, Any]:
        """Read a job, with signed URLs. Raises CostsMoney."""
        job = checked_item(self.call("GET", f"/jobs/{job_id}"))
        total = (job.get("costEstimate") or {}).get("estimatedTotal")
        if isinstance(total, int | float) and total:
            raise CostsMoney(f"a job on {job.get('target')} was billed; no further job is sent")
        if job.get("status") in ENDED_STATUSES:
            self._closing.forget(job_id)
        return job

    def ended(self, job_id: str) -> dict[str, Any]:
        """Wait for a job's end and read it. Raises NotShown if it takes too long, or fails for a passing reason."""
        job = self.ended_somehow(job_id)
        meaning = TRANSIENT_ERRORS.get(_error_code(job))
        if job["status"] == "Failed" and meaning is not None:
            raise NotShown(f"a job failed with {_error_code(job)}, as may happen: {meaning}")
        return job

    def ended_somehow(self, job_id: str) -> dict[str, Any]:
        """Wait for a job's end and read it. Raises NotShown if it takes too long."""
        limit_s = 0.0 if job_id in self._unending else JOB_LIMIT_S
        until, pause_s = self.clock.now() + limit_s, _FIRST_POLL_S
        while (job := self.job(job_id)).get("status") not in ENDED_STATUSES:
            if self.clock.now() >= until:
                self._unending[job_id] = str(job.get("target"))
                raise NotShown(f"a job was still {job.get('status')} after {JOB_LIMIT_S:.0f} s")
            self.pause(pause_s)
            pause_s = min(1.5 * pause_s, _LONGEST_POLL_S)
        return job

    def run(self, data: bytes, target: str, session_id: str, **more: Any) -> dict[str, Any]:
        """Submit a job and wait for its end; another in place of one that takes too long, or fails in passing."""
        try:
            return self.ended(self.submit(data, target, session_id, **more))
        except NotShown:
            return self.ended(self.submit(data, target, session_id, **more))

    @staticmethod
    def succeeded(job: dict[str, Any]) -> dict[str, Any]:
        """Return a job that succeeded. Raises NotShown if it did not."""
        if job["status"] not in SUCCEEDED:
            raise NotShown(f"a job that should succeed ended as {ending(job)}")
        return job

    def outcome_of_job(self, data: bytes, target: str, session_id: str, **more: Any) -> str:
        """Submit a job and return how it ended: its status and its error's code, or `refused`."""
        try:
            return ending(self.run(data, target, session_id, **more))
        except RequestFailed as failure:
            if failure.kind is FailureKind.REFUSED:
                return "refused"
            raise

    def result(self, job: Mapping[str, Any]) -> Any:
        """Download a job's result, which may appear a while after its end."""
        kinds = TRANSIENT | {FailureKind.MISSING}
        return json.loads(self._again(lambda: self.transport.get_blob(str(job["outputDataUri"])), kinds))

    def counts(self, job: Mapping[str, Any]) -> dict[str, int]:
        """Return a QIR job's counts by outcome, as its result lists the bits."""
        return counts_of(self.result(job))

    def statuses(self, kind: str) -> set[str]:
        """Return the statuses of all sessions or jobs that were read."""
        return {str(item.get("status")) for item in self.documents if item["itemType"] == kind}

    def blob(self, call: Callable[[], T]) -> T:
        """Send a request to the storage. Raises RequestFailed."""
        return self._again(call)

    def jobs(self, session_id: str, **query: str | int) -> list[dict[str, Any]]:
        """Read one page of a session's jobs."""
        return list(self.call("GET", f"/sessions/{session_id}/jobs", None, **query)["value"])

    def pause(self, seconds: float) -> None:
        """Wait on the service's clock."""
        self.clock.wait(self._stop, seconds)

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()

    def _again(self, call: Callable[[], T], kinds: Set[FailureKind] = TRANSIENT) -> T:
        if self.clock.now() > self.until:
            raise NotShown(f"the checks had taken {TIME_LIMIT_S / 60:.0f} minutes")

        def counted() -> T:
            try:
                return call()
            except RequestFailed as failure:
                self.calls_repeated += failure.kind in kinds
                raise

        return call_with_retries(counted, clock=self.clock, stop=self._stop, transient=kinds)


def _availability_by_target(workspace: Any, clock: Clock, stop: threading.Event) -> dict[str, str] | None:
    """Return the availability of the workspace's targets; None if it can't be read. Raises HybridloopError.

    A wrong key, or a service that can't be reached, ends the checks here.
    """
    client = ServiceClient(workspace, clock, stop)
    with closing(client):
        try:
            targets = [target for provider in client.list_providers() for target in provider.get("targets") or ()]
            return {str(target["id"]).lower(): str(target.get("currentAvailability")) for target in targets}
        except (ServiceBusy, ServiceRefused, AnswerRefused, KeyError, TypeError, AttributeError):
            return None


def _error_code(job: Mapping[str, Any]) -> str:
    return str((job.get("errorData") or {}).get("code") or "")


def ending(job: Mapping[str, Any]) -> str:
    """Return a job's status, with its error's code."""
    return f"{job.get('status')} {_error_code(job)}".strip()


def counts_of(result: Any) -> dict[str, int]:
    """Return the counts of a result by outcome."""
    return {"".join(map(str, row["Outcome"])): row["Count"] for row in result["Results"][0]["Histogram"]}


def is_answer(failure: RequestFailed) -> bool:
    """Return True if the service has answered the request, False if it was busy, down or out of reach."""
    return failure.kind not in _NO_ANSWER and failure.status not in _BUSY_STATUSES


def unanswered(failure: RequestFailed) -> str:
    """Return the reason for which a request was not answered."""
    match failure.kind:
        case FailureKind.UNREACHABLE:
            return f"the service could not be reached: {failure}"
        case FailureKind.DOWN:
            return f"the target takes no jobs at present: {failure}"
        case _:
            return f"the service was busy: {failure}"


def _is_refused(failure: RequestFailed) -> bool:
    """Return True if what the request should create does not exist."""
    return is_answer(failure) and failure.status is not None and 400 <= failure.status < 500


def refusal(failure: RequestFailed) -> str:
    """Return status and code of a refusal, and that it names the session's end; other failures are raised."""
    if failure.status is None or not is_answer(failure):
        raise failure
    ended = ", session ended" if failure.kind is FailureKind.SESSION_OVER else ""
    return f"{failure.status} {failure.code}".strip() + ended
