"""VQE: the ground-state energy of a molecule or a Pauli sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Unpack

from pydantic import Field, field_validator

from hybridloop.algorithms.choices import Allocation, Rotations
from hybridloop.descriptions.description import OBSERVABLES_PLOT, Description, Subject
from hybridloop.descriptions.options import EnergyOptions
from hybridloop.settings.energies import (
    AnsatzName,
    EnergySettings,
    EntanglementName,
    MitigationName,
    Mitigations,
    OptimizerChoice,
    OptimizerName,
    StartName,
)
from hybridloop.settings.parsing import Angles, CircuitText, Tolerance
from hybridloop.settings.shared import Goal

if TYPE_CHECKING:
    from hybridloop.results.result import RunResult


class VqeSettings(EnergySettings):
    """Settings of a VQE run."""

    takes_mitigation: ClassVar[bool] = True

    rotations: Rotations | None = Field(
        None,
        description="amplitudes that a hardware-efficient circuit makes, real or complex; left out: those of the "
        "Hamiltonian",
        examples=["complex"],
    )
    entanglement: EntanglementName | None = Field(
        None,
        description="CX gates of each layer of a hardware-efficient circuit: linear, circular or full; left out: "
        "linear",
        examples=["circular"],
    )

    ansatz: AnsatzName | CircuitText = Field(
        AnsatzName.AUTO,
        description="circuit whose angles are optimized: uccsd, puccd (electron pairs), grown (operators by their gain "
        "for each two-qubit gate), hardware-efficient, hamiltonian-variational, or a file in OpenQASM 3 or Q#; auto: "
        "one of the first three by price for a molecule, one of the next two for a Pauli sum",
    )
    layers: int | None = Field(
        None,
        ge=0,
        le=50,
        description="layers of a hardware-efficient or hamiltonian-variational circuit; left out: by the problem",
        examples=[2],
    )
    initial_point: StartName | Angles = Field(
        StartName.AUTO,
        description="initial point of the search: auto, hf, newton, random, or angles in radians, separated by commas",
    )
    optimizer: OptimizerChoice = Field(
        OptimizerName.AUTO,
        description="optimizer of the angles (`hybridloop optimizers`), built in or a plug-in; auto chooses by the "
        "ansatz and its initial point",
        examples=["trust-region"],
    )
    tolerance: Annotated[Tolerance | None, Goal] = Field(
        None,
        description="expected remaining gain in hartree, or with a unit, at which the search ends; left out: the "
        "optimizer's default, or a thousandth of the sum of the coefficients' sizes for a Pauli sum",
        examples=["1mHa"],
    )
    gradient_norm: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="gradient norm in hartree per radian at which the search ends",
        examples=[0.01],
    )
    allocation: Allocation = Field(
        Allocation.NEYMAN,
        description="shots of the final measurement: neyman, by the variance of each circuit, or uniform",
    )
    mitigation: Mitigations | None = Field(
        None,
        description="error mitigation: readout, and twirl, zne-linear or zne-exponential, separated by commas, or none",
        examples=["readout,zne-linear"],
    )

    @field_validator("mitigation")
    @classmethod
    def _check_mitigation(cls, value: tuple[MitigationName, ...] | None) -> tuple[MitigationName, ...] | None:
        names = value or ()
        twirled = {MitigationName.TWIRL, MitigationName.ZNE_LINEAR, MitigationName.ZNE_EXPONENTIAL} & set(names)
        if len(set(names)) < len(names) or len(twirled) > 1:
            raise ValueError("must have each method once, and at most one of twirl and the extrapolations, which twirl")
        if MitigationName.NONE in names and len(names) > 1:
            raise ValueError("must be none alone")
        return value


class VqeOptions(EnergyOptions, total=False):
    """Keyword arguments of `vqe` and `scan`: the settings, and the five more of `vqe`."""

    ansatz: Any  # a name, a file, a circuit of Qiskit or Cirq, or hybridloop.ansatz(…)
    layers: int | None
    rotations: str | None
    entanglement: str | None
    initial_point: str | Sequence[float]
    optimizer: str | object  # a name, minimize(fun, x0), or an object with ask and tell or minimize
    tolerance: str | float | None
    gradient_norm: float | None
    allocation: str
    mitigation: str | Sequence[str] | None


def vqe(problem: Any, **options: Unpack[VqeOptions]) -> RunResult:
    """Find a molecule's ground-state energy (hartree) as a Prefect flow run that owns one session.

    `problem` is a built-in name (`hybridloop problems`), a file (FCIDUMP, a Pauli sum, XYZ), atoms such
    as `H 0 0 0; H 0 0 0.74` in Å, or an object: a Qiskit SparsePauliOp, an OpenFermion or PennyLane operator, a PySCF
    Mole, SCF, CASCI or CASSCF. `basis` (default sto-3g), `ecp` and `charge` are those of a geometry, whose integrals
    PySCF computes. The options are the fields of `hybridloop.VqeSettings`, such as `shots=2000, seed=7`, and these:

    - `run_key`: a name for the run. The run of that name is resumed, if there is one; if it is finished, its stored
      result is returned.
    - `on`: a Prefect work pool, one of whose workers runs it; the call follows the run, and an exception in between
      leaves it alone.
    - `host`: "prefect", or "plain" for this process alone; a resumed run stays in the one that it was started in.
    - `require_prefect`: if true, a run whose Prefect server is away is refused. Else it begins after 30 s in this
      process alone, and the server gets its end once it is back.
    - `workspace`: the SDK's Workspace, a resource id, or the name of a saved block (`hybridloop.blocks`). Without it,
      the environment names the workspace (AZURE_QUANTUM_CONNECTION_STRING, AZURE_QUANTUM_WORKSPACE_NAME); else a local
      service is used, and started if needed.
    - `callback(round, point, value, standard_error)`: called after each measured round.
    - `on_progress(update)`: called after each measured round with a `hybridloop.RoundUpdate`.

    `ansatz` may be a Qiskit circuit, `optimizer` an object of yours: a function `minimize(fun, x0)` in SciPy's
    signature, an object with `ask` and `tell`, or an optimizer of qiskit-algorithms. An exception of it or of a
    callback ends the run with CallbackFailed; it can be resumed. In a notebook the run is displayed while it is under
    way. A stopped or parked run returns a result without a value. Raises InputError before anything is started, RunBusy
    if another process holds the run, ServiceError for errors of the service.
    """
    return VQE.run(problem, **options)


VQE = Description(
    name="vqe",
    title="VQE",
    summary="Find a molecule's ground-state energy with VQE.",
    subject=Subject.ENERGY,
    settings=VqeSettings,
    prepare="hybridloop.preparation.vqe:prepare_vqe",
    flow="hybridloop.flows.algorithms:vqe",
    example="h2 --seed 7",
    main_options="ansatz search precision",
    plots={"energy": "hybridloop.reports.plots.energies:energy", "observables": OBSERVABLES_PLOT},
)
