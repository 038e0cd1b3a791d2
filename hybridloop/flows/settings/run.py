"""What every run can be told, and the problem that it is told of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from hybridloop.flows.settings.names import Unattended
from hybridloop.flows.settings.texts import MAX_PROBLEM_BYTES, Cost, CostInOneUnit, Duration
from hybridloop.sessions.budget import Caps
from hybridloop.sessions.idle import ExclusiveHold, IdleRule, KeepAliveMode
from hybridloop.sessions.policy import FailurePolicy

# How far a run may go, not what it does: whoever goes on with a run may give others.
LIMITS = (
    "max_jobs",
    "max_shots",
    "max_cost",
    "max_cost_per_job",
    "deadline",
    "detach_after",
    "unattended",
    "session_slots",
)


def _not_yamls(value: object) -> object:
    """The word `off`, which YAML takes for no."""
    return KeepAliveMode.OFF if value is False else value


class ProblemText(BaseModel):
    """A problem as it travels: a built-in's name, or a name and a text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        min_length=1, max_length=200, description="a built-in problem, or what the text is called", examples=["h2"]
    )
    text: str | None = Field(
        None,
        max_length=MAX_PROBLEM_BYTES,
        description="the problem's text; left out: the built-in problem of that name",
    )


# Parameters of the flows beside problem and settings. What they are for is said in each flow's docstring, from which
# Prefect takes a parameter's description, whatever stands here.
RunKey = Annotated[Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")] | None, Field(examples=["night"])]
WorkspaceName = Annotated[Annotated[str, Field(min_length=1, max_length=200)] | None, Field(examples=["prod"])]


class RunSettings(BaseModel):
    """Settings that every run has, whatever its algorithm."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int | None = Field(
        None, ge=0, lt=2**63, description="fixes what the local service samples and a random start; left out: drawn"
    )
    target: str = Field(
        "rigetti.sim.qvm", description="Azure Quantum target (`hybridloop targets`)", examples=["ionq.simulator"]
    )
    failure: FailurePolicy = Field(
        FailurePolicy(), description="what is done when a job, a session or the target fails"
    )
    keep_alive: Annotated[KeepAliveMode, BeforeValidator(_not_yamls)] = Field(
        KeepAliveMode.AUTO, description="while the session idles: ping it, renew it when it is needed, or neither"
    )
    idle_rule: IdleRule = Field(IdleRule.RECORDED, description="from when the service counts a session's idle minutes")
    exclusive_hold: CostInOneUnit | None = Field(
        None,
        description="what holding a Quantinuum machine between rounds, a job every 50 s, may cost",
        examples=["400HQC"],
    )
    cancel_in_flight: bool = Field(
        default=False, description="cancel the jobs in flight when the run ends early; else they are left to finish"
    )
    debias: bool = Field(
        default=True, description="IonQ's own error mitigation on its machines, at a dearer least price of a job"
    )
    max_jobs: int | None = Field(None, ge=1, description="jobs of the run, further attempts and pings included")
    max_shots: int | None = Field(None, ge=1, description="shots of all those jobs")
    max_cost: Cost | None = Field(
        None, description="what all those jobs may cost, by unit", examples=["50USD", "200HQC"]
    )
    max_cost_per_job: Cost | None = Field(
        None,
        description="what one job may cost, by unit; where a price has no upper bound, it is taken for the bound",
        examples=["5USD"],
    )
    deadline: Duration | None = Field(
        None,
        description="seconds from the start, or from being resumed, after which no round begins",
        examples=["8h"],
    )
    detach_after: Duration | None = Field(
        None,
        description="seconds that a round may wait before the run is parked, to go on when it is done",
        examples=["30m"],
    )
    unattended: Unattended | None = Field(
        None,
        description="which early end of the run housekeeping goes on from by itself: never, parked (also when left "
        "out), or interrupted too, by a dead process or an outage",
        examples=["interrupted"],
    )
    session_slots: str | None = Field(
        None,
        pattern=r"^[^%&/<>]{1,200}$",
        description="Prefect's global concurrency limit of which the run holds a slot while its session is open",
        examples=["sessions"],
    )

    @property
    def hold(self) -> ExclusiveHold | None:
        """The hold on the machine between rounds, if one is wanted."""
        if self.exclusive_hold is None:
            return None
        ((unit, amount),) = self.exclusive_hold.items()
        return ExclusiveHold(amount, unit)

    @property
    def caps(self) -> Caps:
        """What the run may take in all."""
        return Caps(
            max_jobs=self.max_jobs,
            max_shots=self.max_shots,
            max_cost=self.max_cost or {},
            max_cost_per_job=self.max_cost_per_job or {},
            deadline_s=self.deadline,
        )


def first_difference(recorded: Mapping[str, Any], asked: Mapping[str, Any], of: str = "") -> str | None:
    """The name of the first setting in which two sets differ, an inner one as `failure.retries`; None: they agree."""
    for name in dict.fromkeys((*recorded, *asked)):
        one, other = recorded.get(name), asked.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            if inner := first_difference(one, other, f"{of}{name}."):
                return inner
        elif one != other:
            return f"{of}{name}"
    return None


def put_setting(settings: dict[str, Any], name: str, value: object) -> None:
    """Set a setting by its name, an inner one as `failure.retries`. Raises ValueError where it has nothing to be in."""
    *outer, last = name.split(".")
    for part in outer:
        inner = settings.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ValueError(f"{part} is {inner!r} already: give {part} or what is in it, not both")
        settings = inner
    settings[last] = dict(value) if isinstance(value, Mapping) else value
