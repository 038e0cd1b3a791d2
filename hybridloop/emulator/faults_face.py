"""`/_admin/faults`: put a plan of faults in force, read it, end it, and read what was injected when."""

from __future__ import annotations

from dataclasses import MISSING, asdict, fields
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from hybridloop.emulator.clock import Clock, utc_text
from hybridloop.emulator.fault_plan import FaultPlan, FaultsInForce, Injection
from hybridloop.emulator.fault_rules import Rule
from hybridloop.emulator.faults import ServiceFault, bad_request
from hybridloop.emulator.http import MAX_DOCUMENT, bounded_body, json_reply


class FaultsFace:
    """Answers requests at and below `/_admin/faults`."""

    def __init__(self, faults: FaultsInForce, clock: Clock) -> None:
        self._faults = faults
        self._clock = clock

    async def answer(self, request: Request, path: str) -> Response:
        """The reply to one request; `path` is what comes after `/_admin/faults`."""
        if (request.method, path) == ("GET", "/log"):
            return json_reply(_log_view(self._faults.plan))
        if path != "":
            raise ServiceFault(404, "NotFound", "There is nothing at this path.")
        if request.method == "POST":
            self._put(await bounded_body(request, MAX_DOCUMENT))
        elif request.method == "DELETE":
            self._faults.plan = FaultPlan((), 0, self._clock.now())
        elif request.method != "GET":
            raise ServiceFault(405, "MethodNotAllowed", "A plan is read with GET, set with POST, ended with DELETE.")
        return json_reply(_plan_view(self._faults.plan))

    def _put(self, body: bytes) -> None:
        from hybridloop.emulator.fault_file import BadFaultPlan, read_fault_document  # half a second for who needs it

        try:
            document = read_fault_document(body)
        except BadFaultPlan as error:
            raise bad_request(str(error), "InvalidFaultPlan") from None
        self._faults.plan = FaultPlan(document.rules, document.seed, self._clock.now())


def _plan_view(plan: FaultPlan) -> dict[str, Any]:
    return {"seed": plan.seed, "rules": [_rule_view(rule) for rule in plan.rules], "injected": plan.injected}


def _rule_view(rule: Rule) -> dict[str, Any]:
    """The rule as it was written: what was left out stays out."""
    written = asdict(rule)
    return {
        field.name: written[field.name]
        for field in fields(rule)
        if field.default is MISSING or written[field.name] != field.default
    }


def _log_view(plan: FaultPlan) -> dict[str, Any]:
    return {"injected": plan.injected, "log": [_injection_view(injection) for injection in plan.log]}


def _injection_view(injection: Injection) -> dict[str, Any]:
    call = injection.call
    return {
        "number": injection.number,
        "time": utc_text(injection.moment),
        "rule": injection.rule,
        "fault": injection.fault,
        "operation": call.operation,
        "method": call.method,
        "path": call.path,
        "job": call.job_id or None,
        "session": call.session_id or None,
    }
