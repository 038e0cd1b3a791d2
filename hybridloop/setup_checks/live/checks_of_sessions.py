"""Checks of how sessions end: by a failed job, closed with jobs pending, by idling."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hybridloop.setup_checks.live import programs
from hybridloop.setup_checks.live.service import ENDED_STATUSES, IONQ, LAG_S, Found, LiveService, NotShown, unknown

IDLE_LIMIT_S = 780.0
_LOOK_S = 10.0
_MOMENT_S = 2.0  # by which a session's status follows that of its jobs


def check_abort(service: LiveService) -> Found:
    """A session of policy Abort: a cancelled job, then one that fails."""
    session_id = str(service.open_session(IONQ, "Abort")["id"])
    data = programs.rotated("Base")
    job_id = service.submit(data, IONQ, session_id)
    yield "job-cancel", lambda: cancelled(service, job_id)
    yield "cancel-session", lambda: after_cancelling(service, session_id, job_id)
    if service.session(session_id).get("status") != "Executing":
        session_id = str(service.open_session(IONQ, "Abort")["id"])
    service.ended(service.submit(data, IONQ, session_id, outputDataFormat="hybridloop.none.v1"))
    yield "abort-session", lambda: service.session_status(session_id, "Failed")
    yield "abort-refuses", lambda: service.outcome(lambda: service.submit(data, IONQ, session_id))
    service.close_session(session_id)


def cancelled(service: LiveService, job_id: str) -> str:
    """Cancel a job that waits."""
    outcome = service.outcome(lambda: service.call("POST", f"/jobs/{job_id}:cancel"))
    is_pending = service.job(job_id).get("status") not in ENDED_STATUSES
    status = str(service.ended(job_id).get("status"))
    if status == "Cancelled" or is_pending:
        return status if outcome == "accepted" else f"{outcome}, {status}"
    raise NotShown("the job ended before it could be cancelled")


def after_cancelling(service: LiveService, session_id: str, job_id: str) -> str:
    """Read a session a moment after a job of it was cancelled."""
    if service.ended(job_id).get("status") != "Cancelled":
        raise NotShown("no job was cancelled")
    service.pause(_MOMENT_S)
    return str(service.session(session_id).get("status"))


def check_closing(service: LiveService) -> Found:
    """Close a session while a job may be pending, then again, and submit to it."""
    session_id = str(service.open_session(IONQ, "Abort")["id"])
    data = programs.rotated("Base")
    job_id = service.submit(data, IONQ, session_id)
    closing = service.close_session(session_id)
    submit = lambda: service.outcome(lambda: service.submit(data, IONQ, session_id))  # noqa: E731
    is_pending = closing.get("status") == "Executing"
    yield "session-closing", submit if is_pending else unknown("the job ended before the session was closed")
    yield "session-closing-jobs", lambda: str(service.ended(job_id).get("status"))
    service.ended(job_id)
    status = service.session_status(session_id, "Succeeded")
    yield "session-close", status
    if status == "Executing":
        raise NotShown(f"the session was still open {LAG_S:.0f} s after its last job's end")
    yield "session-close-again", lambda: closed_again(service, session_id, status)
    yield "session-ended", submit


def closed_again(service: LiveService, session_id: str, status: str) -> str:
    """Close an ended session."""
    replies: list[dict[str, Any]] = []
    outcome = service.outcome(lambda: replies.append(service.close_session(session_id)))
    changed = [str(reply.get("status")) for reply in replies if reply.get("status") != status]
    return f"{outcome}, now {changed[0]}" if changed else outcome + ", unchanged" * bool(replies)


def check_idle(service: LiveService) -> Found:
    """Leave a session idle after a job until it times out."""
    session_id = str(service.open_session(IONQ, "Continue")["id"])
    data = programs.rotated("Base")
    job = service.succeeded(service.run(data, IONQ, session_id))
    began = service.clock.now()
    service.until += IDLE_LIMIT_S
    while (session := service.session(session_id)).get("status") in ("Waiting", "Executing"):
        if service.clock.now() > began + IDLE_LIMIT_S:
            yield "idle-timeout", f"still {session.get('status')} after {IDLE_LIMIT_S:.0f} s"
            raise NotShown("the session did not time out")
        service.pause(_LOOK_S)
    waited_s = service.clock.now() - began  # up to `_LOOK_S` too long, and too short by the job's lag
    last, end = _seconds(job.get("endExecutionTime")), _seconds(session.get("endExecutionTime"))
    is_stated = last is not None and end is not None
    idle_s = end - last if last is not None and end is not None else waited_s
    is_within = 600.0 <= idle_s <= 720.0 if is_stated else 585.0 <= idle_s <= 720.0 + _LOOK_S
    yield "idle-timeout", f"{session.get('status')} {'within 600 to 720 s' if is_within else f'after {idle_s:.0f} s'}"
    yield "idle-late-job", lambda: service.outcome(lambda: service.submit(data, IONQ, session_id))


def _seconds(time: object) -> float | None:
    whole, _, fraction = str(time).rstrip("Z").removesuffix("+00:00").partition(".")
    try:
        return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")
    except ValueError:
        return None
