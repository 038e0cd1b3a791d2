"""The service's own endpoints below `/_admin/`, behind a key of their own."""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from hybridloop.emulator.clock_face import ClockFace
from hybridloop.emulator.faults import ServiceFault
from hybridloop.emulator.http import fault_reply, same_key, unauthorized
from hybridloop.emulator.ledger_face import LedgerFace

CLOCK = "/_admin/clock"


class Admin:
    """Answers requests below `/_admin/`."""

    def __init__(self, clock: ClockFace, admin_key: str, ledger: LedgerFace) -> None:
        self._clock = clock
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
            if path == "/_admin/ledger":
                return self._ledger.answer(request)
            raise ServiceFault(404, "NotFound", "There is nothing at this path.")
        except ServiceFault as fault:
            return fault_reply(fault)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
