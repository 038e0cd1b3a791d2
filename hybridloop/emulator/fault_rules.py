"""Faults on purpose: what there is, what it can befall, and the rules that say which calls it does befall."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Le, MinLen

from hybridloop.emulator.operations import Operation


class Fault(enum.StrEnum):
    """What happens to a call, or to the job or session that it is about."""

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
    PAGE_REPEATS = "page-repeats-item"
    PAGE_SKIPS = "page-skips-item"
    JOB_FAILS = "job-fails"
    JOB_HANGS = "job-hangs"
    JOB_CANCELLED = "job-cancelled"
    SESSION_TIMES_OUT = "session-times-out"
    SESSION_FAILS = "session-fails"


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a fault can befall (nothing named: any call), and the settings that it takes."""

    fits: frozenset[Operation] = frozenset()
    takes: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()


_BLOBS = frozenset({Operation.UPLOAD, Operation.DOWNLOAD})
_JOB = frozenset({Operation.SUBMIT})
_IN_SESSION = frozenset(
    {Operation.GET_SESSION, Operation.CLOSE, Operation.SUBMIT, Operation.GET_JOB, Operation.CANCEL, Operation.LIST}
)
_PAUSES = frozenset({"retry_after", "retry_after_date"})
SHAPES = {
    Fault.THROTTLED: _Shape(takes=_PAUSES),
    Fault.ERROR: _Shape(takes=_PAUSES | {"status", "code", "message"}, needs=frozenset({"status"})),
    Fault.SLOW_ANSWER: _Shape(takes=frozenset({"seconds"}), needs=frozenset({"seconds"})),
    Fault.QUOTA_EXCEEDED: _Shape(_JOB),
    Fault.SIGNATURE_EXPIRED: _Shape(_BLOBS | {Operation.SAS, Operation.GET_JOB}),
    Fault.BLOB_MISSING: _Shape(frozenset({Operation.DOWNLOAD}), takes=frozenset({"seconds"})),
    Fault.BLOB_EXISTS: _Shape(frozenset({Operation.UPLOAD}), takes=frozenset({"content"})),
    Fault.PAGE_REPEATS: _Shape(frozenset({Operation.LIST})),
    Fault.PAGE_SKIPS: _Shape(frozenset({Operation.LIST})),
    Fault.JOB_FAILS: _Shape(_JOB, takes=frozenset({"code", "message"})),
    Fault.JOB_HANGS: _Shape(_JOB),
    Fault.JOB_CANCELLED: _Shape(_JOB, takes=frozenset({"seconds"})),
    Fault.SESSION_TIMES_OUT: _Shape(_IN_SESSION),
    Fault.SESSION_FAILS: _Shape(_IN_SESSION),
}
_SETTINGS = ("retry_after", "retry_after_date", "status", "code", "message", "seconds", "content")
Count = Annotated[int, Ge(1)]
Seconds = Annotated[float, Ge(0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A fault, the calls that it may befall, and when it does: all conditions that are given must hold.

    `nth` and `every` count the calls that fit operation, names and times. `session` and `job` are beginnings of
    names or ids. `after_s` and `before_s` are seconds since the plan came into force. `times` bounds how often.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "strict": True}

    fault: Fault
    operation: Operation | Annotated[tuple[Operation, ...], MinLen(1)] | None = None
    nth: Count | Annotated[tuple[Count, ...], MinLen(1)] | None = None
    every: Count | None = None
    probability: Annotated[float, Ge(0), Le(1)] | None = None
    after_s: Seconds = 0.0
    before_s: Seconds | None = None
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

    def __post_init__(self) -> None:
        shape = SHAPES.get(self.fault, _Shape())
        given = {name for name in _SETTINGS if getattr(self, name) is not None}
        if given - shape.takes:
            raise ValueError(f"{self.fault} takes no {', '.join(sorted(given - shape.takes))}")
        if shape.needs - given:
            raise ValueError(f"{self.fault} needs {', '.join(sorted(shape.needs - given))}")
        misplaced = self.asked_for - shape.fits if shape.fits else frozenset()
        if misplaced:
            raise ValueError(f"{self.fault} can't befall {', '.join(sorted(misplaced))}")
        if self.before_s is not None and self.before_s <= self.after_s:
            raise ValueError("before_s must be above after_s")

    @property
    def asked_for(self) -> frozenset[Operation]:
        """The operations that the rule names."""
        if self.operation is None:
            return frozenset()
        return frozenset([self.operation] if isinstance(self.operation, Operation) else self.operation)

    @property
    def operations(self) -> frozenset[Operation]:
        """The operations that it may befall: those named, else all that fit the fault."""
        return self.asked_for or SHAPES.get(self.fault, _Shape()).fits or frozenset(Operation)

    def covers(self, call: Call, elapsed_s: float) -> bool:
        """Whether operation, names and times fit."""
        return (
            call.operation in self.operations
            and self.after_s <= elapsed_s
            and (self.before_s is None or elapsed_s < self.before_s)
            and (self.target is None or self.target.lower() == call.target.lower())
            and _begins(call.job_names, self.job)
            and _begins(call.session_names, self.session)
            and (self.fault not in (Fault.SESSION_TIMES_OUT, Fault.SESSION_FAILS) or bool(call.session_names))
        )


@dataclass(frozen=True, slots=True)
class Call:
    """One call to the service: what it is for, and the ids and names of its job and session where it has them."""

    operation: Operation
    method: str
    path: str
    workspace: str = ""
    job_id: str = ""
    session_id: str = ""
    job_names: tuple[str, ...] = ()
    session_names: tuple[str, ...] = ()
    target: str = ""


def _begins(names: Iterable[str], prefix: str | None) -> bool:
    return prefix is None or any(name.startswith(prefix) for name in names)
