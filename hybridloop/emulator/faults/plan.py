"""Fault plans: the faults that exist, the rules that inject them into API calls, and the parser of plans.

A fault plan is a YAML file or a JSON body. A plan that is invalid is refused with the place and the reason. The
seed and the calls alone decide which call gets which fault.
"""

from __future__ import annotations

import enum
import json
import random
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Gt, Le, MaxLen, MinLen

from hybridloop.emulator.model.routes import ApiOperation


class Fault(enum.StrEnum):
    """Fault to inject into an API call, or into its job or session."""

    THROTTLED = "throttled"
    ERROR = "error"
    UNAUTHORIZED = "unauthorized"
    QUOTA_EXCEEDED = "quota-exceeded"
    RESET_BEFORE = "reset-before-commit"
    RESET_AFTER = "reset-after-commit"
    ANSWER_DROPPED = "answer-dropped"
    SLOW_ANSWER = "slow-answer"
    NO_ANSWER = "no-answer"
    TRUNCATED = "truncated"
    NOT_JSON = "not-json"
    EMPTY = "empty"
    WRONG_SHAPE = "wrong-shape"
    SIGNATURE_EXPIRED = "signature-expired"
    BLOB_MISSING = "blob-missing"
    BLOB_EXISTS = "blob-exists"
    QUBITS_LOST = "qubits-lost"
    PAGE_REPEATS = "page-repeats-item"
    PAGE_SKIPS = "page-skips-item"
    JOB_FAILS = "job-fails"
    JOB_HANGS = "job-hangs"
    JOB_CANCELLED = "job-cancelled"
    SESSION_TIMES_OUT = "session-times-out"
    SESSION_FAILS = "session-fails"


@dataclass(frozen=True, slots=True)
class _FaultSpec:
    """Specification of a fault: its operations (empty: all), its settings, and the required ones of these."""

    operations: frozenset[ApiOperation] = frozenset()
    settings: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()


_BLOB_CALLS = frozenset({ApiOperation.UPLOAD, ApiOperation.DOWNLOAD})
_SUBMISSION = frozenset({ApiOperation.SUBMIT})
_SESSION_CALLS = frozenset(map(ApiOperation, ("get-session", "close", "submit", "get-job", "cancel", "list")))
_RETRY_AFTER = frozenset({"retry_after", "retry_after_date"})
FAULT_SPECS = {
    Fault.THROTTLED: _FaultSpec(settings=_RETRY_AFTER),
    Fault.ERROR: _FaultSpec(settings=_RETRY_AFTER | {"status", "code", "message"}, required=frozenset({"status"})),
    Fault.SLOW_ANSWER: _FaultSpec(settings=frozenset({"seconds"}), required=frozenset({"seconds"})),
    Fault.QUOTA_EXCEEDED: _FaultSpec(_SUBMISSION),
    Fault.SIGNATURE_EXPIRED: _FaultSpec(_BLOB_CALLS | {ApiOperation.SAS, ApiOperation.GET_JOB}),
    Fault.BLOB_MISSING: _FaultSpec(frozenset({ApiOperation.DOWNLOAD}), settings=frozenset({"seconds"})),
    Fault.BLOB_EXISTS: _FaultSpec(frozenset({ApiOperation.UPLOAD}), settings=frozenset({"content"})),
    Fault.QUBITS_LOST: _FaultSpec(
        frozenset({ApiOperation.DOWNLOAD}), settings=frozenset({"share"}), required=frozenset({"share"})
    ),
    Fault.PAGE_REPEATS: _FaultSpec(frozenset({ApiOperation.LIST})),
    Fault.PAGE_SKIPS: _FaultSpec(frozenset({ApiOperation.LIST})),
    Fault.JOB_FAILS: _FaultSpec(_SUBMISSION, settings=frozenset({"code", "message"})),
    Fault.JOB_HANGS: _FaultSpec(_SUBMISSION),
    Fault.JOB_CANCELLED: _FaultSpec(_SUBMISSION, settings=frozenset({"seconds"})),
    Fault.SESSION_TIMES_OUT: _FaultSpec(_SESSION_CALLS),
    Fault.SESSION_FAILS: _FaultSpec(_SESSION_CALLS),
}
MAX_LOG_ENTRIES = 10_000  # injections; older ones are only counted
_SETTINGS = ("retry_after", "retry_after_date", "status", "code", "message", "seconds", "content", "share")
Count = Annotated[int, Ge(1)]
Seconds = Annotated[float, Ge(0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRule:
    """Rule of a fault plan: a fault, and the conditions that a call must all meet to get it.

    `nth` and `every` count the calls that match operation, names and times. `session` and `job` are prefixes of names
    or ids. `after_s` and `before_s` are seconds since the plan came into force. `times` limits the injections.
    `above_per_s` lets so many calls a second pass; after a second without calls, that many pass at once.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True}

    fault: Fault
    operation: ApiOperation | Annotated[tuple[ApiOperation, ...], MinLen(1)] | None = None
    nth: Count | Annotated[tuple[Count, ...], MinLen(1)] | None = None
    every: Count | None = None
    probability: Annotated[float, Ge(0), Le(1)] | None = None
    after_s: Seconds = 0.0
    before_s: Seconds | None = None
    above_per_s: Annotated[float, Ge(1)] | None = None
    session: str | None = None
    job: str | None = None
    target: str | None = None
    times: Count | None = None
    retry_after: Seconds | str | None = None
    retry_after_date: float | None = None
    status: Annotated[int, Ge(400), Le(599)] | None = None
    code: str | None = None
    message: str | None = None
    seconds: Annotated[float, Gt(0)] | None = None
    content: str | None = None
    share: Annotated[float, Ge(0), Le(1)] | None = None

    def __post_init__(self) -> None:
        spec = FAULT_SPECS.get(self.fault, _FaultSpec())
        settings = {name for name in _SETTINGS if getattr(self, name) is not None}
        if settings - spec.settings:
            raise ValueError(f"{self.fault} takes no {', '.join(sorted(settings - spec.settings))}")
        if spec.required - settings:
            raise ValueError(f"{self.fault} needs {', '.join(sorted(spec.required - settings))}")
        unsuitable = self._named_operations - spec.operations if spec.operations else frozenset()
        if unsuitable:
            raise ValueError(f"{self.fault} can't be injected into {', '.join(sorted(unsuitable))}")
        if self.before_s is not None and self.before_s <= self.after_s:
            raise ValueError("before_s must be above after_s")

    @property
    def _named_operations(self) -> frozenset[ApiOperation]:
        if self.operation is None:
            return frozenset()
        return frozenset([self.operation] if isinstance(self.operation, ApiOperation) else self.operation)

    @property
    def operations(self) -> frozenset[ApiOperation]:
        """Operations of the rule: those that it names, else all that its fault can be injected into."""
        return self._named_operations or FAULT_SPECS.get(self.fault, _FaultSpec()).operations or frozenset(ApiOperation)

    def matches(self, call: ApiCall, elapsed_s: float) -> bool:
        """Return True if the call's operation and names and the time since the plan's start match the rule."""
        return (
            call.operation in self.operations
            and self.after_s <= elapsed_s
            and (self.before_s is None or elapsed_s < self.before_s)
            and (self.target is None or self.target.lower() == call.target.lower())
            and _has_prefix(call.job_names, self.job)
            and _has_prefix(call.session_names, self.session)
            and (self.fault not in (Fault.SESSION_TIMES_OUT, Fault.SESSION_FAILS) or bool(call.session_names))
        )


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A call to the service's API or storage: its operation, and the ids and names of its job and session if any."""

    operation: ApiOperation
    method: str
    path: str
    workspace: str = ""
    job_id: str = ""
    session_id: str = ""
    job_names: tuple[str, ...] = ()
    session_names: tuple[str, ...] = ()
    target: str = ""


def _has_prefix(names: Iterable[str], prefix: str | None) -> bool:
    return prefix is None or any(name.startswith(prefix) for name in names)


@dataclass(frozen=True, slots=True)
class Injection:
    """An injected fault: `moment` in seconds since 1970; `number` and `rule` count from 1."""

    number: int
    moment: float
    rule: int
    fault: Fault
    call: ApiCall


class FaultPlan:
    """Fault plan in use: ordered rules, their counters and the log of injections. The first applicable rule wins."""

    def __init__(self, rules: Sequence[FaultRule], seed: int, started: float) -> None:
        self.rules = tuple(rules)
        self.seed = seed
        self.log: deque[Injection] = deque(maxlen=MAX_LOG_ENTRIES)
        self.injected = 0
        self._started = started
        self._matches: Counter[int] = Counter()  # keyed by rule
        self._injections: Counter[int] = Counter()  # keyed by rule
        self._draws: Counter[tuple[int, str]] = Counter()  # keyed by rule and call
        self._first_reads: dict[tuple[int, str], float] = {}  # keyed by rule and path of a missing blob
        self._buckets: dict[int, tuple[float, float]] = {}  # number of calls that may pass, and its time, keyed by rule

    def decide(self, call: ApiCall, now: float) -> FaultRule | None:
        """Return the rule to inject into this call, which is counted and logged; None for no fault."""
        matching = [i for i, rule in enumerate(self.rules) if rule.matches(call, now - self._started)]
        self._matches.update(matching)
        applicable = [number for number in matching if self._applies(number, call, now)]
        if not applicable:
            return None
        number = applicable[0]
        rule = self.rules[number]
        self._injections[number] += 1
        self.injected += 1
        self.log.append(Injection(self.injected, now, number + 1, rule.fault, call))
        return rule

    def _applies(self, number: int, call: ApiCall, now: float) -> bool:
        rule, count = self.rules[number], self._matches[number]
        nth = (rule.nth,) if isinstance(rule.nth, int) else rule.nth
        return (
            (rule.times is None or self._injections[number] < rule.times)
            and (nth is None or count in nth)
            and (rule.every is None or count % rule.every == 0)
            and (rule.probability is None or self._draw(number, call) < rule.probability)
            and (rule.fault is not Fault.BLOB_MISSING or self._is_still_missing(number, call, now))
            and (rule.above_per_s is None or not self._passes(number, rule.above_per_s, now))
        )

    def _passes(self, number: int, per_s: float, now: float) -> bool:
        """Return True if the rate lets the call pass; a token bucket has room for the calls of a second."""
        left, since = self._buckets.get(number, (per_s, now))
        left = min(per_s, left + per_s * (now - since))
        passes = left >= 1.0
        self._buckets[number] = left - passes, now
        return passes

    def _is_still_missing(self, number: int, call: ApiCall, now: float) -> bool:
        """Return True while a blob is missing: for the rule's `seconds` after its first read, else for good."""
        seconds = self.rules[number].seconds
        return seconds is None or now < self._first_reads.setdefault((number, call.path), now) + seconds

    def _draw(self, number: int, call: ApiCall) -> float:
        """Draw a number in [0, 1) from the seed, the rule, the call, and the count of earlier draws for that call.

        The order of different calls has no influence, so a client's threads may call in any order.
        """
        name = f"{call.method} {call.path}"
        self._draws[number, name] += 1
        return random.Random(f"{self.seed}/{number}/{name}/{self._draws[number, name]}").random()


class ActiveFaults:
    """Reference to the fault plan in use, which the admin API can replace at any time."""

    def __init__(self) -> None:
        self.plan = FaultPlan((), 0, 0.0)


MAX_BYTES = 2**18
MAX_RULES = 1000


class InvalidFaultPlan(ValueError):
    """The fault plan is invalid or can't be read; the message names the place and the reason."""


@dataclass(frozen=True, slots=True)
class FaultPlanDocument:
    """A fault plan as it is written: rules, and the seed of their probabilities."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True}

    rules: Annotated[tuple[FaultRule, ...], MaxLen(MAX_RULES)]
    seed: int = 0


def load_fault_plan(path: Path) -> FaultPlanDocument:
    """Load a fault plan from a YAML file. Raises InvalidFaultPlan."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidFaultPlan(f"{path}: the file can't be read ({error.strerror})") from error
    try:
        return parse_fault_plan(_yaml_to_json(data))
    except InvalidFaultPlan as error:
        raise InvalidFaultPlan(f"{path}: {error}") from error


def _yaml_to_json(data: bytes) -> bytes:
    """Convert a YAML document to JSON. Raises InvalidFaultPlan."""
    import yaml  # imported late, as pydantic below, because most services have no faults and should start quickly

    if len(data) > MAX_BYTES:
        raise InvalidFaultPlan(f"the file is above {MAX_BYTES} bytes")
    try:
        text = data.decode()
        has_aliases = any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader))
        document = "" if has_aliases else json.dumps(yaml.safe_load(text))
    # besides its own errors, PyYAML raises those of the Python types that it converts values to
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        raise InvalidFaultPlan(f"it is not plain YAML: {' '.join(str(error).split())}") from error
    if has_aliases:
        raise InvalidFaultPlan("YAML aliases are not allowed")  # a few lines of them expand to gigabytes
    return document.encode()


def parse_fault_plan(body: bytes) -> FaultPlanDocument:
    """Parse a fault plan in JSON. Raises InvalidFaultPlan."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(FaultPlanDocument).validate_json(body)
    except ValidationError as error:
        # a value of a union type has an error for each type: the one with the longest location says most
        detail = max(error.errors(include_url=False, include_context=False), key=lambda entry: len(entry["loc"]))
        reason = detail["msg"].removeprefix("Value error, ")
        raise InvalidFaultPlan(f"{_place(detail['loc'])}{reason} (given: {_excerpt(detail)})") from error


def _place(location: tuple[int | str, ...]) -> str:
    """Format an error's location, such as "rule 1, fault: "; rules count from 1."""
    if location[:1] == ("rules",) and len(location) > 1 and isinstance(location[1], int):
        names = [f"rule {location[1] + 1}", *[str(part) for part in location[2:3]]]
    else:
        names = [str(part) for part in location[:1]]
    return f"{', '.join(names)}: " if names else ""


def _excerpt(entry: Any) -> str:
    value = entry.get("input")
    return value.decode(errors="replace")[:80] if isinstance(value, bytes) else json.dumps(value)[:80]
