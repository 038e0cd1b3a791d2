"""Sessions and jobs as the service lists them, of any program: `hl.sessions()`, `hl.session(id)`, `session.jobs()`."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import date
from functools import partial
from typing import Any

from qiskit.providers import JobStatus
from qiskit.result import Result

from hybridloop.algorithms.rounds import Counts
from hybridloop.azure import listing
from hybridloop.azure.client import ServiceClient
from hybridloop.azure.job_document import QUIL_RESULTS, RESULTS_V2, checked_amount
from hybridloop.azure.listing import (
    close_session,
    open_client,
    session_expected,
    session_filter,
    session_row,
    show_session,
)
from hybridloop.compiler.languages.qir_output import OutputLayout
from hybridloop.compiler.languages.qir_program import read_stored
from hybridloop.errors import InputError, JobFailed
from hybridloop.runtime.clock import RealClock
from hybridloop.targets import recorded_target
from hybridloop.targets.provider_options import target_with_options
from hybridloop.tasks.circuit_jobs import as_result
from hybridloop.tasks.submission.jobs import SENT_AS_QIR, SUCCEEDED, TERMINAL
from hybridloop.tasks.submission.polling import poll_interval
from hybridloop.tasks.submission.results import read_document

_STATUS = {
    "Waiting": JobStatus.QUEUED,
    "Cancelled": JobStatus.CANCELLED,
    "Failed": JobStatus.ERROR,
    **dict.fromkeys(SUCCEEDED, JobStatus.DONE),
}


class ServiceJob:
    """A job that the service has, submitted by any program. `details` is its document, as of the last request."""

    def __init__(self, workspace: Any, document: dict[str, Any]) -> None:
        self.id: str = document["id"]
        self.name: str = document.get("name") or ""
        self.details = document
        self._workspace = workspace

    def __repr__(self) -> str:
        return f"<job {self.id} {self.name!r}: {self.details.get('status')}>"

    def job_id(self) -> str:
        """Return `id`, as Qiskit's jobs do."""
        return self.id

    @property
    def shots(self) -> int | None:
        """Number of shots; None if the service does not state it."""
        shots = checked_amount((self.details.get("inputParams") or {}).get("shots"))
        return None if shots is None else int(shots) * max(1, len(self._rows()))

    def status(self) -> JobStatus:
        """QUEUED, RUNNING, DONE, CANCELLED or ERROR; the service is asked unless the job has ended."""
        if self.details.get("status") not in TERMINAL:
            with open_client(self._workspace) as client:
                self._read(client)
        return _STATUS.get(str(self.details.get("status")), JobStatus.RUNNING)

    def done(self) -> bool:
        """Return True once the job has succeeded."""
        return self.status() is JobStatus.DONE

    def result(self) -> Result:
        """Wait for the job and return its counts as Qiskit's Result. Raises JobFailed if it ended without counts.

        Raises InputError for a format other than hybridloop's and a job of several points, which has no single counts.
        """
        clock, never = RealClock(), threading.Event()
        began = clock.now()
        with open_client(self._workspace) as client:
            while True:
                self._read(client)  # also for a new signature of the result's address
                if (status := self.details.get("status")) in TERMINAL:
                    break
                clock.wait(never, poll_interval(clock.now() - began))
            if status not in SUCCEEDED:
                error = self.details.get("errorData") or {}
                reason = " ".join(error[key] for key in ("code", "message") if error.get(key)) or "no reason is given"
                remedy = "Submit the circuit again, in an open session."
                raise JobFailed(f"job {self.id} ended {status}: {reason}", "It has no counts.", remedy)
            counts = self._download(client)
        return as_result(counts, None, counts.shots, str(self.details.get("target")), self.id, self.name)

    @property
    def counts(self) -> dict[str, int]:
        """The number of shots by string of the measured bits, the first one rightmost; waits for them."""
        counts: dict[str, int] = self.result().get_counts()
        return counts

    def _rows(self) -> list[str]:
        """Return the parameters of each row of a job of many points; none for other jobs."""
        values = (self.details.get("inputParams") or {}).get("substitutions") or {}
        return [repr(row) for row in zip(*values.values(), strict=False)]

    def _read(self, client: ServiceClient) -> None:
        if (document := client.find_job(self.id)) is None:
            raise InputError("job", f"the service has no job {self.id} any more", "List the session's jobs again.")
        self.details = document

    def _download(self, client: ServiceClient) -> Counts:
        details = self.details
        format_, url = details.get("outputDataFormat"), details.get("outputDataUri")
        if format_ not in (RESULTS_V2, QUIL_RESULTS) or not url:
            remedy = "Read it with the program that submitted the job, or with the SDK: workspace.get_job(id)."
            raise InputError("job", f"the result of {self.id} has the format {format_}", remedy, "Nothing is lost.")
        if len(set(self._rows())) > 1:
            problem = f"job {self.id} measured {len(set(self._rows()))} points, so it has no single counts"
            remedy = "Ask the jobs that session.run returned; a script with a run_key gets them from its journal."
            raise InputError("job", problem, remedy, "Nothing is lost.")
        target, shots = recorded_target(str(details.get("target"))), self.shots or 0
        target = target_with_options(target, details.get("inputParams") or {})
        container = client.create_container(self.id)
        layout = self._layout(client, container)
        read = partial(read_document, data_format=format_, target=target, shots=shots, layout=layout)
        return client.download(self.id, url, container, read)

    def _layout(self, client: ServiceClient, container: str) -> OutputLayout | None:
        """Return the output of a program that hybridloop sent as QIR, from that program; None for other jobs."""
        url = str(self.details.get("inputDataUri") or "")
        if SENT_AS_QIR not in (self.details.get("metadata") or {}) or not url:
            return None
        return client.download(self.id, url, container, lambda data: read_stored(bytes(data)).layout)


class ServiceSession:
    """A session of the workspace, opened by any program: id, name, target, and its status when it was listed."""

    def __init__(self, workspace: Any, row: dict[str, Any]) -> None:
        self.id: str = row["id"]
        self.name: str | None = row["name"]
        self.target: str | None = row["target"]
        self.status: str | None = row["status"]
        self._workspace = workspace

    def __repr__(self) -> str:
        return f"<session {self.id} {self.name!r} on {self.target}: {self.status}>"

    @property
    def details(self) -> dict[str, Any]:
        """The session as the service knows it now: id, name, target, status, times, and its jobs by status."""
        row = show_session(self._workspace, self.id)
        self.status = row["status"]
        return row

    def jobs(self) -> list[ServiceJob]:
        """Return its jobs in order of creation, pings included."""
        return jobs_of_session(self._workspace, self.id)

    def close(self) -> None:
        """Close it; its jobs run on and are billed. A session that has ended stays as it is."""
        self.status = close_session(self._workspace, self.id)["status"]


def list_sessions(
    workspace: Any,
    limit: int,
    status: Iterable[str] = (),
    target: Iterable[str] = (),
    since: date | str | None = None,
    until: date | str | None = None,
) -> list[ServiceSession]:
    """Return the newest sessions of a workspace that meet a filter, at most `limit`. Raises as `session_filter`."""
    terms = session_filter(status, target, since, until)
    return [ServiceSession(workspace, row) for row in listing.list_sessions(workspace, limit, terms)]


def find_session(workspace: Any, session_id: str) -> ServiceSession:
    """Return a session of a workspace. Raises InputError if it has none of that id."""
    with open_client(workspace) as client, session_expected(session_id):
        return ServiceSession(workspace, session_row(client.get_session(session_id)))


def jobs_of_session(workspace: Any, session_id: str) -> list[ServiceJob]:
    """Return a session's jobs in order of creation. Raises InputError if no session has that id."""
    with open_client(workspace) as client, session_expected(session_id):
        return [ServiceJob(workspace, document) for document in client.list_session_jobs(session_id)]
