"""The HTTP calls of a round alone: the cost of the service and the loopback for any client."""

from __future__ import annotations

import http.client
import json
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlsplit

from benchmarks.local import WORKSPACE
from hybridloop.azure.pace import MIN_IN_FLIGHT
from hybridloop.emulator.pytest_plugin import RESOURCE_GROUP, SUBSCRIPTION, Emulator
from hybridloop.settings.session_options import DEFAULT_OPTIONS
from hybridloop.targets import Target
from hybridloop.tasks.submission.job_ids import RoundKey
from hybridloop.tasks.submission.jobs import JobSpec, submission_body

PAUSE_S = 0.01
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.002, 0.1  # between polls of one job
PAGE = 100
_BASE = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}/providers/Microsoft.Quantum/workspaces/{WORKSPACE}"
)
_VERSION = "api-version=2025-09-01-preview"
_BLOB = {"x-ms-version": "2024-08-04"}
_UPLOAD = {
    **_BLOB,
    "x-ms-blob-type": "BlockBlob",
    "If-None-Match": "*",
    "Content-Type": "application/octet-stream",
    "x-ms-blob-content-type": "qir.v1",
}


class BareClient:
    """Client that sends the same requests by `http.client`: persistent connections, as many threads, one session.

    It checks the status only, and parses no result.
    """

    def __init__(self, service: Emulator, target: Target) -> None:
        self._host = urlsplit(service.endpoint).netloc
        self._headers = {"x-ms-quantum-api-key": service.api_key, "Content-Type": "application/json"}
        self._target = target
        self._local = threading.local()
        self._session = str(uuid.uuid4())
        self._pool = ThreadPoolExecutor(MIN_IN_FLIGHT)
        body = {"itemType": "Session", "name": "bare", "providerId": target.provider, "target": target.name}
        self._json("PUT", f"/sessions/{self._session}", {**body, "jobFailurePolicy": "Continue"})

    def round(self, place: RoundKey, specs: Sequence[JobSpec]) -> float:
        """Return the seconds of a round's calls: three per job to submit, one list per 100 jobs, one result per job.

        Waiting for the jobs and polls of unfinished jobs are left out.
        """
        started = time.perf_counter()
        signatures = dict(zip((spec.id for spec in specs), self._pool.map(self._submit, specs), strict=True))
        submitting = time.perf_counter() - started
        while not self._has_ended(place, len(specs)):
            time.sleep(PAUSE_S)
        started = time.perf_counter()
        list(self._pool.map(lambda job: self._result(job, signatures[job["id"]]), self._jobs(place)))
        return submitting + time.perf_counter() - started

    def job(self, spec: JobSpec) -> bytes:
        """Submit one job, wait for its end, and read its result in the caller's thread."""
        signature = self._submit(spec)
        pause = SHORTEST_PAUSE_S
        while (job := self._json("GET", f"/jobs/{spec.id}"))["status"] != "Succeeded":
            if job["status"] in ("Failed", "Cancelled"):
                raise RuntimeError(f"a job ended {job['status']}: {job['errorData']}")
            time.sleep(pause)
            pause = min(1.5 * pause, LONGEST_PAUSE_S)
        return self._result(job, signature)

    def close(self) -> None:
        """Close the session and end the threads."""
        self._json("POST", f"/sessions/{self._session}:close")
        self._pool.shutdown()

    def _submit(self, spec: JobSpec) -> str:
        """Submit a job; returns the signature that opens its container."""
        container = str(self._json("POST", "/storage/sasUri", {"containerName": f"job-{spec.id}"})["sasUri"])
        address, _, signature = container.partition("?")
        url = f"{address}/inputData"
        self._call("PUT", f"{urlsplit(url).path}?{signature}", spec.payload, _UPLOAD)
        body = {
            "itemType": "Job",
            "containerUri": container,
            "inputDataUri": url,
            "inputDataFormat": "qir.v1",
            "outputDataFormat": "microsoft.quantum-results.v2",
            **submission_body(spec, self._session, self._target, DEFAULT_OPTIONS),
        }
        self._json("PUT", f"/jobs/{spec.id}", body)
        return signature

    def _jobs(self, place: RoundKey, *, top: int = PAGE, skip: int = 0, states: str = "") -> list[dict[str, Any]]:
        wanted = quote(f"startswith(Name, '{place.prefix}'){states}")
        query = f"orderby=CreationTime%20asc&top={top}&skip={skip}&filter={wanted}"
        page: list[dict[str, Any]] = self._json("GET", f"/sessions/{self._session}/jobs", query=query)["value"]
        return page

    def _has_ended(self, place: RoundKey, jobs: int) -> bool:
        return bool(self._jobs(place, top=1, skip=jobs - 1, states=" and State eq 'Succeeded'"))

    def _result(self, job: dict[str, Any], signature: str) -> bytes:
        return self._call("GET", f"{urlsplit(job['outputDataUri']).path}?{signature}", None, _BLOB)

    def _json(self, method: str, path: str, body: object = None, *, query: str = "") -> Any:
        data = None if body is None else json.dumps(body).encode()
        address = f"{_BASE}{path}?{_VERSION}&{query}" if query else f"{_BASE}{path}?{_VERSION}"
        return json.loads(self._call(method, address, data, self._headers))

    def _call(self, method: str, address: str, data: bytes | None, headers: dict[str, str]) -> bytes:
        try:
            status, content = self._exchange(method, address, data, headers)
        except ConnectionError:  # the service closes connections that idle for 5 s while other ways are measured
            self._local.connection.close()
            status, content = self._exchange(method, address, data, headers)
        if status >= 400:
            raise RuntimeError(f"{method} {urlsplit(address).path}: {status} {content[:300]!r}")
        return content

    def _exchange(self, method: str, address: str, data: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = http.client.HTTPConnection(self._host, timeout=30)
        connection.request(method, address, data, headers)
        reply = connection.getresponse()
        return reply.status, reply.read()
