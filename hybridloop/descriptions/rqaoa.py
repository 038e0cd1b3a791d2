"""Recursive QAOA: a good assignment of a binary problem, of which each round fixes one variable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from pydantic import Field

from hybridloop.algorithms.choices import GraphObjective
from hybridloop.descriptions.description import Description, Subject, Value
from hybridloop.descriptions.options import RunOptions
from hybridloop.settings import RunSettings

if TYPE_CHECKING:
    from hybridloop.results.result import RunResult


class RqaoaSettings(RunSettings):
    """Settings of a recursive QAOA run."""

    default_shots: ClassVar[int] = 1000

    objective: GraphObjective = Field(GraphObjective.MAX_CUT, description="objective of a graph problem")
    layers: int = Field(1, ge=1, le=20, description="layers of the circuit of each round")
    shots: int | None = Field(
        None,
        ge=1,
        le=10_000_000,
        description="shots per round; left out: 1000, or the most of a job where the distribution is exact",
        examples=[2000],
    )
    circuit_variables: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="most variables of a round's circuit: a larger problem first loses those beyond by simulated "
        "correlations, without jobs; left out: 20, and on a machine all of its qubits",
        examples=[25],
    )
    brute_force_below: int = Field(
        3, ge=1, le=20, description="number of remaining variables at which all assignments are compared"
    )


class RqaoaOptions(RunOptions, total=False):
    """Keyword arguments of `rqaoa`: the settings, and the five more of `vqe`."""

    objective: str
    layers: int
    shots: int
    circuit_variables: int
    brute_force_below: int


def rqaoa(problem: Any, **options: Unpack[RqaoaOptions]) -> RunResult:
    """Find a good assignment of a binary problem by recursive QAOA, one job a round; see `qaoa`.

    The options are the fields of `hybridloop.RqaoaSettings`, and the five others of `vqe`.
    """
    return RQAOA.run(problem, **options)


RQAOA = Description(
    name="rqaoa",
    title="Recursive QAOA",
    summary="Find a good assignment of a binary problem with recursive QAOA, which fixes one variable in each round.",
    subject=Subject.BINARY,
    settings=RqaoaSettings,
    prepare="hybridloop.preparation.rqaoa:prepare_rqaoa",
    flow="hybridloop.flows.algorithms:rqaoa",
    example="petersen --seed 7",
    main_options="objective layers brute_force_below",
    value=Value.OBJECTIVE,
    plots={"cut": "hybridloop.reports.plots.binary:cut"},
    answer_plots=("cut",),
)
