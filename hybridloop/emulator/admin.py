"""The service's own endpoints below `/_admin/`, behind a key of their own."""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from hybridloop.emulator.clock_face import ClockFace
from hybridloop.emulator.conditions import Conditions
from hybridloop.emulator.faults import ServiceFault
from hybridloop.emulator.faults_face import FaultsFace
from hybridloop.emulator.http import MAX_DOCUMENT, bounded_body, fault_reply, json_reply, same_key, unauthorized
from hybridloop.emulator.ledger_face import LedgerFace
from hybridloop.emulator.requests import json_object

CLOCK = "/_admin/clock"
FAULTS = "/_admin/faults"


class Admin:
    """Answers requests below `/_admin/`."""

    def __init__(
        self, clock: ClockFace, conditions: Conditions, faults: FaultsFace, admin_key: str, ledger: LedgerFace
    ) -> None:
        self._clock = clock
        self._conditions = conditions
        self._faults = faults
        self._admin_key = admin_key
        self._ledger = ledger

    async def answer(self, request: Request) -> ASGIApp:
        """The reply to one request."""
        if not same_key(request.headers.get("x-admin-key"), self._admin_key):
            return unauthorized()
        path: str = request.scope["path"]
        try:
            if path == CLOCK or path.startswith(f"{CLOCK}/"):
                return await self._clock.answer(request, path.removeprefix(CLOCK))
            if path == FAULTS or path.startswith(f"{FAULTS}/"):
                return await self._faults.answer(request, path.removeprefix(FAULTS))
            if path == "/_admin/ledger":
                return self._ledger.answer(request)
            if path == "/_admin/targets":
                return await self._targets(request)
            raise ServiceFault(404, "NotFound", "There is nothing at this path.")
        except ServiceFault as fault:
            return fault_reply(fault)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it

    async def _targets(self, request: Request) -> Response:
        if request.method == "POST":
            self._conditions.change(json_object(await bounded_body(request, MAX_DOCUMENT), "set of conditions"))
        elif request.method != "GET":
            raise ServiceFault(405, "MethodNotAllowed", "Targets' conditions are read with GET and set with POST.")
        return json_reply(self._conditions.view())
