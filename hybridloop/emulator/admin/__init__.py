"""Admin endpoints below `/_admin/`, with a key of their own: clock, faults, target status, portal links, job ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp

from hybridloop.emulator.admin.clock import ClockEndpoint
from hybridloop.emulator.admin.target_status import TargetStatusOverrides
from hybridloop.emulator.clock import format_time
from hybridloop.emulator.faults.plan import (
    ActiveFaults,
    FaultPlan,
    FaultRule,
    Injection,
    InvalidFaultPlan,
    parse_fault_plan,
)
from hybridloop.emulator.http.messages import (
    MAX_JSON_BYTES,
    json_response,
    keys_match,
    read_body,
    unauthorized_response,
)
from hybridloop.emulator.model.errors import ApiError, bad_request, parse_whole_number
from hybridloop.emulator.model.requests import parse_json_object
from hybridloop.emulator.service import EmulatorService
from hybridloop.emulator.store.ledger import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, LedgerQuery, ledger
from hybridloop.emulator.store.store import LARGEST_KEY

CLOCK_PATH = "/_admin/clock"


@dataclass(frozen=True, slots=True)
class AdminRouter:
    """Dispatch of requests below `/_admin/`, after a check of the admin key."""

    service: EmulatorService
    clock: ClockEndpoint
    target_status: TargetStatusOverrides
    faults: ActiveFaults
    create_portal_link: Callable[[], str]
    admin_key: str = field(repr=False)

    async def handle(self, request: Request) -> ASGIApp:
        """Return the response to a request. Raises ApiError."""
        if not keys_match(request.headers.get("x-admin-key"), self.admin_key):
            return unauthorized_response()
        path: str = request.scope["path"]
        if path == CLOCK_PATH or path.startswith(f"{CLOCK_PATH}/"):
            return await self.clock.handle(request, path.removeprefix(CLOCK_PATH))
        match path:
            case "/_admin/faults":
                return json_response(_plan_view(await self._fault_plan(request)))
            case "/_admin/faults/log" if request.method == "GET":
                plan = self.faults.plan
                return json_response({"injected": plan.injected, "log": [_injection_view(i) for i in plan.log]})
            case "/_admin/ledger" if request.method == "GET":
                return json_response(ledger(self.service.store, parse_ledger_query(request.query_params)))
            case "/_admin/ledger":
                raise ApiError(405, "MethodNotAllowed", "The ledger is read-only: use GET.")
            case "/_admin/portal" if request.method == "POST":
                return json_response({"path": self.create_portal_link()})
            case "/_admin/portal":
                raise ApiError(405, "MethodNotAllowed", "Make a one-time link to the portal with POST.")
            case "/_admin/targets":
                return json_response(await self._target_availability(request))
            case _:
                raise ApiError(404, "NotFound", "No endpoint has this path.")

    async def _fault_plan(self, request: Request) -> FaultPlan:
        if request.method == "POST":
            try:
                document = parse_fault_plan(await read_body(request, MAX_JSON_BYTES))
            except InvalidFaultPlan as error:
                raise bad_request(str(error), "InvalidFaultPlan") from None
            self.faults.plan = FaultPlan(document.rules, document.seed, self.service.clock.now())
        elif request.method == "DELETE":
            self.faults.plan = FaultPlan((), 0, self.service.clock.now())
        elif request.method != "GET":
            message = "Read the fault plan with GET, set it with POST, remove it with DELETE."
            raise ApiError(405, "MethodNotAllowed", message)
        return self.faults.plan

    async def _target_availability(self, request: Request) -> dict[str, Any]:
        if request.method == "POST":
            body = await read_body(request, MAX_JSON_BYTES)
            self.target_status.change(parse_json_object(body, "map of target statuses"))
        elif request.method != "GET":
            raise ApiError(405, "MethodNotAllowed", "Read target status with GET, and set it with POST.")
        return self.target_status.view()


def parse_ledger_query(parameters: Mapping[str, str]) -> LedgerQuery:
    """Parse the query parameters of a URL. Raises ApiError for unknown or invalid ones."""
    unknown = set(parameters) - {"run", "session", "top", "after"}
    if unknown:
        raise bad_request(f"The ledger has no filter {', '.join(sorted(unknown))}.", "InvalidQuery")
    top = parse_whole_number("top", parameters.get("top"), DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
    after = parse_whole_number("after", parameters.get("after"), 0, LARGEST_KEY)
    return LedgerQuery(parameters.get("run") or None, parameters.get("session") or None, top, after)


def _plan_view(plan: FaultPlan) -> dict[str, Any]:
    return {"seed": plan.seed, "rules": [_rule_view(rule) for rule in plan.rules], "injected": plan.injected}


def _rule_view(rule: FaultRule) -> dict[str, Any]:
    """Return the rule as JSON, without the settings that have their defaults."""
    defaults = {field.name: field.default for field in fields(rule)}
    return {name: value for name, value in asdict(rule).items() if value != defaults[name]}


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
