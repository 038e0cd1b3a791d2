"""What a run can be told, checked before anything starts; imports nothing heavy, so that help stays quick."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from hybridloop.flows.optimizers import nearest, plug_ins
from hybridloop.sessions.budget import Caps, parse_cost
from hybridloop.sessions.idle import ExclusiveHold, IdleRule, KeepAliveMode
from hybridloop.sessions.policy import FailurePolicy
from hybridloop.sessions.prices import Unit

MAX_CIRCUIT_BYTES = 64 * 1024
MAX_PROBLEM_BYTES = 256 * 1024  # flow parameters travel through Prefect's database


_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([smhd]?)")
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}

# How far a run may go, not what it does: whoever goes on with a run may give others.
LIMITS = ("max_jobs", "max_shots", "max_cost", "max_cost_per_job", "deadline", "detach_after")


def parse_duration(text: object) -> object:
    """Seconds from words like `90`, `30m` or `8h`; what is no text is handed on as it is.

    >>> parse_duration("30m")
    1800.0
    """
    if not isinstance(text, str):
        return text
    if (match := _DURATION.fullmatch(text.strip())) is None:
        raise ValueError(f"{text!r} is no duration; give seconds, or such as 90s, 30m, 8h, 1d")
    return float(match[1]) * _SECONDS[match[2]]


# What a validator reads beside the type itself is said with it: forms and the command line go by that.
Duration = Annotated[float, BeforeValidator(parse_duration, json_schema_input_type=float | str)]
Cost = Annotated[dict[Unit, Annotated[float, Field(ge=0, allow_inf_nan=False)]], BeforeValidator(parse_cost)]


class AnsatzName(enum.StrEnum):
    """The circuit whose angles are varied."""

    UCCSD = "uccsd"
    HARDWARE_EFFICIENT = "hardware-efficient"


class StartName(enum.StrEnum):
    """Where a search starts."""

    AUTO = "auto"  # newton where its model can be trusted, else hf, else random
    HF = "hf"  # the Hartree-Fock state
    NEWTON = "newton"  # where a model from Hartree-Fock's derivatives is lowest, which takes no job
    RANDOM = "random"


class MappingName(enum.StrEnum):
    """How spin orbitals become qubits."""

    PARITY = "parity"
    JORDAN_WIGNER = "jordan-wigner"


class OptimizerName(enum.StrEnum):
    """The search over the angles."""

    AUTO = "auto"
    ROTOSOLVE = "rotosolve"
    PAIRS = "pairs"
    GRADIENT = "gradient"
    SPSA = "spsa"
    QN_SPSA = "qn-spsa"
    COBYLA = "cobyla"
    COBYQA = "cobyqa"
    NELDER_MEAD = "nelder-mead"
    POWELL = "powell"
    L_BFGS_B = "l-bfgs-b"


def _known_optimizer(value: object) -> object:
    """One of ours, or a plug-in's name, as it is."""
    ours = [each.value for each in OptimizerName]
    if not isinstance(value, str) or value in ours or value in plug_ins():
        return value
    remedy = nearest(value, ours)
    raise PydanticCustomError("unknown_optimizer", "there is no optimizer of that name", {"remedy": remedy})


# ours as such; what is only text is a plug-in's name
Optimizing = Annotated[OptimizerName | str, Field(union_mode="left_to_right"), BeforeValidator(_known_optimizer)]


class PoolName(enum.StrEnum):
    """What ADAPT's circuit grows by."""

    FERMIONIC = "fermionic"  # exponentials of excitations
    QUBIT = "qubit"  # the same without their strings of Z: shorter circuits, at times a few more


class GroupingName(enum.StrEnum):
    """Which terms of the energy may share a circuit."""

    AUTO = "auto"
    QUBIT_WISE = "qubit-wise"
    FULLY_COMMUTING = "fully-commuting"


class AllocationName(enum.StrEnum):
    """How the final measurement's shots are shared among its circuits."""

    NEYMAN = "neyman"
    UNIFORM = "uniform"


class MitigationName(enum.StrEnum):
    """What is done about a machine's errors; one of the two extrapolations at most."""

    READOUT = "readout"
    SYMMETRY = "symmetry"
    ZNE_LINEAR = "zne-linear"
    ZNE_EXPONENTIAL = "zne-exponential"


def _parted(value: object) -> object:
    return [each.strip() for each in value.split(",")] if isinstance(value, str) else value


def _pair(value: object) -> object:
    parts = _parted(value)
    if isinstance(value, str) and not (isinstance(parts, list) and len(parts) == 2):
        raise ValueError("give electrons and orbitals, such as 4,4")
    return parts


ActiveSpace = Annotated[
    tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]],
    BeforeValidator(_pair, json_schema_input_type=tuple[int, int] | str),
]


def _angles(value: object) -> object:
    try:
        return [float(each) for each in _parted(value)] if isinstance(value, str) else value  # type: ignore[attr-defined]
    except ValueError:
        raise ValueError("it is neither auto, hf, newton or random nor angles by commas") from None


Angles = Annotated[
    tuple[Annotated[float, Field(allow_inf_nan=False)], ...],
    BeforeValidator(_angles, json_schema_input_type=list[float] | str),
]


def _circuit(value: object) -> object:
    if isinstance(value, str) and not _CIRCUIT.search(value):
        raise ValueError("it is neither uccsd or hardware-efficient nor a file of a circuit in OpenQASM 3")
    return value


_CIRCUIT = re.compile(r"\b(OPENQASM|qubit)\b")  # no file's name and no circuit's
CircuitText = Annotated[str, Field(max_length=MAX_CIRCUIT_BYTES), BeforeValidator(_circuit)]


class MixerName(enum.StrEnum):
    """What moves amplitude between assignments."""

    AUTO = "auto"  # xy where the problem says how many variables are 1, else standard
    STANDARD = "standard"
    XY = "xy"
    WARM_START = "warm-start"


class ObjectiveName(enum.StrEnum):
    """What is asked of a graph; a problem of another kind says itself what it asks."""

    MAX_CUT = "max-cut"
    INDEPENDENT_SET = "independent-set"


class ProblemText(BaseModel):
    """A problem as it travels: a built-in's name, or a name and a text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        min_length=1, max_length=200, description="a built-in problem, or what the text is called", examples=["h2"]
    )
    text: str | None = Field(
        None,
        max_length=MAX_PROBLEM_BYTES,
        description="the problem's text; left out: the built-in problem of that name",
    )


class RunSettings(BaseModel):
    """Settings that every run has, whatever its algorithm."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int | None = Field(
        None, ge=0, lt=2**63, description="fixes what the local service samples and a random start; left out: drawn"
    )
    target: str = Field(
        "rigetti.sim.qvm", description="Azure Quantum target (`hybridloop targets`)", examples=["ionq.simulator"]
    )
    failure: FailurePolicy = Field(
        FailurePolicy(), description="what is done when a job, a session or the target fails"
    )
    keep_alive: KeepAliveMode = Field(
        KeepAliveMode.AUTO, description="while the session idles: ping it, renew it when it is needed, or neither"
    )
    idle_rule: IdleRule = Field(IdleRule.RECORDED, description="from when the service counts a session's idle minutes")
    exclusive_hold: Cost | None = Field(
        None,
        min_length=1,
        max_length=1,
        description="what holding a Quantinuum machine between rounds, a job every 50 s, may cost",
        examples=["400HQC"],
    )
    cancel_in_flight: bool = Field(
        default=False, description="cancel the jobs in flight when the run ends early; else they are left to finish"
    )
    max_jobs: int | None = Field(None, ge=1, description="jobs of the run, further attempts and pings included")
    max_shots: int | None = Field(None, ge=1, description="shots of all those jobs")
    max_cost: Cost | None = Field(
        None, description="what all those jobs may cost, by unit", examples=["50USD", "200HQC"]
    )
    max_cost_per_job: Cost | None = Field(
        None,
        description="what one job may cost, by unit; where a price has no upper bound, it is taken for the bound",
        examples=["5USD"],
    )
    deadline: Duration | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="seconds from the start, or from being resumed, after which no round begins",
        examples=["8h"],
    )
    detach_after: Duration | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="seconds that a round may wait before the run is parked, to go on when it is done",
        examples=["30m"],
    )

    @property
    def hold(self) -> ExclusiveHold | None:
        """The hold on the machine between rounds, if one is wanted."""
        if self.exclusive_hold is None:
            return None
        ((unit, amount),) = self.exclusive_hold.items()
        return ExclusiveHold(amount, unit)

    @property
    def caps(self) -> Caps:
        """What the run may take in all."""
        return Caps(
            max_jobs=self.max_jobs,
            max_shots=self.max_shots,
            max_cost=self.max_cost or {},
            max_cost_per_job=self.max_cost_per_job or {},
            deadline_s=self.deadline,
        )


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
        examples=["0.001"],
    )
    patience: int | None = Field(
        None, ge=1, le=1000, description="rounds in a row that have to promise no more gain than that"
    )
    gradient_norm: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="slope in hartree per radian that is level enough to end with, whatever it promises",
        examples=["0.01"],
    )
    grouping: GroupingName = Field(
        GroupingName.AUTO,
        description="terms that share a circuit; auto chooses by the shots that it takes, and says why",
    )
    allocation: AllocationName = Field(
        AllocationName.NEYMAN,
        description="the answer's shots: neyman, where they tell most, or uniform, the same for each circuit",
    )
    mitigation: Annotated[tuple[MitigationName, ...], BeforeValidator(_parted)] | None = Field(
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
    starts: int = Field(2, ge=1, le=64, description="random starts for each level, searched side by side")
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
    stop_at: int = Field(3, ge=1, le=20, description="variables that are left to be gone through one by one")


SETTINGS: Mapping[str, type[RunSettings]] = {
    "vqe": VqeSettings,
    "adapt": AdaptSettings,
    "vqd": VqdSettings,
    "scan": ScanSettings,
    "qaoa": QaoaSettings,
    "rqaoa": RqaoaSettings,
}


def first_difference(recorded: Mapping[str, Any], asked: Mapping[str, Any], of: str = "") -> str | None:
    """The name of the first setting in which two sets differ, an inner one as `failure.retries`; None: they agree."""
    for name in dict.fromkeys((*recorded, *asked)):
        one, other = recorded.get(name), asked.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            if inner := first_difference(one, other, f"{of}{name}."):
                return inner
        elif one != other:
            return f"{of}{name}"
    return None
