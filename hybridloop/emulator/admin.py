"""The service's own endpoints below `/_admin/`, behind a key of their own."""

from __future__ import annotations

import json
import math

from starlette.requests import Request
from starlette.responses import Response

from hybridloop.emulator.clock import VirtualClock, moment_of, utc_text
from hybridloop.emulator.faults import ServiceFault, bad_request
from hybridloop.emulator.http import MAX_DOCUMENT, bounded_body, fault_reply, json_reply, same_key, unauthorized
from hybridloop.emulator.ledger_face import LedgerFace
from hybridloop.emulator.service import Service

FARTHEST_S = 100 * 365 * 86_400.0  # one call does not go forward by more
END_OF_TIME = 2.2e11  # seconds since 1970: the year 8941, before dates run out of digits


class Admin:
    """Answers requests below `/_admin/`."""

    def __init__(self, service: Service, admin_key: str, ledger: LedgerFace) -> None:
        self._service = service
        self._admin_key = admin_key
        self._ledger = ledger

    async def answer(self, request: Request) -> Response:
        """The reply to one request."""
        if not same_key(request.headers.get("x-admin-key"), self._admin_key):
            return unauthorized()
        try:
            if request.scope["path"] == "/_admin/ledger":
                return self._ledger.answer(request)
            if request.scope["path"] != "/_admin/clock":
                raise ServiceFault(404, "NotFound", "There is nothing at this path.")
            if request.method == "POST":
                return self._advance(await bounded_body(request, MAX_DOCUMENT))
            if request.method != "GET":
                raise ServiceFault(405, "MethodNotAllowed", "The clock is read with GET and set with POST.")
            return self._clock_reply()
        except ServiceFault as fault:
            return fault_reply(fault)

    def _advance(self, body: bytes) -> Response:
        clock = self._service.clock
        if not isinstance(clock, VirtualClock):
            raise ServiceFault(409, "ClockIsReal", "The real clock can't be advanced: start with --clock virtual.")
        self._service.advance(clock, _moment_asked(body, clock.now()))
        return self._clock_reply()

    def _clock_reply(self) -> Response:
        clock = self._service.clock
        kind = "virtual" if isinstance(clock, VirtualClock) else "real"
        return json_reply({"now": utc_text(clock.now()), "seconds": clock.now(), "clock": kind})


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
