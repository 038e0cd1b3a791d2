"""What commands print of runs."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict  # of which pydantic reads the fields on Python 3.11

from hybridloop.cli.common import EXACT, Amounts, Moment


@with_config(EXACT)
class Jobs(TypedDict):
    """Jobs of a run: evaluations are those of the rounds, each place once; the others come on top."""

    total: int
    evaluations: int
    pings: int
    retried: int


@with_config(EXACT)
class Cost(TypedDict):
    """What the service billed where it did so in one unit; null where it stated nothing, or in several."""

    amount: float | None
    unit: str | None


@with_config(EXACT)
class SessionOfRun(TypedDict):
    """A session of a run, as its result has it."""

    id: str
    status: str
    jobs: int


@with_config(EXACT)
class Round(TypedDict):
    """A round that is done: its value and standard error belong to `point`, in radians."""

    round: int
    phase: str
    value: float
    standard_error: float
    point: list[float]
    points: int
    circuits: int
    shots: int
    total_shots: int


@with_config(EXACT)
class RunDocument(TypedDict):
    """A run's result; values in `unit`. See `hybridloop.runs.result.RunResult` for each."""

    run_key: str
    algorithm: str
    problem: str
    target: str
    status: Annotated[str, Field(description="converged, finished, stopped or parked")]
    reason: str
    value: Annotated[float | None, Field(description="null while the run has not come to one")]
    standard_error: float | None
    interval95: Annotated[list[float] | None, Field(min_length=2, max_length=2)]
    is_exact: bool
    rounding_bound: float
    is_precise: bool
    exact: float | None
    reference: float
    error: float | None
    parameters: list[float]
    rounds: int
    jobs: Jobs
    retried: int
    pings: int
    shots: int
    cost: Cost
    costs: Amounts
    sessions: list[SessionOfRun]
    seed: int
    wall_seconds: float
    resumed: bool
    history: list[Round]
    unit: Annotated[str, Field(description="hartree, or empty for a number of its own")]
    best_bitstring: str | None
    best_value: float | None
    approximation_ratio: float | None
    table: Annotated[list[dict[str, Any]], Field(description="operators, levels, points or variables")]
    warnings: list[str]
    choices: list[str]
    estimated: Amounts
    reserved: Amounts
    picture: Annotated[str | None, Field(description="path of the picture; null where none could be written")]


@with_config(EXACT)
class SweepDocument(TypedDict):
    """A sweep's table: its points have the same columns, of which `varied` are what the points differ in."""

    name: str
    algorithm: str
    unit: str
    complete: Annotated[bool, Field(description="whether every point has its result")]
    counts: Annotated[dict[str, int], Field(description="points by status")]
    begun: Annotated[int, Field(description="points that were run now")]
    wall_seconds: float
    varied: list[str]
    points: list[dict[str, Any]]
    picture: Annotated[str | None, Field(description="path of the picture; null where none could be written")]


@with_config(EXACT)
class RunRow(TypedDict):
    """A run of the journal; of one that is damaged there, only its key is known, or its uid."""

    run: str
    status: str
    algorithm: str | None
    problem: str | None
    target: str | None
    rounds: int | None
    jobs: int | None
    value: float | None
    created: Moment | None
    updated: Moment | None


@with_config(EXACT)
class SessionRow(TypedDict):
    """A session of a run, as the journal has it, with why it was opened."""

    id: str
    target: str
    status: str
    reason: str


@with_config(ConfigDict(extra="allow"))
class Event(TypedDict):
    """Something that happened to a run, with facts of its own."""

    at: Moment
    kind: str


@with_config(EXACT)
class Meter(TypedDict):
    """What counts against a run's caps; a cap holds billed and reserved together."""

    jobs: int
    shots: int
    estimated: Amounts
    reserved: Amounts
    billed: Amounts


@with_config(EXACT)
class RunShown(TypedDict):
    """A run of the journal with all that is known of it but what was measured."""

    run: str
    status: str
    algorithm: str
    problem: str | None
    target: str
    rounds: int
    jobs: int
    value: float | None
    created: Moment
    updated: Moment
    uid: str
    flow_run_id: str | None
    reason: str
    seed: int
    held_by: str | None
    stop_requested: bool
    meter: Meter
    settings: dict[str, Any]
    sources: Annotated[dict[str, str], Field(description="where settings were set that are not as by default")]
    workspace: dict[str, str]
    versions: dict[str, str]
    sessions: list[SessionRow]
    events: list[Event]


@with_config(EXACT)
class RunStop(TypedDict):
    """Whether the run is under way, and so was asked to stop."""

    run: str
    stop_requested: bool
    status: str


@with_config(EXACT)
class RunVerified(TypedDict):
    """A run's value computed anew; `differences` names what is not bit for bit as it was written down."""

    run_key: str
    rounds: int
    jobs: int
    value: float
    unit: str
    differences: list[str]
    versions: Annotated[dict[str, list[str]], Field(description="what is another one here, by name: there, here")]
    agrees: bool
    seal: Annotated[str | None, Field(description="a bundle's; null of a run in the journal")]


@with_config(EXACT)
class RunCompared(TypedDict):
    """One quantity of a run and of its repetition."""

    name: str
    before: Any
    again: Any
    verdict: Annotated[str, Field(description="the same, within error bars, outside error bars, or another")]


@with_config(EXACT)
class RunReproduced(TypedDict):
    """What came of a repetition; one that a limit stopped, by its `status`, compares nothing yet."""

    before: str
    again: str
    status: str
    identical: bool
    agrees: bool
    compared: list[RunCompared]
    versions: Annotated[dict[str, list[str]], Field(description="what is another one now, by name: then, now")]


@with_config(EXACT)
class Pruned(TypedDict):
    """Runs that were forgotten, or but for their results (`stripped`); `kept` says of others why they were not."""

    forgotten: int
    stripped: int
    cancelled_jobs: int
    freed_bytes: int
    kept: Annotated[dict[str, str], Field(description="reasons by the run's uid")]
    ended_before: Moment


@with_config(EXACT)
class RunLater(TypedDict):
    """A run that was left to the housekeeping flow."""

    run: str
    resume_requested: bool
    status: str
