"""Checks of lists of jobs, of changes to jobs, and of the documents of all sessions and jobs before."""

from __future__ import annotations

import re
from collections.abc import Callable, Set
from typing import Any

from hybridloop.setup_checks.live import programs
from hybridloop.setup_checks.live.service import IONQ, Found, LiveService, NotShown
from hybridloop.tasks.submission.jobs import ACTIVE, TERMINAL

PAGE_JOBS = 3  # of the pages that are read
SESSION_STATUSES = frozenset({"Waiting", "Executing", "Succeeded", "Failed", "Failure(s)", "TimedOut"})
_TIMES = ("creationTime", "beginExecutionTime", "endExecutionTime", "cancellationTime", "lastModifiedTime")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?(Z|\+00:00)")


def check_lists(service: LiveService) -> Found:
    """Order, filter and pages of a session's jobs."""
    session_id, data = service.main_session, programs.rotated("Base")
    for _ in range(PAGE_JOBS + 2 - len(service.jobs(session_id))):
        service.submit(data, IONQ, session_id)
    every = service.jobs(session_id, orderby="CreationTime asc")
    if not every:
        yield "list-prefix", "0 jobs"
        raise NotShown("the list of the session's jobs is empty")
    ids = [item["id"] for item in every]
    yield "list-prefix", lambda: filtered(service, session_id, every)
    yield "list-states", lambda: ended_jobs(service, session_id)
    yield "list-ascending", order_of(every, ids)
    yield "list-descending", lambda: order_of(service.jobs(session_id, orderby="CreationTime desc"), ids)
    yield "list-default", lambda: order_of(service.jobs(session_id), ids)
    yield "list-skip", lambda: skipped(service, session_id, ids)
    yield "list-pages", lambda: read_pages(service, session_id, ids, lambda: None)
    add = lambda: service.submit(data, IONQ, session_id)  # noqa: E731
    yield "list-added", lambda: read_pages(service, session_id, ids, add)
    bad = lambda: service.jobs(session_id, filter="Name like 'x'")  # noqa: E731
    yield "list-filter", lambda: service.outcome(bad).partition(" ")[0]


def filtered(service: LiveService, session_id: str, every: list[dict[str, Any]]) -> str:
    """List by the start of the first job's name, and compare with the whole list."""
    name = str(every[0]["name"])
    named = service.jobs(session_id, filter=f"startswith(Name, '{name}')")
    expected = {item["id"] for item in every if str(item["name"]).startswith(name)}
    return "own jobs" if {item["id"] for item in named} == expected else f"{len(named)} of {len(expected)} jobs"


def ended_jobs(service: LiveService, session_id: str) -> str:
    """List the jobs that have ended, as rounds of jobs of many points are polled, and compare with whole lists."""

    def ended() -> set[str]:
        return {item["id"] for item in service.jobs(session_id) if item.get("status") in TERMINAL}

    states = " or ".join(f"State eq '{state}'" for state in sorted(TERMINAL))
    before = ended()
    listed = [
        item["id"] for item in service.jobs(session_id, filter=f"startswith(Name, '{service.prefix}') and ({states})")
    ]
    # a job may end between two lists
    is_right = before <= set(listed) <= ended()
    return "ended jobs" if is_right else f"{len(listed)} jobs, {len(before)} had ended"


def skipped(service: LiveService, session_id: str, ids: list[str]) -> str:
    """List without the first two jobs."""
    rest = service.jobs(session_id, orderby="CreationTime asc", skip=2)
    return "the others" if [item["id"] for item in rest] == ids[2:] else f"{len(rest)} of {len(ids) - 2}"


def order_of(items: list[dict[str, Any]], ascending: list[str]) -> str:
    """Return the order of jobs, of which `ascending` has the ids by time of creation."""
    ids = [item["id"] for item in items]
    if [item["id"] for item in sorted(items, key=created)] == ids == ascending:
        return "ascending"
    return "descending" if ids == ascending[::-1] else "another order"


def created(item: dict[str, Any]) -> tuple[str, str]:
    """Return a key of the time of creation, whose fraction has 2 to 7 digits."""
    whole, _, fraction = str(item.get("creationTime")).rstrip("Z").removesuffix("+00:00").partition(".")
    return whole, fraction.ljust(7, "0")


def read_pages(service: LiveService, session_id: str, ids: list[str], between: Callable[[], object]) -> str:
    """Read all pages by their links; `between` is called after the first."""
    page = service.call("GET", f"/sessions/{session_id}/jobs", None, orderby="CreationTime asc", top=PAGE_JOBS)
    seen = [item["id"] for item in page["value"]]
    if len(seen) > PAGE_JOBS:
        return f"a page of {len(seen)}, {PAGE_JOBS} were asked for"
    between()
    for _ in range(len(ids)):
        if not page.get("nextLink"):
            break
        page = service.call("GET", str(page["nextLink"]))
        seen += [item["id"] for item in page["value"]]
    if page.get("nextLink"):
        return "pages without an end"
    if missing := len(set(ids) - set(seen)):
        return f"{missing} jobs missing"
    return "all jobs" if [each for each in seen if each in ids] == ids else "all jobs, in another order"


def check_changes(service: LiveService) -> Found:
    """Read a job's priority and tags, change its name, then delete the job."""
    session_id, data = service.main_session, programs.rotated("Base")
    labels = {"priority": "High", "tags": [service.prefix]}
    job_id = service.submit(data, IONQ, session_id, **labels)
    job = service.ended(job_id)
    yield "job-labels", "kept" if labels.items() <= job.items() else "left out"
    yield "job-change-name", lambda: change_name(service, job_id)
    yield "job-delete", lambda: deleted(service, session_id, job_id)
    container = service.container(job_id)
    again = lambda: service.put_job(job_id, service.document(container, IONQ, session_id))  # noqa: E731
    yield "job-deleted-id", lambda: "accepted" if service.outcome(again) == "accepted" else "refused"


def change_name(service: LiveService, job_id: str) -> str:
    """Change a job's name and read it."""
    name = f"{service.prefix}-changed"
    patched = service.outcome(lambda: service.call("PATCH", f"/jobs/{job_id}", {"name": name}))
    if patched != "accepted":
        return patched
    return service.settled(lambda: "changed" if service.job(job_id).get("name") == name else "not changed", "changed")


def deleted(service: LiveService, session_id: str, job_id: str) -> str:
    """Delete a job and look for it in the list."""
    outcome = service.outcome(lambda: service.call("DELETE", f"/jobs/{job_id}"))
    if outcome != "accepted":
        return outcome

    def find() -> str:
        return "listed" if any(item["id"] == job_id for item in service.jobs(session_id)) else "gone"

    return service.settled(find, "gone")


def check_documents(service: LiveService) -> Found:
    """Statuses and times of all sessions and jobs that the other checks read."""
    if not service.documents:
        raise NotShown("no session and no job was read")
    yield "job-statuses", other_than(ACTIVE | TERMINAL, service.statuses("Job"))
    yield "session-statuses", other_than(SESSION_STATUSES, service.statuses("Session"))
    times = {str(item[name]) for item in service.documents for name in _TIMES if item.get(name) is not None}
    yield "times", other_than({time for time in times if _TIME.fullmatch(time)}, times)


def other_than(known: Set[str], seen: Set[str]) -> str:
    """Return the texts that are not known, at most three."""
    others = sorted(seen - known)[:3]
    return f"also {', '.join(others)}" if others else "as known"
