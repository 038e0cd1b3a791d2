"""Makes the service fail as a fault plan says: one layer around the whole application, idle without a plan."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hybridloop.emulator.app import is_data_plane
from hybridloop.emulator.connections import Connections
from hybridloop.emulator.fault_answers import Answer, answer_of, refusal, spoilt, whole_body
from hybridloop.emulator.fault_calls import call_of
from hybridloop.emulator.fault_plan import FaultsInForce
from hybridloop.emulator.fault_rules import Call, Fault, Rule
from hybridloop.emulator.http import MAX_BLOB, first_of
from hybridloop.emulator.latency import Fate, FateKind
from hybridloop.emulator.pacing import Pacing
from hybridloop.emulator.service import Service
from hybridloop.emulator.session import SessionStatus
from hybridloop.emulator.virtual_time import VirtualTime

_FATES = {
    Fault.JOB_FAILS: FateKind.FAILS,
    Fault.JOB_HANGS: FateKind.HANGS,
    Fault.JOB_CANCELLED: FateKind.IS_CANCELLED,
}
_SESSION_ENDS = {Fault.SESSION_TIMES_OUT: SessionStatus.TIMED_OUT, Fault.SESSION_FAILS: SessionStatus.FAILED}


class FaultInjection:
    """The application under the faults in force; `time` is None on the real clock.

    A call without the data plane's key is no business of a fault's: `admits` says whether a request has it. Storage
    asks for signatures, of which only the application knows.
    `connections` is set once, when there is a server and before its first request.
    """

    connections: Connections

    def __init__(
        self,
        app: ASGIApp,
        faults: FaultsInForce,
        service: Service,
        pacing: Pacing,
        time: VirtualTime | None,
        admits: Callable[[Request], bool],
    ) -> None:
        self._app = app
        self._admits = admits
        self._faults = faults
        self._service = service
        self._pacing = pacing
        self._time = time
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Let go of the calls that wait for an answer for ever: the service is about to end."""
        self._closing.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._faults.plan.rules:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        if is_data_plane(scope["path"]) and not self._admits(request):
            await self._app(scope, receive, send)
            return
        body, again = await whole_body(request, MAX_BLOB)
        call = call_of(scope["method"], scope["path"], body, self._service.store)
        rule = None if call is None else self._faults.plan.decide(call, self._service.clock.now())
        if rule is None or call is None:
            await self._app(scope, again, send)
        else:
            with suppress(ConnectionError):  # the caller has gone: nobody is left to suffer the fault
                await self._inject(rule, call, scope, again, send)

    async def _inject(self, rule: Rule, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        if rule.fault is Fault.RESET_BEFORE:
            await self._reset(scope, receive)
            return
        refused = refusal(rule, call)
        if refused is not None:
            await refused(scope, receive, send)
            return
        if rule.fault in _SESSION_ENDS:
            self._service.break_session(call.workspace, call.session_id, _SESSION_ENDS[rule.fault])
        if rule.fault in _FATES:
            fate = Fate(_FATES[rule.fault], rule.code, rule.message, rule.seconds or 0.0)
            self._pacing.fates[call.job_id] = fate
        if rule.content is not None:
            receive = _body_of(rule.content.encode(), receive)
        try:
            answer = await answer_of(self._app, scope, receive)
        finally:
            self._pacing.fates.pop(call.job_id, None)
        await self._answer(rule, call, answer, scope, receive, send)

    async def _answer(self, rule: Rule, call: Call, answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
        """What becomes of an answer after all was done that was asked for."""
        match rule.fault:
            case Fault.RESET_AFTER:
                await self._reset(scope, receive)
            case Fault.ANSWER_DROPPED:
                await self._hang_up(scope, receive)
            case Fault.NO_ANSWER:
                await first_of(self._closing.wait(), _gone(receive))
                await self._hang_up(scope, receive)
            case Fault.TRUNCATED:
                start = answer.start() if answer.body else Answer(answer.status, answer.headers, b"{}").start()
                await send(start)
                await send(
                    {"type": "http.response.body", "body": answer.body[: len(answer.body) // 2], "more_body": True}
                )
                await self._hang_up(scope, receive)
            case Fault.SLOW_ANSWER:
                await self._let_pass(rule.seconds or 0.0, receive)
                await _send_whole(answer, send)
            case _:
                await _send_whole(spoilt(rule, answer, call, self._service.clock.now()), send)

    async def _let_pass(self, seconds: float, receive: Receive) -> None:
        """Let so many seconds pass: virtual ones go by at once, whoever is busy, for a caller that waits is."""
        if self._time is None:
            await first_of(asyncio.sleep(seconds), _gone(receive))
        else:
            await self._time.advance(self._service.clock.now() + seconds)

    async def _reset(self, scope: Scope, receive: Receive) -> None:
        self.connections.reset(scope)
        await _gone(receive)

    async def _hang_up(self, scope: Scope, receive: Receive) -> None:
        self.connections.hang_up(scope)
        await _gone(receive)


async def _gone(receive: Receive) -> None:
    """Wait until the connection has ended."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_whole(answer: Answer, send: Send) -> None:
    await send(answer.start())
    await send({"type": "http.response.body", "body": answer.body})


def _body_of(content: bytes, receive: Receive) -> Receive:
    """A `receive` that gives other content than was sent."""
    messages: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def other() -> Message:
        if messages:
            return messages.pop()
        await _gone(receive)
        return {"type": "http.disconnect"}

    return other
