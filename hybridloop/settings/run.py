"""What every run can be told, and the problem that it is told of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from hybridloop.budget.caps import Caps
from hybridloop.settings.choices import AutoResume
from hybridloop.settings.parsing import MAX_PROBLEM_BYTES, Cost, CostInOneUnit, Duration
from hybridloop.settings.renamed import with_current_names
from hybridloop.tasks.failure_policy import FailurePolicy
from hybridloop.tasks.keepalive.rules import ExclusiveAccess, IdleRule, KeepAliveMode

# How far a run may go, not what it does: whoever goes on with a run may give others.
LIMITS = (
    "max_jobs",
    "max_shots",
    "max_cost",
    "max_cost_per_job",
    "deadline",
    "detach_after",
    "resume_automatically",
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
    exclusive_access_budget: CostInOneUnit | None = Field(
        None,
        description="most to be spent on exclusive access to a Quantinuum machine between rounds (a job every 50 s)",
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
    resume_automatically: AutoResume | None = Field(
        None,
        description="early ends from which the housekeeping flow resumes the run by itself: never, parked (the "
        "default), or also interrupted, by a dead process or an outage",
        examples=["interrupted"],
    )
    session_slots: str | None = Field(
        None,
        pattern=r"^[^%&/<>]{1,200}$",
        description="Prefect's global concurrency limit of which the run holds a slot while its session is open",
        examples=["sessions"],
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_former_names(cls, values: object) -> object:
        return with_current_names(values) if isinstance(values, Mapping) else values

    @property
    def exclusive_access(self) -> ExclusiveAccess | None:
        """Exclusive access to the machine between rounds, if it is wanted."""
        if self.exclusive_access_budget is None:
            return None
        ((unit, amount),) = self.exclusive_access_budget.items()
        return ExclusiveAccess(amount, unit)

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
