"""Settings of the seven algorithms: names to choose from, and one model for each algorithm."""

from __future__ import annotations

import enum
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from hybridloop.settings.optimizer_plugins import (
    GIVE_IT_HERE,
    NOT_STORED,
    OBJECT,
    SCIPY_METHODS,
    is_object,
    optimizer_plugins,
    suggest_optimizer,
)
from hybridloop.settings.parsing import (
    ActiveSpace,
    Angles,
    CircuitText,
    Precision,
    Tolerance,
    split_at_commas,
)
from hybridloop.settings.run import RunSettings


class AnsatzName(enum.StrEnum):
    """A built-in ansatz."""

    AUTO = "auto"  # uccsd for a molecule; for a Pauli sum one of the other two
    UCCSD = "uccsd"
    HARDWARE_EFFICIENT = "hardware-efficient"
    HAMILTONIAN_VARIATIONAL = "hamiltonian-variational"


class RotationsName(enum.StrEnum):
    """Amplitudes that the rotations of a hardware-efficient circuit make."""

    REAL = "real"
    COMPLEX = "complex"


class EntanglementName(enum.StrEnum):
    """CX gates between the rotations of a hardware-efficient circuit."""

    LINEAR = "linear"  # qubit i to i + 1
    CIRCULAR = "circular"  # the last qubit to the first too
    FULL = "full"  # every pair


class StartName(enum.StrEnum):
    """Initial point of a search."""

    AUTO = "auto"  # newton where its models agree, else hf, else random
    HF = "hf"  # the Hartree-Fock state
    NEWTON = "newton"  # the minimum of a model from Hartree-Fock's derivatives; takes no job
    RANDOM = "random"


class MappingName(enum.StrEnum):
    """Mapping of spin orbitals to qubits."""

    PARITY = "parity"
    JORDAN_WIGNER = "jordan-wigner"


class OptimizerName(enum.StrEnum):
    """A built-in optimizer."""

    AUTO = "auto"
    ROTOSOLVE = "rotosolve"
    PAIRS = "pairs"
    GRADIENT = "gradient"
    QUASI_NEWTON = "quasi-newton"
    SPSA = "spsa"
    COBYLA = "cobyla"


def _check_optimizer(value: object) -> object:
    built_in = [*(name.value for name in OptimizerName), *SCIPY_METHODS]
    if is_object(value):
        raise PydanticCustomError("own_optimizer", NOT_STORED, {"remedy": GIVE_IT_HERE})
    if not isinstance(value, str) or value in built_in or value.startswith(OBJECT) or value in optimizer_plugins():
        return value
    remedy = suggest_optimizer(value, built_in)
    raise PydanticCustomError("unknown_optimizer", "must be the name of an optimizer", {"remedy": remedy})


# a built-in optimizer as its enum member; a plain string is a plug-in's name
OptimizerChoice = Annotated[OptimizerName | str, Field(union_mode="left_to_right"), BeforeValidator(_check_optimizer)]


class PoolName(enum.StrEnum):
    """Operator pool of ADAPT-VQE."""

    FERMIONIC = "fermionic"  # exponentials of excitations
    QUBIT = "qubit"  # the same without their strings of Z: shorter circuits, at times a few more operators


class GroupingName(enum.StrEnum):
    """Grouping of the energy's terms into measured circuits."""

    AUTO = "auto"
    QUBIT_WISE = "qubit-wise"
    FULLY_COMMUTING = "fully-commuting"
    DOUBLE_FACTORIZATION = "double-factorization"


class AllocationName(enum.StrEnum):
    """Allocation of the final measurement's shots to its circuits."""

    NEYMAN = "neyman"
    UNIFORM = "uniform"


class MitigationName(enum.StrEnum):
    """An error mitigation method; at most one of the two extrapolations (ZNE)."""

    READOUT = "readout"
    SYMMETRY = "symmetry"
    ZNE_LINEAR = "zne-linear"
    ZNE_EXPONENTIAL = "zne-exponential"


Mitigations = Annotated[
    tuple[MitigationName, ...],
    BeforeValidator(split_at_commas, json_schema_input_type=tuple[MitigationName, ...] | str),
]


class MixerName(enum.StrEnum):
    """Mixer of a QAOA circuit."""

    AUTO = "auto"  # xy where the problem says how many variables are 1, else standard
    STANDARD = "standard"
    XY = "xy"
    WARM_START = "warm-start"


class ObjectiveName(enum.StrEnum):
    """Objective of a graph problem; a binary problem of another kind states its own."""

    MAX_CUT = "max-cut"
    INDEPENDENT_SET = "independent-set"


class MoleculeSettings(RunSettings):
    """Settings that all runs on a molecule have: its electrons and orbitals on qubits."""

    mapping: MappingName = Field(MappingName.PARITY, description="mapping of spin orbitals to qubits")
    active_space: ActiveSpace | None = Field(
        None,
        description="active electrons and orbitals, the others are frozen or empty; or auto, by the occupations of "
        "MP2, or auto:4,4, this many of MP2's natural orbitals",
        examples=["4,4"],
    )
    frozen_core: int = Field(0, ge=0, le=100, description="number of lowest orbitals that stay doubly occupied")
    multiplicity: int | None = Field(
        None,
        ge=1,
        le=100,
        description="spin multiplicity 2S + 1 of the molecule, in the same orbitals; left out: MS2 + 1 of its file",
        examples=[3],
    )

    @model_validator(mode="after")
    def _check_active_space(self) -> Self:
        if self.active_space is not None and self.frozen_core:
            raise ValueError("the active space and the frozen core both choose the occupied orbitals: give one of them")
        return self


GroupingSetting = Annotated[
    GroupingName,
    Field(description="grouping of terms into circuits; auto chooses by their cost and noise on the target"),
]


class EnergySettings(MoleculeSettings):
    """Settings that all runs have which measure energies of a molecule."""

    shots: int = Field(4000, ge=1, le=10_000_000, description="shots per circuit during the search")
    precision: Precision = Field(
        0.7e-3,  # 0.8 would meet chemical accuracy, 1.6 mHa, at the 95th percentile only by luck
        description="standard error of the final measurement in hartree, or with a unit",
        examples=["1kcal/mol"],
    )
    max_rounds: int = Field(200, ge=1, le=100_000, description="maximum number of rounds of the search")


class VqeSettings(EnergySettings):
    """Settings of a VQE run."""

    rotations: RotationsName | None = Field(
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
        description="circuit whose angles are optimized: uccsd, hardware-efficient, hamiltonian-variational, or a file "
        "in OpenQASM 3 or Q#; auto: uccsd for a molecule, one of the other two for a Pauli sum",
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
        examples=["gradient"],
    )
    tolerance: Tolerance | None = Field(
        None,
        description="expected remaining gain in hartree, or with a unit, at which the search ends; left out: the "
        "optimizer's default",
        examples=["1mHa"],
    )
    patience: int | None = Field(
        None, ge=1, le=1000, description="consecutive rounds whose expected gain must be below the tolerance"
    )
    gradient_norm: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="gradient norm in hartree per radian at which the search ends",
        examples=[0.01],
    )
    grouping: GroupingSetting = GroupingName.AUTO
    allocation: AllocationName = Field(
        AllocationName.NEYMAN,
        description="shots of the final measurement: neyman, by the variance of each circuit, or uniform",
    )
    mitigation: Mitigations | None = Field(
        None,
        description="error mitigation: readout, symmetry, zne-linear or zne-exponential, separated by commas",
        examples=["readout,zne-linear"],
    )

    @property
    def is_uccsd(self) -> bool:
        """True if a molecule's circuit is UCCSD."""
        return self.ansatz in (AnsatzName.AUTO, AnsatzName.UCCSD)

    @field_validator("mitigation")
    @classmethod
    def _check_mitigation(cls, value: tuple[MitigationName, ...] | None) -> tuple[MitigationName, ...] | None:
        names = value or ()
        if len(set(names)) < len(names) or {MitigationName.ZNE_LINEAR, MitigationName.ZNE_EXPONENTIAL} <= set(names):
            raise ValueError("must have each method once, and at most one extrapolation")
        return value


class ScanSettings(VqeSettings):
    """Settings of a scan: those of the VQE at each of its points."""


class LevelsSettings(VqeSettings):
    """Settings of a run for energy levels: those of the VQE, for a molecule, and of the levels measured after it."""

    levels: int = Field(4, ge=1, le=64, description="energy levels, from the lowest up")
    precision: Precision = Field(
        1e-3, description="standard error of each level in hartree, or with a unit", examples=["1kcal/mol"]
    )


class AdaptSettings(EnergySettings):
    """Settings of an ADAPT-VQE run."""

    pool: PoolName = Field(PoolName.FERMIONIC, description="operator pool")
    tolerance: Tolerance = Field(
        0.8e-3,
        description="expected remaining gain in hartree, or with a unit, of all further operators together, at which "
        "the run ends",
        examples=["1mHa"],
    )
    max_operators: int = Field(40, ge=1, le=1000, description="maximum number of operators in the circuit")
    grouping: GroupingSetting = GroupingName.AUTO


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
    tolerance: Tolerance = Field(
        1e-4,
        description="change of the lowest energy in hartree, or with a unit, below which three iterations in a row "
        "end the run",
        examples=["0.1mHa"],
    )


class QaoaSettings(RunSettings):
    """Settings of a QAOA run."""

    objective: ObjectiveName = Field(ObjectiveName.MAX_CUT, description="objective of a graph problem")
    layers: int = Field(3, ge=1, le=7, description="layers of the circuit, with two angles each")
    mixer: MixerName = Field(
        MixerName.AUTO, description="mixer of the circuit; auto: xy for a fixed number of ones, else standard"
    )
    shots: int = Field(1000, ge=1, le=10_000_000, description="shots per circuit")
    refine: int = Field(0, ge=0, le=20, description="maximum number of optimizer steps from the fixed angles")
    extend_to: int | None = Field(
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
        if self.cvar < 1 and not self.refine and self.extend_to is None:
            raise ValueError(
                "cvar has an effect only on refined or extended layers: ask for one of them, or leave cvar out"
            )
        if self.extend_to is not None and self.extend_to <= self.layers:
            raise ValueError(f"{self.extend_to} layers to extend to are not more than the first {self.layers}")
        return self


class RqaoaSettings(RunSettings):
    """Settings of a recursive QAOA run."""

    objective: ObjectiveName = Field(ObjectiveName.MAX_CUT, description="objective of a graph problem")
    layers: int = Field(1, ge=1, le=7, description="layers of the circuit of each round")
    shots: int = Field(1000, ge=1, le=10_000_000, description="shots per round")
    brute_force_below: int = Field(
        3, ge=1, le=20, description="number of remaining variables at which all assignments are compared"
    )
