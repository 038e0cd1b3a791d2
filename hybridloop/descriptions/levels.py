"""Levels: the lowest energies of a molecule or a Pauli sum, by q-sc-EOM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Unpack

from pydantic import Field

from hybridloop.descriptions.description import OBSERVABLES_PLOT, Description, Subject
from hybridloop.descriptions.vqe import VqeOptions, VqeSettings
from hybridloop.settings.parsing import Precision
from hybridloop.settings.shared import Goal

if TYPE_CHECKING:
    from hybridloop.results.result import RunResult


class LevelsSettings(VqeSettings):
    """Settings of a run for energy levels: those of the VQE, for a molecule, and of the levels measured after it."""

    takes_mitigation: ClassVar[bool] = False
    levels: int = Field(4, ge=1, le=64, description="energy levels, from the lowest up")
    precision: Annotated[Precision | None, Goal] = Field(
        None,
        description="standard error of each level in hartree, or with a unit; left out: 1 mHa for a molecule, a "
        "thousandth of the sum of the coefficients' sizes for a Pauli sum",
        examples=["1kcal/mol"],
    )
    default_precision: ClassVar[float] = 1e-3


class LevelsOptions(VqeOptions, total=False):
    """Keyword arguments of `levels`: the settings, and the five more of `vqe`."""

    levels: int


def levels(problem: Any, **options: Unpack[LevelsOptions]) -> RunResult:
    """Find the lowest energy levels of a molecule (hartree) or a Pauli sum, in one to three rounds.

    The result's `table` has the levels, and its value is the lowest. A molecule's are measured after a VQE, and have
    its alpha and beta electrons and any spin. The options are the fields of `hybridloop.LevelsSettings`, and the other
    four of `vqe`.
    """
    return LEVELS.run(problem, **options)


LEVELS = Description(
    name="levels",
    title="Energy levels",
    summary="Find the lowest energy levels of a molecule, by a VQE and one to three rounds after it, or of a spin "
    "model.",
    subject=Subject.ENERGY,
    settings=LevelsSettings,
    prepare="hybridloop.preparation.levels:prepare_levels",
    flow="hybridloop.flows.algorithms:levels",
    example="h2 --levels 4 --seed 7",
    main_options="levels ansatz precision",
    value_of="the ground state, the lowest of {rows} levels",
    columns=(
        *("level", "energy", "standard_error", "exact", "noise_bias"),
        *("excitation", "excitation_error", "multiplicity", "electrons", "symmetry"),
    ),
    table_title="Levels",
    plots={"levels": "hybridloop.reports.plots.energies:levels", "observables": OBSERVABLES_PLOT},
    answer_plots=("levels",),
)
