"""Plain HTTP client for requests that the SDK can't send, and programs that need no compiler."""

from __future__ import annotations

import http.client
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from azure.quantum import Workspace
from azure.quantum.job.job import Job

from tests.conftest import SUBSCRIPTION, Emulator
from tests.waiting import PATIENCE_S, eventually

POLL_S = 0.005  # between two polls of a job: most have ended by the second

# three qubits and three bits: qubit 0 is 1 in 9 of 10 shots, qubit 1 always, qubit 2 never; highest bit first
ASYMMETRIC_QIR = b"""%Result = type opaque
%Qubit = type opaque

define i64 @ENTRYPOINT__main() #0 {
block_0:
  call void @__quantum__qis__ry__body(double 2.498091544796509, %Qubit* null)
  call void @__quantum__qis__x__body(%Qubit* inttoptr (i64 1 to %Qubit*))
  call void @__quantum__qis__m__body(%Qubit* null, %Result* null)
  call void @__quantum__qis__m__body(%Qubit* inttoptr (i64 1 to %Qubit*), %Result* inttoptr (i64 1 to %Result*))
  call void @__quantum__qis__m__body(%Qubit* inttoptr (i64 2 to %Qubit*), %Result* inttoptr (i64 2 to %Result*))
  call void @__quantum__rt__array_record_output(i64 3, i8* null)
  call void @__quantum__rt__result_record_output(%Result* inttoptr (i64 2 to %Result*), i8* null)
  call void @__quantum__rt__result_record_output(%Result* inttoptr (i64 1 to %Result*), i8* null)
  call void @__quantum__rt__result_record_output(%Result* null, i8* null)
  ret i64 0
}

attributes #0 = { "entry_point" "qir_profiles"="base_profile" "required_num_qubits"="3" }
"""

_QUBIT = "%Qubit* inttoptr (i64 {0} to %Qubit*)"
_LAYER = "".join(
    f"  call void @__quantum__qis__h__body({_QUBIT.format(q)})\n"
    f"  call void @__quantum__qis__t__body({_QUBIT.format(q)})\n"
    f"  call void @__quantum__qis__cx__body({_QUBIT.format(q + 1)}, {_QUBIT.format(q)})\n"
    for q in range(23)
)
# 24 entangled qubits and 6,900 gates take many minutes
ENDLESS_QIR = ASYMMETRIC_QIR.replace(b"block_0:\n", f"block_0:\n{100 * _LAYER}".encode())


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Caller:
    """HTTP client of one workspace, with a connection per call."""

    emulator: Emulator
    workspace: str = field(default_factory=lambda: f"plain-{uuid.uuid4()}")
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def base(self) -> str:
        return (
            f"/subscriptions/{SUBSCRIPTION}/resourceGroups/tests/providers/Microsoft.Quantum"
            f"/workspaces/{self.workspace}"
        )

    def call(self, method: str, path: str, body: Any = None, **headers: Any) -> Reply:
        """Send a request below the workspace's path, with the API key."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        defaults = {"x-ms-quantum-api-key": self.emulator.api_key, **self.headers}
        return raw_call(self.emulator.endpoint, method, f"{self.base}{path}", data, {**defaults, **headers})

    def open_session(self, target: str = "rigetti.sim.qvm", policy: str = "Continue", **more: Any) -> str:
        session = str(uuid.uuid4())
        document = {"name": "test", "providerId": target.partition(".")[0], "target": target}
        reply = self.call("PUT", f"/sessions/{session}", {**document, "jobFailurePolicy": policy, **more})
        assert reply.status == 200, reply.body
        return session

    def session_status(self, session: str) -> str:
        return str(self.call("GET", f"/sessions/{session}").json()["status"])

    def upload(self, job: str, data: bytes) -> str:
        """Create the job's container, upload its input, and return the container's signed URL."""
        url = str(self.call("POST", "/storage/sasUri", {"containerName": f"job-{job}"}).json()["sasUri"])
        reply = blob_call(url, "PUT", "/inputData", data, **{"x-ms-blob-type": "BlockBlob", "If-None-Match": "*"})
        assert reply.status == 201, reply.body
        return url

    def submit(
        self, data: bytes = ASYMMETRIC_QIR, *, job: str = "", target: str = "rigetti.sim.qvm", **more: Any
    ) -> str:
        """Upload and submit a job, and return its id; `more` goes into the job's document."""
        job = job or str(uuid.uuid4())
        url = self.upload(job, data)
        reply = self.call("PUT", f"/jobs/{job}", self.document(url, target=target, **more))
        assert reply.status == 200, reply.body
        return job

    def document(self, url: str, *, target: str = "rigetti.sim.qvm", **more: Any) -> dict[str, Any]:
        """Return the body of a submission."""
        plain = url.partition("?")[0]
        standard = {
            "itemType": "Job",
            "name": "test",
            "providerId": target.partition(".")[0],
            "target": target,
            "containerUri": url,
            "inputDataUri": f"{plain}/inputData",
            "inputDataFormat": "qir.v1",
            "outputDataFormat": "microsoft.quantum-results.v2",
            "inputParams": {"shots": 100},
        }
        return {**standard, **more}

    def ended(self, job: str) -> dict[str, Any]:
        """Wait for the job's end, and return its document."""
        document: dict[str, Any] = {}

        def has_ended() -> bool:
            document.update(self.call("GET", f"/jobs/{job}").json())
            return document["status"] in ("Succeeded", "Failed", "Cancelled")

        eventually(has_ended, lambda: document, poll_s=POLL_S)
        return document

    def all_ended(self) -> None:
        """Wait until no job of the workspace is pending."""
        pending = quote("(State eq 'Waiting' or State eq 'Executing')")
        query = f"/jobs?top=1&filter={pending}"
        eventually(lambda: not self.call("GET", query).json()["value"], poll_s=POLL_S)

    def result(self, job: str) -> Any:
        """Wait for the job's success, and return its result document."""
        document = self.ended(job)
        assert document["status"] == "Succeeded", document["errorData"]
        return blob_call(document["outputDataUri"], "GET").json()


@contextmanager
def connection(endpoint: str) -> Iterator[http.client.HTTPConnection]:
    """Hold one HTTP connection."""
    http_connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=PATIENCE_S)
    try:
        yield http_connection
    finally:
        http_connection.close()


def raw_call(endpoint: str, method: str, path: str, data: bytes | None, headers: Mapping[str, str]) -> Reply:
    """Send one request over a new connection."""
    with connection(endpoint) as http_connection:
        http_connection.request(method, path, data, dict(headers))
        reply = http_connection.getresponse()
        return Reply(reply.status, {key.lower(): value for key, value in reply.getheaders()}, reply.read())


def blob_call(
    url: str, method: str, blob: str = "", data: bytes | None = None, *, query: str = "", **headers: Any
) -> Reply:
    """Send a storage request to a signed URL; `blob` begins with a slash, `query` goes before the signature."""
    parts = urlsplit(url)
    path = f"{parts.path}{quote(blob)}?{query}{'&' if query else ''}{parts.query}"
    return raw_call(url, method, path, data, headers)


def outcome_counts(result: Any) -> dict[str, int]:
    """Return the counts of a results.v2 document by outcome, its bits joined."""
    histogram = result["Results"][0]["Histogram"]
    return {"".join(map(str, entry["Outcome"])): entry["Count"] for entry in histogram}


def sdk_job(workspace: Workspace, data: bytes, target: str, **more: Any) -> Job:
    """Submit a job through the SDK, without a compiler."""
    settings: dict[str, Any] = {
        "name": "test",
        "provider_id": target.partition(".")[0],
        "input_data_format": "qir.v1",
        "output_data_format": "microsoft.quantum-results.v2",
        "input_params": {"shots": 100},
        **more,
    }
    return Job.from_input_data(workspace=workspace, target=target, input_data=data, **settings)
