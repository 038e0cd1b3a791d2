"""Settings that all runs have, whichever the algorithm, and the parameters of every flow."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from hybridloop.azure.pace import MAX_IN_FLIGHT, RequestLimits
from hybridloop.budget.caps import Caps
from hybridloop.errors import InputError
from hybridloop.runtime.dotted_names import flatten, nest
from hybridloop.runtime.escaping import escape_line
from hybridloop.settings.failure_policy import FailurePolicy
from hybridloop.settings.input_format import InputFormat
from hybridloop.settings.keep_alive import ExclusiveAccess, IdleRule, KeepAliveMode, KeepAliveSettings
from hybridloop.settings.parsing import MAX_PROBLEM_BYTES, Cost, CostInOneUnit, Duration, Tags
from hybridloop.settings.session_options import SessionOptions
from hybridloop.targets import Batching
from hybridloop.targets.provider_options import DEBIAS, FIELD

_FIRST_IN_FORM = ("target", "shots", "precision", "max_cost", "max_jobs", "max_shots", "deadline", "seed")
_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


class Limit:
    """Marker of a setting that limits a run without changing its results: a resume may give another value."""


class Goal:
    """Marker of a setting that says how far a run goes: after its end a larger reach extends it."""


class AutoResume(enum.StrEnum):
    """Early ends from which the housekeeping flow resumes a run."""

    NEVER = "never"
    PARKED = "parked"  # once its jobs are done and its target is available
    INTERRUPTED = "interrupted"  # also a dead process or an outage, but no stop, cap or cancellation


class JobPriority(enum.StrEnum):
    """Priority of a job at the service."""

    STANDARD = "standard"
    HIGH = "high"


def _parse_keep_alive(value: object) -> object:
    return KeepAliveMode.OFF if value is False else value  # YAML reads `off` as false


def _parse_switch(value: object) -> object:
    return {True: Batching.ON, False: Batching.OFF}[value] if isinstance(value, bool) else value  # as above


def _nest_options(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    return nest({name: _parse_exponent(each) for name, each in flatten(value).items()}) or None


def _parse_exponent(value: object) -> object:
    """Return the number of a text such as 1e-3, which YAML 1.1 reads as text; any other value unchanged."""
    if isinstance(value, list | tuple):
        return [_parse_exponent(each) for each in value]
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


def _take_debias(values: Any) -> Any:
    """Return settings in which the provider option `error-mitigation.debias` is the setting `debias`.

    Raises InputError where both are given with different values.
    """
    options = values.get(FIELD) if isinstance(values, Mapping) else None
    left = flatten(options) if isinstance(options, Mapping) else {}
    if DEBIAS not in left:
        return values
    value = left.pop(DEBIAS)
    if values.get("debias", value) not in (value, None):
        problem = f"it is {values['debias']}, and the provider option {DEBIAS} is {value}"
        raise InputError("debias", problem, "Give one of them.")
    # `debias` is on by default, which would hide that the target lacks the option
    return values if value is True else {**values, "debias": value, FIELD: left}


def _escape_name(value: object) -> object:
    """Escape control characters of a name: Prefect's log, tags and notifications show it as it is."""
    return escape_line(value) if isinstance(value, str) else value


class ProblemText(BaseModel):
    """A problem as a flow parameter: the name of a built-in problem, or a name and a text."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    name: Annotated[str, BeforeValidator(_escape_name)] = Field(
        min_length=1, max_length=200, description="name of a built-in problem, or of the text", examples=["h2"]
    )
    text: str | None = Field(
        None,
        max_length=MAX_PROBLEM_BYTES,
        description="text of the problem; left out: the built-in problem of that name",
    )
    format: InputFormat | None = Field(
        None, description="format in which the text is read; left out: the one that its lines show", examples=["edges"]
    )

    @model_serializer(mode="wrap")
    def _stated(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave a format out that is not stated: a point's key is of its content."""
        values: dict[str, Any] = handler(self)
        return {name: value for name, value in values.items() if name != "format" or value is not None}


def _as_problem(value: object) -> object:
    """Return the values of a problem; a string is its name."""
    if isinstance(value, str):
        return {"name": value}
    if not isinstance(value, Mapping | ProblemText):
        remedy = "Give a name, a file, or a mapping of name and text."
        raise PydanticCustomError("no_problem", "must be a problem", {"remedy": remedy})
    return value


# a string is the name of a built-in problem
Problem = Annotated[ProblemText, BeforeValidator(_as_problem, json_schema_input_type=str | ProblemText)]
# Parameters of the flows beside problem and settings. Prefect takes the description of a parameter from the flow's
# docstring only.
RunKey = Annotated[Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")] | None, Field(examples=["night"])]
WorkspaceName = Annotated[Annotated[str, Field(min_length=1, max_length=400)] | None, Field(examples=["prod"])]


def _place_first(schema: dict[str, Any]) -> None:
    """Place what most runs set at the beginning of Prefect's form of a run, which sorts by `position`."""
    for position, name in enumerate(_FIRST_IN_FORM):
        if (field := schema["properties"].get(name)) is not None:
            field["position"] = position


class RunSettings(BaseModel):
    """Settings that all runs have, whichever the algorithm."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", json_schema_extra=_place_first)

    seed: int | None = Field(
        None,
        ge=0,
        lt=2**63,
        description="seed of the local service and of a random initial point; left out: drawn",
    )
    target: str = Field(
        "rigetti.sim.qvm", description="Azure Quantum target (`hybridloop targets`)", examples=["ionq.simulator"]
    )
    failure: FailurePolicy = Field(
        FailurePolicy(), description="policy for failures of jobs, of sessions and of the target"
    )
    keep_alive: Annotated[KeepAliveMode, BeforeValidator(_parse_keep_alive)] = Field(
        KeepAliveMode.AUTO, description="idle session: ping it, renew it when it is needed, or neither"
    )
    idle_rule: IdleRule = Field(IdleRule.RECORDED, description="start of a session's idle time at the service")
    exclusive_access_budget: CostInOneUnit | None = Field(
        None,
        description="maximum cost of exclusive access to a Quantinuum machine between rounds (a job every 50 s)",
        examples=["400HQC"],
    )
    cancel_in_flight: bool = Field(
        default=False, description="cancel the jobs in flight when the run ends early; otherwise they finish"
    )
    debias: bool = Field(
        default=True, description="IonQ's error mitigation on its QPUs; raises the minimum price of a job"
    )
    provider_options: Annotated[dict[str, Any] | None, BeforeValidator(_nest_options)] = Field(
        None,
        description="options of the target's provider by name, such as tket-opt-level: 1; a dot opens a group",
        examples=[{"noise.model": "aria-1"}],
    )
    batching: Annotated[Batching, BeforeValidator(_parse_switch)] = Field(
        Batching.AUTO,
        description="all points of a round in one job, where the target takes many in one: auto (on Rigetti's "
        "simulator), on (on its QPUs too) or off",
    )
    requests_in_flight: Annotated[int | None, Limit] = Field(
        None, ge=1, le=MAX_IN_FLIGHT, description="most requests to the service in flight at once; left out: up to 128"
    )
    requests_per_second: Annotated[float | None, Limit] = Field(
        None, gt=0, description="most requests to the service a second; left out: as many as it takes"
    )
    priority: Annotated[JobPriority | None, Limit] = Field(
        None, description="priority of the jobs at the service: standard or high; left out: the service's own"
    )
    tags: Tags | None = Field(
        None,
        description="tags of the run and of its jobs, separated by commas, by which limits and reports find it",
        examples=["project=x,night"],
    )
    max_jobs: Annotated[int | None, Limit] = Field(
        None, ge=1, description="maximum number of jobs, including retries and pings"
    )
    max_shots: Annotated[int | None, Limit] = Field(None, ge=1, description="maximum number of shots of all jobs")
    max_cost: Annotated[Cost | None, Limit] = Field(
        None, description="maximum cost of all jobs, by unit", examples=["50USD", "200HQC"]
    )
    max_cost_per_job: Annotated[Cost | None, Limit] = Field(
        None,
        description="maximum cost of one job, by unit; also taken as the price of a job whose price has no upper bound",
        examples=["5USD"],
    )
    deadline: Annotated[Duration | None, Limit] = Field(
        None,
        description="seconds from the begin of the command after which no round or classical iteration begins; each "
        "resume and extension has the whole time again",
        examples=["8h"],
    )
    detach_after: Annotated[Duration | None, Limit] = Field(
        None,
        description="seconds that a round may wait before the run is parked, to be resumed when the round is done",
        examples=["30m"],
    )
    resume_automatically: Annotated[AutoResume | None, Limit] = Field(
        None,
        description="early ends from which the housekeeping flow resumes the run: never, parked (the default), or "
        "interrupted (also after a dead process or an outage)",
        examples=["interrupted"],
    )
    wait_for_limit: Annotated[bool | None, Limit] = Field(
        None,
        description="at a limit over runs (`hybridloop limit`): park the run until the limit's next period, or until "
        "it is raised",
    )
    session_slots: Annotated[str | None, Limit] = Field(
        None,
        pattern=r"^[^%&/<>]{1,200}$",
        description="global concurrency limit in Prefect; the run holds a slot of it while its session is open",
        examples=["sessions"],
    )

    _take_debias = model_validator(mode="before")(_take_debias)

    @property
    def options(self) -> dict[str, Any]:
        """Options of the target's provider, as in inputParams, without `debias`."""
        return self.provider_options or {}

    @property
    def exclusive_access(self) -> ExclusiveAccess | None:
        """Exclusive access to the machine between rounds; None without a budget for it."""
        if self.exclusive_access_budget is None:
            return None
        ((unit, amount),) = self.exclusive_access_budget.items()
        return ExclusiveAccess(amount, unit)

    @property
    def caps(self) -> Caps:
        """Caps of the run's budget."""
        return Caps(
            max_jobs=self.max_jobs,
            max_shots=self.max_shots,
            max_cost=self.max_cost or {},
            max_cost_per_job=self.max_cost_per_job or {},
            deadline_s=self.deadline,
        )

    @property
    def session_options(self) -> SessionOptions:
        """Options of the run's session."""
        return SessionOptions(
            failure=self.failure,
            keep_alive=KeepAliveSettings(self.keep_alive, self.idle_rule, self.exclusive_access),
            caps=self.caps,
            debias=self.debias,
            batching=self.batching,
            provider_options=self.options,
            requests=RequestLimits(self.requests_in_flight or MAX_IN_FLIGHT, self.requests_per_second or math.inf),
            priority=None if self.priority is None else self.priority.capitalize(),
            tags=self.tags or (),
            detach_after_s=self.detach_after,
            cancel_in_flight=self.cancel_in_flight,
        )


LIMITS = tuple(name for name, field in RunSettings.model_fields.items() if Limit in field.metadata)
CAPS = ("max_jobs", "max_shots", "max_cost")  # on a whole run


def goals_of(settings: type[RunSettings]) -> tuple[str, ...]:
    """Return the names of the goals among the settings of an algorithm's runs."""
    return tuple(name for name, field in settings.model_fields.items() if Goal in field.metadata)


def first_difference(recorded: Mapping[str, Any], requested: Mapping[str, Any]) -> str | None:
    """Return the full name (`failure.retries`) of the first setting that differs; None if all agree.

    A setting that is None is one that is left out; in a mapping a name with None is there.
    """
    before, now = ({k: v for k, v in each.items() if v is not None} for each in (recorded, requested))
    before, now = flatten(before), flatten(now)
    return next((name for name in {**before, **now} if _differs(name, before, now)), None)


def _differs(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    return (name in before, before.get(name)) != (name in now, now.get(name))
