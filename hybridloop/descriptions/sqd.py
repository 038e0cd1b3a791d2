"""Sample-based quantum diagonalization (SQD): a bound on a molecule's ground-state energy from samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Unpack

from pydantic import Field

from hybridloop.descriptions.description import Description, Subject
from hybridloop.descriptions.options import MoleculeOptions
from hybridloop.settings.energies import AnsatzName, MoleculeSettings, StartName
from hybridloop.settings.parsing import Angles, CircuitText, Tolerance
from hybridloop.settings.shared import Goal

if TYPE_CHECKING:
    from hybridloop.results.result import RunResult


class SqdSettings(MoleculeSettings):
    """Settings of a run of sample-based quantum diagonalization (SQD)."""

    ansatz: AnsatzName | CircuitText = Field(
        AnsatzName.UCCSD,
        description="circuit whose state is sampled: uccsd, or a file in OpenQASM 3 or Q# with its angles, if any, as "
        "initial_point",
    )
    initial_point: StartName | Angles = Field(
        StartName.AUTO,
        description="angles of the circuit, which are not optimized: auto, newton, hf, random, or angles in radians, "
        "separated by commas",
    )
    shots: int = Field(10_000, ge=1, le=10_000_000, description="shots of the one circuit")
    max_subspace: int | None = Field(
        None,
        ge=1,
        le=10_000_000,
        description="maximum number of determinants of a subspace; left out: a tenth of all, and at most 10,000",
        examples=[1000],
    )
    batches: int = Field(5, ge=1, le=100, description="subspaces of each iteration, each with its own samples")
    iterations: int = Field(10, ge=1, le=1000, description="maximum number of iterations of configuration recovery")
    tolerance: Annotated[Tolerance, Goal] = Field(
        1e-4,
        description="change of the lowest energy in hartree, or with a unit, below which three iterations in a row "
        "end the run",
        examples=["0.1mHa"],
    )


class SqdOptions(MoleculeOptions, total=False):
    """Keyword arguments of `sqd`: the settings, and the five more of `vqe`."""

    ansatz: Any  # as for `vqe`, with its angles as initial_point
    initial_point: str | Sequence[float]
    shots: int
    max_subspace: int | None
    batches: int
    iterations: int
    tolerance: str | float


def sqd(problem: Any, **options: Unpack[SqdOptions]) -> RunResult:
    """Find an upper bound on a molecule's ground-state energy (hartree) by sample-based quantum diagonalization.

    One round samples a circuit's state; its samples choose subspaces, in which PySCF diagonalizes the Hamiltonian. The
    result's `table` has the best state of each iteration, the extrapolation in the energy's variance, and classical
    subspaces of the same size. The options are the fields of `hybridloop.SqdSettings`, and the five others of `vqe`.
    """
    return SQD.run(problem, **options)


SQD = Description(
    name="sqd",
    title="Sample-based quantum diagonalization",
    summary="Find a bound on a molecule's ground-state energy from samples, in a subspace that they choose (SQD).",
    subject=Subject.MOLECULE,
    settings=SqdSettings,
    prepare="hybridloop.preparation.sqd:prepare_sqd",
    flow="hybridloop.flows.algorithms:sqd",
    example="h4 --max-subspace 16 --seed 7",
    main_options="ansatz max_subspace iterations",
    columns=("space", "energy", "standard_error", "determinants", "share", "variance", "spin_squared"),
    table_title="Subspaces",
    sampling_rounds=1,
)
