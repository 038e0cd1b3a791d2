"""What a run can be told, checked before anything starts; imports nothing heavy, so that help stays quick."""

from __future__ import annotations

import enum

from pydantic import BaseModel, ConfigDict, Field

MAX_PROBLEM_BYTES = 256 * 1024  # flow parameters travel through Prefect's database


class AnsatzName(enum.StrEnum):
    """The circuit whose angles are varied."""

    UCCSD = "uccsd"
    HARDWARE_EFFICIENT = "hardware-efficient"


class MappingName(enum.StrEnum):
    """How spin orbitals become qubits."""

    PARITY = "parity"
    JORDAN_WIGNER = "jordan-wigner"


class OptimizerName(enum.StrEnum):
    """The search over the angles."""

    ROTOSOLVE = "rotosolve"
    COBYLA = "cobyla"


class ProblemText(BaseModel):
    """A problem as it travels: a built-in's name, or a name and a text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        min_length=1, max_length=200, description="a built-in problem, or what the text is called", examples=["h2"]
    )
    text: str | None = Field(
        None, max_length=MAX_PROBLEM_BYTES, description="the FCIDUMP text; left out: the built-in problem of that name"
    )


class VqeSettings(BaseModel):
    """Settings of a VQE run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ansatz: AnsatzName = Field(AnsatzName.UCCSD, description="circuit whose angles are varied")
    mapping: MappingName = Field(MappingName.PARITY, description="how spin orbitals become qubits")
    optimizer: OptimizerName = Field(OptimizerName.ROTOSOLVE, description="search over the angles")
    shots: int = Field(4000, ge=1, le=10_000_000, description="shots for each circuit during the search")
    precision: float = Field(
        0.7e-3,  # 0.8 would meet chemical accuracy, 1.6 mHa, at the 95th percentile only by luck
        ge=1e-5,  # H2 takes a billion shots for that
        le=1,
        description="standard error in hartree that the final measurement aims at",
    )
    seed: int | None = Field(
        None, ge=0, lt=2**63, description="fixes what the local service samples and a random start; left out: drawn"
    )
    target: str = Field("rigetti.sim.qvm", description="Azure Quantum target", examples=["ionq.simulator"])
    max_rounds: int = Field(200, ge=1, le=100_000, description="rounds that the search may take")
