"""What a run for energies of a molecule can be told.

What a run for a binary problem can be told.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from hybridloop.settings.choices import (
    AllocationName,
    AnsatzName,
    GroupingName,
    MappingName,
    MitigationName,
    MixerName,
    ObjectiveName,
    OptimizerName,
    Optimizing,
    PoolName,
    StartName,
)
from hybridloop.settings.parsing import ActiveSpace, Angles, CircuitText, parted
from hybridloop.settings.run import RunSettings

Mitigations = Annotated[
    tuple[MitigationName, ...], BeforeValidator(parted, json_schema_input_type=tuple[MitigationName, ...] | str)
]


class EnergySettings(RunSettings):
    """Settings of every run for energies of a molecule."""

    mapping: MappingName = Field(MappingName.PARITY, description="how spin orbitals become qubits")
    active_space: ActiveSpace | None = Field(
        None, description="electrons and orbitals that are active, the others frozen or empty", examples=["4,4"]
    )
    frozen_core: int = Field(0, ge=0, le=100, description="lowest orbitals that stay doubly filled")
    shots: int = Field(4000, ge=1, le=10_000_000, description="shots for each circuit during the search")
    precision: float = Field(
        0.7e-3,  # 0.8 would meet chemical accuracy, 1.6 mHa, at the 95th percentile only by luck
        ge=1e-5,  # H2 takes a billion shots for that
        le=1,
        description="standard error in hartree that the final measurement aims at",
    )
    max_rounds: int = Field(200, ge=1, le=100_000, description="rounds that the search may take")

    @model_validator(mode="after")
    def _one_way_to_leave_orbitals_out(self) -> Self:
        if self.active_space is not None and self.frozen_core:
            raise ValueError("active_space and frozen_core both say which orbitals stay filled: give one of them")
        return self


class VqeSettings(EnergySettings):
    """Settings of a VQE run."""

    ansatz: AnsatzName | CircuitText = Field(
        AnsatzName.UCCSD,
        description="circuit whose angles are varied: uccsd, hardware-efficient, or a file in OpenQASM 3",
    )
    initial_point: StartName | Angles = Field(
        StartName.AUTO,
        description="where the search starts: hf, newton, random, or angles in radians by commas; auto says why",
    )
    optimizer: Optimizing = Field(
        OptimizerName.AUTO,
        description="search over the angles (`hybridloop optimizers`), one of ours or a plug-in's; auto chooses by the "
        "ansatz and its start, and says why",
        examples=["gradient"],
    )
    tolerance: float | None = Field(
        None,
        gt=0,
        le=1,
        description="energy in hartree that the search may leave to gain; each search has a default of its own",
        examples=[0.001],
    )
    patience: int | None = Field(
        None, ge=1, le=1000, description="rounds in a row that have to promise no more gain than that"
    )
    gradient_norm: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="slope in hartree per radian that is level enough to end with, whatever it promises",
        examples=[0.01],
    )
    grouping: GroupingName = Field(
        GroupingName.AUTO,
        description="terms that share a circuit; auto chooses by the shots that it takes, and says why",
    )
    allocation: AllocationName = Field(
        AllocationName.NEYMAN,
        description="the answer's shots: neyman, where they tell most, or uniform, the same for each circuit",
    )
    mitigation: Mitigations | None = Field(
        None,
        description="done about the machine's errors: readout, symmetry, zne-linear or zne-exponential, by commas",
        examples=["readout,zne-linear"],
    )

    @field_validator("mitigation")
    @classmethod
    def _each_once(cls, value: tuple[MitigationName, ...] | None) -> tuple[MitigationName, ...] | None:
        chosen = value or ()
        if len(set(chosen)) < len(chosen) or {MitigationName.ZNE_LINEAR, MitigationName.ZNE_EXPONENTIAL} <= set(chosen):
            raise ValueError("name each once, and one extrapolation at most")
        return value


class ScanSettings(VqeSettings):
    """Settings of a scan: those of the VQE at each of its points."""


class AdaptSettings(EnergySettings):
    """Settings of an ADAPT-VQE run."""

    pool: PoolName = Field(PoolName.FERMIONIC, description="what the circuit grows by")
    tolerance: float = Field(
        0.8e-3,
        gt=0,
        le=1,
        description="energy in hartree that all further operators together may be left to gain at the end",
    )
    max_operators: int = Field(40, ge=1, le=1000, description="operators that the circuit may grow by")


class VqdSettings(EnergySettings):
    """Settings of a run of variational quantum deflation."""

    levels: int = Field(2, ge=1, le=64, description="energy levels, from the ground state up")
    layers: int | None = Field(
        None, ge=0, le=20, description="entangling layers of the circuit; left out: one fewer than there are qubits"
    )
    random_starts: int = Field(2, ge=1, le=64, description="random starts for each level, searched side by side")
    deflation: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        description="hartree for the whole overlap with a level below; left out: the bound of the spectrum's width",
    )


class QaoaSettings(RunSettings):
    """Settings of a QAOA run."""

    objective: ObjectiveName = Field(ObjectiveName.MAX_CUT, description="what is asked of a graph")
    layers: int = Field(3, ge=1, le=7, description="layers of the circuit, two angles each")
    mixer: MixerName = Field(MixerName.AUTO, description="what moves amplitude between assignments")
    shots: int = Field(1000, ge=1, le=10_000_000, description="shots for each circuit")
    refine: int = Field(0, ge=0, le=20, description="steps away from the fixed angles that may be tried")
    extend_to: int | None = Field(
        None,
        ge=2,
        le=20,
        description="layers up to which more are added, one at a time, where each shows a gain",
        examples=[6],
    )
    cvar: float = Field(
        1.0, gt=0, le=1, description="share of the best shots that refining and extending go by; 1: their mean"
    )

    @model_validator(mode="after")
    def _is_of_use(self) -> Self:
        if self.cvar < 1 and not self.refine and self.extend_to is None:
            raise ValueError("cvar steers refine and extend_to, and neither is given: give one, or leave cvar out")
        if self.extend_to is not None and self.extend_to <= self.layers:
            raise ValueError(f"extend_to is {self.extend_to}, and there are {self.layers} layers to start with")
        return self


class RqaoaSettings(RunSettings):
    """Settings of a recursive QAOA run."""

    objective: ObjectiveName = Field(ObjectiveName.MAX_CUT, description="what is asked of a graph")
    layers: int = Field(1, ge=1, le=7, description="layers of each round's circuit")
    shots: int = Field(1000, ge=1, le=10_000_000, description="shots for each round's circuit")
    brute_force_below: int = Field(
        3, ge=1, le=20, description="number of remaining variables whose assignments are all compared"
    )
