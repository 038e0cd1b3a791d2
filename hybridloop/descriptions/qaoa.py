"""QAOA: a good assignment of a binary problem."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, Unpack

from pydantic import Field, model_validator

from hybridloop.algorithms.choices import GraphObjective
from hybridloop.descriptions.description import Description, Subject, Value
from hybridloop.descriptions.options import RunOptions
from hybridloop.settings import Goal, OptimizerName, RunSettings, SearchName
from hybridloop.settings.energies import OptimizerChoice
from hybridloop.settings.parsing import Radians

if TYPE_CHECKING:
    from hybridloop.results.result import RunResult


class MixerName(enum.StrEnum):
    """Mixer of a QAOA circuit."""

    AUTO = "auto"  # xy where the problem says how many variables are 1 and it costs less, else standard
    STANDARD = "standard"
    XY = "xy"
    WARM_START = "warm-start"


class InequalitiesName(enum.StrEnum):
    """Penalty of the inequalities of a constrained problem."""

    AUTO = "auto"  # unbalanced where it is shown to be safe and takes fewer gates, else slack
    SLACK = "slack"
    UNBALANCED = "unbalanced"


class QaoaSettings(RunSettings):
    """Settings of a QAOA run."""

    default_shots: ClassVar[int] = 1000

    objective: GraphObjective = Field(GraphObjective.MAX_CUT, description="objective of a graph problem")
    layers: int = Field(3, ge=1, le=20, description="layers of the circuit, with two angles each")
    mixer: MixerName = Field(
        MixerName.AUTO,
        description="mixer of the circuit; auto: xy for fixed numbers of ones where a feasible shot takes fewer gates, "
        "else standard",
    )
    inequalities: InequalitiesName = Field(
        InequalitiesName.AUTO,
        description="penalty of inequalities: slack (bits for what is left) or unbalanced (no bits); auto: unbalanced "
        "where it is shown to be safe",
    )
    angles: Radians | None = Field(
        None,
        description="angles in radians: β of each layer, then γ of each, which multiplies the objective to be "
        "maximized; left out: as of a simulation",
        examples=["0.6,0.3,0.4,0.7"],
    )
    start_assignment: str | None = Field(
        None,
        pattern="^[01]+$",
        max_length=10_000,
        description="bits of an assignment that a warm start begins at, that of the first variable last",
        examples=["0101"],
    )
    shots: Annotated[int | None, Goal] = Field(
        None,
        ge=1,
        le=10_000_000,
        description="shots per circuit; left out: 1000, or the most of a job where the distribution is exact",
        examples=[2000],
    )
    precision: Annotated[float | None, Goal] = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="standard error of the mean of the final feasible shots, in the objective's unit; left out: as "
        "`shots` have it",
        examples=[0.05],
    )
    search: SearchName = Field(
        SearchName.AUTO,
        description="search of the angles: measured (jobs, from classical angles), or simulated (a classical "
        "simulation, which the one job tests); auto: simulated, in part where the problem is large",
    )
    optimizer: OptimizerChoice = Field(
        OptimizerName.AUTO,
        description="optimizer of a measured search (`hybridloop optimizers`), or a plug-in; auto: trust-region",
        examples=["scipy:cobyla"],
    )
    tolerance: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="expected remaining gain, in the objective's unit, at which a measured search ends; left out: a "
        "thousandth of the sum of the coefficients' sizes",
        examples=[0.01],
    )
    max_rounds: Annotated[int, Goal] = Field(
        200, ge=1, le=100_000, description="maximum number of rounds of a measured search, for each number of layers"
    )
    extend_to: Annotated[int | None, Goal] = Field(
        None,
        ge=2,
        le=20,
        description="maximum number of layers; layers are added one at a time while each improves the objective",
        examples=[6],
    )
    cvar: float = Field(
        1.0, gt=0, le=1, description="fraction of the best shots whose mean is optimized (CVaR); 1: all shots"
    )

    @model_validator(mode="after")
    def _check_cvar_and_layers(self) -> Self:
        if self.cvar < 1 and self.search is not SearchName.MEASURED and self.extend_to is None:
            raise ValueError("CVaR has no effect on fixed angles: give search=measured or extend_to, or leave cvar out")
        if self.extend_to is not None and self.extend_to <= self.layers:
            raise ValueError(f"{self.layers} layers can't be extended to {self.extend_to}: give a larger number")
        if self.start_assignment is not None and self.mixer not in (MixerName.AUTO, MixerName.WARM_START):
            raise ValueError(f"a start assignment needs the warm-start mixer, and the mixer is {self.mixer}")
        return self


class QaoaOptions(RunOptions, total=False):
    """Keyword arguments of `qaoa`: the settings, and the five more of `vqe`."""

    objective: str
    layers: int
    mixer: str
    inequalities: str
    angles: Sequence[float] | None
    start_assignment: str | None
    shots: int
    precision: float | None
    search: str
    optimizer: str | object  # as of `vqe`
    tolerance: float | None
    max_rounds: int
    extend_to: int | None
    cvar: float


def qaoa(problem: Any, **options: Unpack[QaoaOptions]) -> RunResult:
    """Find a good assignment of a binary problem by QAOA at fixed angles, by default in one job.

    `problem` is a built-in name (`hybridloop problems`), a file (edge list, CSV, GraphML, or
    JSON with a graph, a QUBO, an Ising model, numbers to partition or a portfolio), or an object: a networkx or
    rustworkx graph, weighted edges as a list of tuples or a dict by pair, a square matrix of NumPy, SciPy or pandas,
    a dimod BinaryQuadraticModel, a diagonal SparsePauliOp. A matrix or dict with a diagonal is a QUBO, one without
    a graph. The options are the fields of `hybridloop.QaoaSettings`, and the five others of `vqe`.
    """
    return QAOA.run(problem, **options)


QAOA = Description(
    name="qaoa",
    title="QAOA",
    summary="Find a good assignment of a binary problem with QAOA, by default in one job at fixed angles.",
    subject=Subject.BINARY,
    settings=QaoaSettings,
    prepare="hybridloop.preparation.qaoa:prepare_qaoa",
    flow="hybridloop.flows.algorithms:qaoa",
    example="petersen --seed 7",
    main_options="objective layers search",
    value=Value.OBJECTIVE,
    plots={
        "histogram": "hybridloop.reports.plots.binary:histogram",
        "cut": "hybridloop.reports.plots.binary:cut",
        "landscape": "hybridloop.reports.plots.landscape:of_qaoa",
    },
    answer_plots=("cut", "histogram"),
)
