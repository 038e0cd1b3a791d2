"""Checks of how sessions end: closed, by a failed job, with jobs pending, by idling."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from hybridloop.setup_checks.live import programs
from hybridloop.setup_checks.live.service import IONQ, LiveService, NotShown

Found = Iterator[tuple[str, str]]
IDLE_LIMIT_S = 780.0
_LOOK_S = 10.0


def check_abort(service: LiveService) -> Found:
    """A session of policy Abort: a cancelled job, then one that fails."""
    session_id = str(service.open_session(IONQ, "Abort")["id"])
    data = programs.rotated("Base")
    job_id = service.submit(data, IONQ, session_id)
    service.outcome(lambda: service.call("POST", f"/jobs/{job_id}:cancel"))
    was_cancelled = service.ended(job_id)["status"] == "Cancelled"
    yield "job-cancel", "Cancelled" if was_cancelled else "job was faster"
    yield "cancel-session", str(service.session(session_id).get("status")) if was_cancelled else "job was faster"
    service.outcome_of_job(data, IONQ, session_id, outputDataFormat="hybridloop.none.v1")
    yield "abort-session", str(service.session(session_id).get("status"))
    yield "abort-refuses", service.outcome(lambda: service.submit(data, IONQ, session_id))
    service.close_session(session_id)


def check_closing(service: LiveService) -> Found:
    """Close a session while a job may be pending, then again, and submit to it."""
    session_id = str(service.open_session(IONQ, "Abort")["id"])
    data = programs.rotated("Base")
    job_id = service.submit(data, IONQ, session_id)
    closing = service.close_session(session_id)
    late = service.outcome(lambda: service.submit(data, IONQ, session_id))
    yield "session-closing", late if closing.get("status") == "Executing" else "session had ended"
    yield "session-closing-jobs", str(service.ended(job_id)["status"])
    for _ in range(10):  # the session ends a moment after its last job
        if (status := str(service.session(session_id).get("status"))) != "Executing":
            break
        service.pause(1.0)
    yield "session-close", status
    yield "session-close-again", str(service.close_session(session_id).get("status"))
    yield "session-ended", service.outcome(lambda: service.submit(data, IONQ, session_id))


def check_idle(service: LiveService) -> Found:
    """Leave a session idle after a job until it times out."""
    session_id = str(service.open_session(IONQ, "Continue")["id"])
    data = programs.rotated("Base")
    job = service.ended(service.submit(data, IONQ, session_id))
    until = service.clock.now() + IDLE_LIMIT_S
    while (session := service.session(session_id)).get("status") in ("Waiting", "Executing"):
        if service.clock.now() > until:
            raise NotShown(f"the session was still {session.get('status')} after {IDLE_LIMIT_S:.0f} s")
        service.pause(_LOOK_S)
    idle_s = _seconds(session.get("endExecutionTime")) - _seconds(job.get("endExecutionTime"))
    within = "within 600 to 720 s" if 600.0 <= idle_s <= 720.0 else f"after {idle_s:.0f} s"
    yield "idle-timeout", f"{session.get('status')} {within}"
    yield "idle-late-job", service.outcome(lambda: service.submit(data, IONQ, session_id))


def _seconds(time: object) -> float:
    whole, _, fraction = str(time).rstrip("Z").removesuffix("+00:00").partition(".")
    try:
        return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")
    except ValueError:
        raise NotShown(f"the time {time!r} can't be read") from None
