"""What is chosen by name."""

from __future__ import annotations

import enum
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from hybridloop.settings.optimizer_plugins import nearest, plug_ins


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


class AutoResume(enum.StrEnum):
    """Early ends from which housekeeping resumes a run by itself."""

    NEVER = "never"
    PARKED = "parked"  # once its jobs are done and its target is there
    INTERRUPTED = "interrupted"  # that too, and whatever else ended it by no wish of anybody: a dead process, an outage


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
