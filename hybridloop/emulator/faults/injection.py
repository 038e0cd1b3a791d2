"""ASGI middleware that injects the faults of the active fault plan into API calls; without rules it does nothing.

A request is identified first, because rules select calls by operation, job and session.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hybridloop.emulator.faults.plan import ActiveFaults, ApiCall, Fault, FaultRule
from hybridloop.emulator.faults.responses import (
    buffer_body,
    capture_response,
    corrupt_response,
    fault_response,
    with_body,
)
from hybridloop.emulator.http.blob_storage import BLOB_PATH
from hybridloop.emulator.http.messages import MAX_UPLOAD_BYTES, wait_unless_disconnected
from hybridloop.emulator.model.latency import InjectedOutcome, OutcomeKind
from hybridloop.emulator.model.routes import WORKSPACE_PATH, ApiOperation, is_data_plane_path, match_route
from hybridloop.emulator.model.session import SessionStatus
from hybridloop.emulator.pacing import JobPacer
from hybridloop.emulator.service import EmulatorService
from hybridloop.emulator.store.store import Store
from hybridloop.emulator.virtual_time import VirtualTime


def identify_call(method: str, path: str, body: bytes, store: Store) -> ApiCall | None:
    """Return the API call that a request makes; None if it is neither of the API nor of storage."""
    base = WORKSPACE_PATH.fullmatch(path)
    if base is None:
        return _blob_call(method, path, store)
    route = match_route(method, base[4])
    if route is None:
        return None
    workspace, document = "/".join(base.group(1, 2, 3)).lower(), _json_object(body)
    call = ApiCall(route.operation, method, path, workspace)
    if route.kind == "sessions":
        return _with_session(call, route.item, document, store)
    is_sas = route.operation is ApiOperation.SAS
    job_id = _job_of_container(_text(document, "containerName")) if is_sas else route.item
    return _with_job(call, job_id, document, store) if job_id else call


def _blob_call(method: str, path: str, store: Store) -> ApiCall | None:
    match = BLOB_PATH.fullmatch(path)
    if match is None or match[1] != match[2]:
        return None
    if match[3] is None:
        return ApiCall(ApiOperation.CONTAINER, method, path)
    call = ApiCall(ApiOperation.UPLOAD if method == "PUT" else ApiOperation.DOWNLOAD, method, path)
    job_id = _job_of_container(match[1])
    return _with_job(call, job_id, {}, store) if job_id else call


def _with_job(call: ApiCall, job_id: str, document: Mapping[str, Any], store: Store) -> ApiCall:
    """Add the names of the call's job and session, from the request's document, else from the database."""
    job = store.find_job(call.workspace or None, job_id)
    name = _text(document, "name") or (job.name if job and job.name else "")
    target = _text(document, "target") or (job.request.target if job else "")
    session_id = _text(document, "sessionId") or (job.request.session_id if job else None) or ""
    job_call = replace(call, job_id=job_id, job_names=(job_id, name), target=target)
    return _with_session(job_call, session_id, {}, store) if session_id else job_call


def _with_session(call: ApiCall, session_id: str, document: Mapping[str, Any], store: Store) -> ApiCall:
    """Add the names of the call's session, from the request's document, else from the database."""
    session = store.session(call.workspace, session_id) if call.workspace else None
    name = _text(document, "name") or (session.name if session else "")
    target = _text(document, "target") or (session.target if session else "") or call.target
    return replace(call, session_id=session_id, session_names=(session_id, name), target=target)


def _job_of_container(container: str) -> str:
    """Return the id of the job after which clients name the container; "" for another name."""
    return container.removeprefix("job-") if container.startswith("job-") else ""


def _json_object(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body) if body else {}
    except (ValueError, RecursionError):
        return {}  # the service reports the error
    return document if isinstance(document, dict) else {}


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    # JSON can hold lone surrogates, which SQLite can't look up
    return value.encode("utf-8", "ignore").decode() if isinstance(value, str) else ""


_FATES = {
    Fault.JOB_FAILS: OutcomeKind.FAILS,
    Fault.JOB_HANGS: OutcomeKind.HANGS,
    Fault.JOB_CANCELLED: OutcomeKind.IS_CANCELLED,
}
_SESSION_ENDS = {Fault.SESSION_TIMES_OUT: SessionStatus.TIMED_OUT, Fault.SESSION_FAILS: SessionStatus.FAILED}
NO_LINGER = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 seconds: close sends RST and drops unsent data


class Connections:
    """Open connections of a running server."""

    def __init__(self, server: uvicorn.Server) -> None:
        self._server = server

    async def reset(self, scope: Scope, receive: Receive) -> None:
        """Reset the request's connection; data that the client has not read yet is lost.

        Raises ConnectionError if the client has disconnected.
        """
        transport = self._transport(scope)
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        transport.abort()
        await _wait_for_disconnect(receive)

    async def close(self, scope: Scope, receive: Receive) -> None:
        """Close the request's connection after all written data is sent. Raises ConnectionError as `reset` does."""
        self._transport(scope).close()
        await _wait_for_disconnect(receive)

    def _transport(self, scope: Scope) -> asyncio.Transport:
        client = tuple(scope["client"])
        for connection in self._server.server_state.connections:
            transport = connection.transport
            if transport is not None and transport.get_extra_info("peername") == client:
                return transport
        raise ConnectionError("the client has disconnected")


@dataclass(slots=True)
class FaultMiddleware:
    """ASGI middleware around the application; `time` is None on the real clock.

    No fault is injected into an API call without a valid key, which `is_authorized` checks. Calls to storage carry
    signatures, which only the application can check. `connections` is set once the server exists, before its first
    request.
    """

    app: ASGIApp
    faults: ActiveFaults
    service: EmulatorService
    pacing: JobPacer
    time: VirtualTime | None
    is_authorized: Callable[[Request], bool]
    connections: Connections = field(init=False)
    _closing: asyncio.Event = field(default_factory=asyncio.Event)

    def close(self) -> None:
        """End the calls with the fault `no-answer`; the service is about to stop."""
        self._closing.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self.faults.plan.rules:
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        if is_data_plane_path(scope["path"]) and not self.is_authorized(request):
            await self.app(scope, receive, send)
            return
        body, replay = await buffer_body(request, MAX_UPLOAD_BYTES)
        call = identify_call(scope["method"], scope["path"], body, self.service.store)
        rule = None if call is None else self.faults.plan.decide(call, self.service.clock.now())
        if rule is None or call is None:
            await self.app(scope, replay, send)
        else:
            with suppress(ConnectionError):  # the client has disconnected by itself
                await self._inject(rule, call, scope, replay, send)

    async def _inject(self, rule: FaultRule, call: ApiCall, scope: Scope, receive: Receive, send: Send) -> None:
        # these faults replace the call
        if rule.fault is Fault.RESET_BEFORE:
            await self.connections.reset(scope, receive)
            return
        error = fault_response(rule, call)
        if error is not None:
            await error(scope, receive, send)
            return
        # these faults change the session, the job or the uploaded content
        if rule.fault in _SESSION_ENDS:
            self.service.force_session_end(call.workspace, call.session_id, _SESSION_ENDS[rule.fault])
        if rule.fault in _FATES:
            fate = InjectedOutcome(_FATES[rule.fault], rule.code, rule.message, rule.seconds or 0.0)
            self.pacing.injected_outcomes[call.job_id] = fate
        if rule.content is not None:
            receive = _receive_body(rule.content.encode(), receive)
        # the call is executed, and the fault changes its response
        try:
            response = await capture_response(self.app, scope, receive)
        finally:
            self.pacing.injected_outcomes.pop(call.job_id, None)
        await self._respond(rule, call, response, scope, receive, send)

    async def _respond(
        self, rule: FaultRule, call: ApiCall, response: Response, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Respond to an executed call as the fault asks: late, corrupted, in part, or not at all."""
        match rule.fault:
            case Fault.RESET_AFTER:
                await self.connections.reset(scope, receive)
            case Fault.ANSWER_DROPPED:
                await self.connections.close(scope, receive)
            case Fault.NO_ANSWER:
                await wait_unless_disconnected(self._closing.wait(), _wait_for_disconnect(receive))
                await self.connections.close(scope, receive)
            case Fault.TRUNCATED:
                whole = response if response.body else with_body(response, b"{}")
                half = response.body[: len(response.body) // 2]
                await send({"type": "http.response.start", "status": whole.status_code, "headers": whole.raw_headers})
                await send({"type": "http.response.body", "body": half, "more_body": True})
                await self.connections.close(scope, receive)
            case Fault.SLOW_ANSWER:
                await self._wait(rule.seconds or 0.0, receive)
                await response(scope, receive, send)
            case _:
                corrupted = corrupt_response(rule, response, call, self.service.clock.now())
                await corrupted(scope, receive, send)

    async def _wait(self, seconds: float, receive: Receive) -> None:
        """Wait until the seconds have passed or the client disconnects.

        Virtual time advances by them at once, although it has a busy participant: the client that awaits the response.
        """
        if self.time is None:
            await wait_unless_disconnected(asyncio.sleep(seconds), _wait_for_disconnect(receive))
        else:
            await self.time.advance(self.service.clock.now() + seconds)


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _receive_body(content: bytes, receive: Receive) -> Receive:
    """Return a `receive` with `content` in place of the request's body."""
    messages: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive_content() -> Message:
        if messages:
            return messages.pop()
        await _wait_for_disconnect(receive)
        return {"type": "http.disconnect"}

    return receive_content
