"""ADAPT-VQE: a molecule's ground-state energy, by a circuit that grows operator by operator."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated, Any, Unpack

from pydantic import Field

from hybridloop.descriptions.description import OBSERVABLES_PLOT, Description, Subject
from hybridloop.descriptions.options import EnergyOptions
from hybridloop.settings.energies import EnergySettings
from hybridloop.settings.parsing import Tolerance
from hybridloop.settings.shared import Goal

if TYPE_CHECKING:
    from hybridloop.results.result import RunResult


class PoolName(enum.StrEnum):
    """Operator pool of ADAPT-VQE."""

    COUPLED = "coupled"  # pairs, singles, qubit excitations and coupled exchange, by their gain for each two-qubit gate
    FERMIONIC = "fermionic"  # exponentials of excitations
    QUBIT = "qubit"  # the same without their strings of Z: shorter circuits, at times a few more operators


class AdaptSettings(EnergySettings):
    """Settings of an ADAPT-VQE run."""

    pool: PoolName = Field(PoolName.COUPLED, description="operator pool")
    tolerance: Annotated[Tolerance, Goal] = Field(
        0.8e-3,
        description="expected remaining gain in hartree, or with a unit, of all further operators together, at which "
        "the run ends",
        examples=["1mHa"],
    )
    max_operators: int = Field(40, ge=1, le=1000, description="maximum number of operators in the circuit")


class AdaptOptions(EnergyOptions, total=False):
    """Keyword arguments of `adapt`: the settings, and the five more of `vqe`."""

    pool: str
    tolerance: str | float
    max_operators: int


def adapt(problem: Any, **options: Unpack[AdaptOptions]) -> RunResult:
    """Find a molecule's ground-state energy (hartree) by ADAPT-VQE, with a circuit that grows operator by operator.

    The result's `table` has the operators. The options are the fields of `hybridloop.AdaptSettings`, and the
    five others of `vqe`.
    """
    return ADAPT.run(problem, **options)


ADAPT = Description(
    name="adapt",
    title="ADAPT-VQE",
    summary="Find a molecule's ground-state energy with ADAPT-VQE, whose circuit grows by one operator at a time.",
    subject=Subject.MOLECULE,
    settings=AdaptSettings,
    prepare="hybridloop.preparation.adapt:prepare_adapt",
    flow="hybridloop.flows.algorithms:adapt",
    example="heh+ --seed 7",
    main_options="pool search precision",
    columns=("emptied", "filled", "gradient", "gradient_error", "expected_left", "energy", "standard_error"),
    table_title="Operators",
    plots={
        "energy": "hybridloop.reports.plots.energies:energy",
        "growth": "hybridloop.reports.plots.energies:growth",
        "observables": OBSERVABLES_PLOT,
    },
)
