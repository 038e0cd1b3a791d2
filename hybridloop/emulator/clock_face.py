"""`/_admin/clock`: read the time, let virtual time go forward, live in it as a participant."""

from __future__ import annotations

import json
import math
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from hybridloop.emulator.clock import Clock, moment_of, utc_text
from hybridloop.emulator.faults import ServiceFault, bad_request, not_found
from hybridloop.emulator.http import MAX_DOCUMENT, bounded_body, first_of, json_reply
from hybridloop.emulator.requests import json_object
from hybridloop.emulator.virtual_time import Participant, VirtualTime

FARTHEST_S = 100 * 365 * 86_400.0  # one call does not go forward by more
END_OF_TIME = 2.2e11  # seconds since 1970: the year 8941, before dates run out of digits
MAX_NAME = 200


class ClockFace:
    """Answers requests at and below `/_admin/clock`; `time` is None where the clock is real."""

    def __init__(self, clock: Clock, time: VirtualTime | None) -> None:
        self._clock = clock
        self._time = time

    async def answer(self, request: Request, path: str) -> ASGIApp:
        """The reply to one request; `path` is what comes after `/_admin/clock`."""
        if (request.method, path) == ("GET", ""):
            return self._reading()
        if path not in ("", "/participants", "/wait", "/wake"):
            raise ServiceFault(404, "NotFound", "There is nothing at this path.")
        if request.method != "POST":
            raise ServiceFault(405, "MethodNotAllowed", "The clock is read with GET and set with POST.")
        if self._time is None:
            raise ServiceFault(409, "ClockIsReal", "The real clock goes by itself: start with --clock virtual.")
        body = await bounded_body(request, MAX_DOCUMENT)
        if path == "":
            await self._time.advance(_moment_asked(body, self._clock.now()))
            return self._reading()
        document = json_object(body, "clock request")
        if path == "/participants":
            return Membership(self._time, _name(document))
        participant = self._participant(self._time, document)
        if path == "/wake":
            self._time.wake(participant)
        else:
            await _wait(self._time, participant, _until(document), request)
        return json_reply({"seconds": self._clock.now()})

    def _participant(self, time: VirtualTime, document: dict[str, Any]) -> Participant:
        participant = time.find(str(document.get("participant")))
        if participant is None:
            raise not_found("That participant")
        return participant

    def _reading(self) -> Response:
        reading: dict[str, Any] = {"now": utc_text(self._clock.now()), "seconds": self._clock.now(), "clock": "real"}
        if self._time is not None:
            waits = [(participant.name, participant.waits_for) for participant in self._time.participants]
            reading["clock"] = "virtual"
            reading["computing"] = self._time.is_computing()
            reading["participants"] = [
                {"name": name, "busy": until is None, "until": _finite(until)} for name, until in waits
            ]
        return json_reply(reading)


class Membership:
    """The reply to a participant that joins: one line with its id, and the connection stays open.

    It is a member as long as the connection lives, so one that dies, however it dies, does not hold time up.
    """

    def __init__(self, time: VirtualTime, name: str) -> None:
        self._time = time
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        participant = self._time.join(self._name)
        try:
            line = json.dumps({"participant": participant.id, "seconds": self._time.clock.now()}) + "\n"
            headers = [(b"content-type", b"application/x-ndjson")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": line.encode(), "more_body": True})
            await first_of(participant.gone.wait(), receive())
            await send({"type": "http.response.body"})
        finally:
            self._time.leave(participant)


async def _wait(time: VirtualTime, participant: Participant, until: float, request: Request) -> None:
    """Wait for the moment; a caller that hangs up is busy again."""
    await first_of(time.wait(participant, until), request.receive())


def _until(document: dict[str, Any]) -> float:
    """The moment waited for in seconds since 1970; null is for ever."""
    until = document.get("until")
    if until is None:
        return math.inf
    if isinstance(until, bool) or not isinstance(until, int | float) or not abs(until) <= END_OF_TIME:
        raise bad_request("until must be seconds since 1970, up to the year 8941, or null.", "InvalidTime")
    return float(until)


def _name(document: dict[str, Any]) -> str:
    name = document.get("name", "")
    if not isinstance(name, str) or len(name) > MAX_NAME:
        raise bad_request(f"name must be a text of at most {MAX_NAME} characters.", "InvalidName")
    return name


def _finite(moment: float | None) -> float | None:
    return moment if moment is not None and math.isfinite(moment) else None


def _moment_asked(body: bytes, now: float) -> float:
    try:
        document = json.loads(body)
        if set(document) == {"advance"}:
            moment = now + float(document["advance"])
        elif set(document) == {"to"}:
            moment = moment_of(document["to"])
        else:
            raise ValueError("neither advance nor to")
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise bad_request('The body must be {"advance": seconds} or {"to": "an ISO time"}.', "InvalidTime") from None
    if not (math.isfinite(moment) and now <= moment <= min(now + FARTHEST_S, END_OF_TIME)):
        raise bad_request(
            "The clock only goes forward, and by at most a hundred years at once, up to the year 8941.", "InvalidTime"
        )
    return moment
