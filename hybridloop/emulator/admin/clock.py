"""Endpoints below `/_admin/clock`: read the time, advance virtual time, take part in it as a participant."""

from __future__ import annotations

import json
import math
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from hybridloop.emulator.clock import Clock, format_time, parse_time
from hybridloop.emulator.http.messages import MAX_JSON_BYTES, json_response, read_body, wait_unless_disconnected
from hybridloop.emulator.model.errors import ApiError, bad_request, not_found
from hybridloop.emulator.model.requests import parse_json_object
from hybridloop.emulator.virtual_time import VirtualTime

MAX_ADVANCE_S = 100 * 365 * 86_400.0  # by one call
MAX_TIME = 2.2e11  # seconds since 1970: the year 8941, before the date formats overflow
MAX_NAME_LENGTH = 200


class ClockEndpoint:
    """Endpoints at and below `/_admin/clock`; `time` is None on the real clock."""

    def __init__(self, clock: Clock, time: VirtualTime | None) -> None:
        self._clock = clock
        self._time = time

    async def handle(self, request: Request, path: str) -> ASGIApp:
        """Return the response to a request; `path` is the part after `/_admin/clock`. Raises ApiError."""
        if (request.method, path) == ("GET", ""):
            return self._state_response()
        # checks that all other requests share
        if path not in ("", "/participants", "/wait", "/wake"):
            raise ApiError(404, "NotFound", "No endpoint has this path.")
        if request.method != "POST":
            raise ApiError(405, "MethodNotAllowed", "Read the clock with GET, and set it with POST.")
        if self._time is None:
            message = "The service runs on real time, which can't be set: start it with --clock virtual."
            raise ApiError(409, "ClockIsReal", message)
        # advance by hand
        body = await read_body(request, MAX_JSON_BYTES)
        if path == "":
            await self._time.advance(_parse_advance(body, self._clock.now()))
            return self._state_response()
        # requests of participants
        document = parse_json_object(body, "clock request")
        if path == "/participants":
            return Membership(self._time, _parse_name(document))
        participant = self._time.participants.get(str(document.get("participant")))
        if participant is None:
            raise not_found("That participant")
        if path == "/wake":
            participant.wake()
        else:  # a client that disconnects while it waits is busy again
            waiting = self._time.wait(participant, _parse_until(document))
            await wait_unless_disconnected(waiting, request.receive())
        return json_response({"seconds": self._clock.now()})

    def _state_response(self) -> Response:
        now = self._clock.now()
        state: dict[str, Any] = {"now": format_time(now), "seconds": now, "clock": "real"}
        if self._time is not None:
            waits = [(participant.name, participant.waits_for) for participant in self._time.participants.values()]
            state["clock"] = "virtual"
            state["computing"] = self._time.is_computing()
            state["participants"] = [
                {"name": name, "busy": until is None, "until": None if until == math.inf else until}
                for name, until in waits
            ]
        return json_response(state)


class Membership:
    """Response to a participant that joins: one line with its id, on a connection that stays open.

    The participant is a member while the connection lives, so a process that dies, even by SIGKILL, does not stop
    time.
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
            await wait_unless_disconnected(participant.has_left.wait(), receive())
            await send({"type": "http.response.body"})
        finally:
            self._time.leave(participant)


def _parse_until(document: dict[str, Any]) -> float:
    """Return the moment to wait for, in seconds since 1970; infinity for null. Raises ApiError."""
    until = document.get("until")
    if until is None:
        return math.inf
    if isinstance(until, bool) or not isinstance(until, int | float) or not abs(until) <= MAX_TIME:
        raise bad_request("until must be seconds since 1970, up to the year 8941, or null.", "InvalidTime")
    return float(until)


def _parse_name(document: dict[str, Any]) -> str:
    name = document.get("name", "")
    if not isinstance(name, str) or len(name) > MAX_NAME_LENGTH:
        raise bad_request(f"name must be a string of at most {MAX_NAME_LENGTH} characters.", "InvalidName")
    return name


def _parse_advance(body: bytes, now: float) -> float:
    """Return the moment to which a request sets the time. Raises ApiError for one in the past or too far ahead."""
    try:
        document = json.loads(body)
        if set(document) == {"advance"}:
            moment = now + float(document["advance"])
        elif set(document) == {"to"}:
            moment = parse_time(document["to"])
        else:
            raise ValueError("neither advance nor to")
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise bad_request('The body must be {"advance": seconds} or {"to": "an ISO time"}.', "InvalidTime") from None
    if not (math.isfinite(moment) and now <= moment <= min(now + MAX_ADVANCE_S, MAX_TIME)):
        message = "The clock moves only forward, by at most a hundred years in one call, up to the year 8941."
        raise bad_request(message, "InvalidTime")
    return moment
