"""Admin endpoints below `/_admin/`, with a key of their own: clock, faults, target status, and the job ledger."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from hybridloop.emulator.admin.clock import ClockEndpoint
from hybridloop.emulator.admin.faults import FaultsEndpoint
from hybridloop.emulator.admin.target_status import TargetStatusOverrides
from hybridloop.emulator.http.messages import (
    MAX_JSON_BYTES,
    error_response,
    json_response,
    keys_match,
    read_body,
    unauthorized_response,
)
from hybridloop.emulator.model.errors import ApiError, bad_request, parse_whole_number
from hybridloop.emulator.model.requests import parse_json_object
from hybridloop.emulator.store.ledger import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, LedgerQuery, ledger
from hybridloop.emulator.store.store import LARGEST_KEY, Store

CLOCK_PATH = "/_admin/clock"
FAULTS_PATH = "/_admin/faults"


class LedgerEndpoint:
    """Endpoint `/_admin/ledger`: every accepted job with its cost."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def handle(self, request: Request) -> Response:
        """Return the part of the ledger that the request's query selects. Raises ApiError."""
        if request.method != "GET":
            raise ApiError(405, "MethodNotAllowed", "The ledger is read-only: use GET.")
        return json_response(ledger(self._store, parse_ledger_query(request.query_params)))


def parse_ledger_query(parameters: Mapping[str, str]) -> LedgerQuery:
    """Parse the query parameters of a URL. Raises ApiError for unknown or invalid ones."""
    unknown = set(parameters) - {"run", "session", "top", "after"}
    if unknown:
        raise bad_request(f"The ledger has no filter {', '.join(sorted(unknown))}.", "InvalidQuery")
    top = parse_whole_number("top", parameters.get("top"), DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
    after = parse_whole_number("after", parameters.get("after"), 0, LARGEST_KEY)
    return LedgerQuery(parameters.get("run") or None, parameters.get("session") or None, top, after)


class AdminRouter:
    """Dispatch of requests below `/_admin/`, after a check of the admin key."""

    def __init__(
        self,
        clock: ClockEndpoint,
        target_status: TargetStatusOverrides,
        faults: FaultsEndpoint,
        admin_key: str,
        ledger: LedgerEndpoint,
    ) -> None:
        self._clock = clock
        self._target_status = target_status
        self._faults = faults
        self._admin_key = admin_key
        self._ledger = ledger

    async def handle(self, request: Request) -> ASGIApp:
        """Return the response to a request."""
        if not keys_match(request.headers.get("x-admin-key"), self._admin_key):
            return unauthorized_response()
        path: str = request.scope["path"]
        try:
            if path == CLOCK_PATH or path.startswith(f"{CLOCK_PATH}/"):
                return await self._clock.handle(request, path.removeprefix(CLOCK_PATH))
            if path == FAULTS_PATH or path.startswith(f"{FAULTS_PATH}/"):
                return await self._faults.handle(request, path.removeprefix(FAULTS_PATH))
            if path == "/_admin/ledger":
                return self._ledger.handle(request)
            if path == "/_admin/targets":
                return await self._handle_targets(request)
            raise ApiError(404, "NotFound", "No endpoint has this path.")
        except ApiError as error:
            return error_response(error)
        except ClientDisconnect:
            return Response(status_code=400)  # never sent: the client has disconnected

    async def _handle_targets(self, request: Request) -> Response:
        if request.method == "POST":
            body = await read_body(request, MAX_JSON_BYTES)
            self._target_status.change(parse_json_object(body, "map of target statuses"))
        elif request.method != "GET":
            raise ApiError(405, "MethodNotAllowed", "Read target status with GET, and set it with POST.")
        return json_response(self._target_status.view())
