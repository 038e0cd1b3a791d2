"""Endpoints `/_admin/faults` and `/_admin/faults/log`: set, read and remove the fault plan, read the injections."""

from __future__ import annotations

from dataclasses import MISSING, asdict, fields
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from hybridloop.emulator.clock import Clock, format_time
from hybridloop.emulator.faults.plan import ActiveFaults, FaultPlan, Injection
from hybridloop.emulator.faults.rules import FaultRule
from hybridloop.emulator.http.messages import MAX_JSON_BYTES, json_response, read_body
from hybridloop.emulator.model.errors import ApiError, bad_request


class FaultsEndpoint:
    """Endpoints at and below `/_admin/faults`."""

    def __init__(self, faults: ActiveFaults, clock: Clock) -> None:
        self._faults = faults
        self._clock = clock

    async def handle(self, request: Request, path: str) -> Response:
        """Return the response to a request; `path` is the part after `/_admin/faults`. Raises ApiError."""
        if (request.method, path) == ("GET", "/log"):
            return json_response(_log_view(self._faults.plan))
        if path != "":
            raise ApiError(404, "NotFound", "No endpoint has this path.")
        if request.method == "POST":
            self._set_plan(await read_body(request, MAX_JSON_BYTES))
        elif request.method == "DELETE":
            self._faults.plan = FaultPlan((), 0, self._clock.now())
        elif request.method != "GET":
            raise ApiError(
                405, "MethodNotAllowed", "Read the fault plan with GET, set it with POST, remove it with DELETE."
            )
        return json_response(_plan_view(self._faults.plan))

    def _set_plan(self, body: bytes) -> None:
        from hybridloop.emulator.faults.rules import (  # takes half a second to import
            InvalidFaultPlan,
            parse_fault_plan,
        )

        try:
            document = parse_fault_plan(body)
        except InvalidFaultPlan as error:
            raise bad_request(str(error), "InvalidFaultPlan") from None
        self._faults.plan = FaultPlan(document.rules, document.seed, self._clock.now())


def _plan_view(plan: FaultPlan) -> dict[str, Any]:
    return {"seed": plan.seed, "rules": [_rule_view(rule) for rule in plan.rules], "injected": plan.injected}


def _rule_view(rule: FaultRule) -> dict[str, Any]:
    """Return the rule as JSON, without the settings that have their defaults."""
    settings = asdict(rule)
    return {
        field.name: settings[field.name]
        for field in fields(rule)
        if field.default is MISSING or settings[field.name] != field.default
    }


def _log_view(plan: FaultPlan) -> dict[str, Any]:
    return {"injected": plan.injected, "log": [_injection_view(injection) for injection in plan.log]}


def _injection_view(injection: Injection) -> dict[str, Any]:
    call = injection.call
    return {
        "number": injection.number,
        "time": format_time(injection.moment),
        "rule": injection.rule,
        "fault": injection.fault,
        "operation": call.operation,
        "method": call.method,
        "path": call.path,
        "job": call.job_id or None,
        "session": call.session_id or None,
    }
