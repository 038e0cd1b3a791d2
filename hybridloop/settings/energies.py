"""Settings that several algorithms share: names to choose from, and those of molecules and of energies."""

from __future__ import annotations

import enum
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from hybridloop.algorithms.choices import FermionMapping
from hybridloop.data.objects import OBJECT
from hybridloop.settings.optimizer_plugins import (
    GIVE_IT_HERE,
    NOT_STORED,
    SCIPY_METHODS,
    is_object,
    optimizer_plugins,
    suggest_optimizer,
)
from hybridloop.settings.parsing import (
    ActiveSpace,
    Precision,
    split_at_commas,
)
from hybridloop.settings.shared import Goal, RunSettings


class AnsatzName(enum.StrEnum):
    """A built-in ansatz."""

    AUTO = "auto"  # of a molecule one of the first three, by price; of a Pauli sum one of the last two
    UCCSD = "uccsd"
    PUCCD = "puccd"  # unitary pair coupled cluster doubles
    GROWN = "grown"  # operators by their gain for each two-qubit gate, in simulation
    HARDWARE_EFFICIENT = "hardware-efficient"
    HAMILTONIAN_VARIATIONAL = "hamiltonian-variational"


class EntanglementName(enum.StrEnum):
    """CX gates between the rotations of a hardware-efficient circuit."""

    LINEAR = "linear"  # qubit i to i + 1
    CIRCULAR = "circular"  # the last qubit to the first too
    FULL = "full"  # every pair


class StartName(enum.StrEnum):
    """Initial point of a search."""

    AUTO = "auto"  # a simulated minimum; else for UCCSD newton where its models agree, or hf; else by the circuit
    HF = "hf"  # the Hartree-Fock state
    NEWTON = "newton"  # the minimum of a model from Hartree-Fock's derivatives; takes no job
    RANDOM = "random"


class SearchName(enum.StrEnum):
    """Search of the angles: by measured rounds, or by a classical simulation."""

    AUTO = "auto"  # simulated where that is affordable, else measured
    SIMULATED = "simulated"
    MEASURED = "measured"


class OrbitalsName(enum.StrEnum):
    """Orbitals of a molecule's circuit."""

    AUTO = "auto"  # natural where they shorten the circuit
    NATURAL = "natural"  # of the exact ground state, or of MP2 where the molecule is too large for that
    GIVEN = "given"


class OptimizerName(enum.StrEnum):
    """A built-in optimizer."""

    AUTO = "auto"
    TRUST_REGION = "trust-region"
    ROTOSOLVE = "rotosolve"


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


class GroupingName(enum.StrEnum):
    """Grouping of the energy's terms into measured circuits."""

    AUTO = "auto"
    QUBIT_WISE = "qubit-wise"
    FULLY_COMMUTING = "fully-commuting"
    DOUBLE_FACTORIZATION = "double-factorization"
    PAIR_ROTATIONS = "pair-rotations"


class MitigationName(enum.StrEnum):
    """An error mitigation method; one at most of twirl and the extrapolations (ZNE), which twirl; none alone."""

    NONE = "none"
    READOUT = "readout"
    TWIRL = "twirl"
    ZNE_LINEAR = "zne-linear"
    ZNE_EXPONENTIAL = "zne-exponential"


Mitigations = Annotated[
    tuple[MitigationName, ...],
    BeforeValidator(split_at_commas, json_schema_input_type=tuple[MitigationName, ...] | str),
]


class ObservableName(enum.StrEnum):
    """Operators that are measured beside the energy."""

    DIPOLE = "dipole"
    OCCUPATIONS = "occupations"
    SPIN = "spin"
    MAGNETIZATION = "magnetization"
    CORRELATIONS = "correlations"


def _parse_observables(value: object) -> object:
    """Return names, or NAME=TEXT with a Pauli sum, as a mapping from names to texts; None for a known operator."""
    words = split_at_commas(value)
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        return value
    pairs = [
        (name.strip(), text.strip() if is_own else None) for name, is_own, text in (w.partition("=") for w in words)
    ]
    if len(dict(pairs)) < len(pairs):
        raise ValueError("must have each name once")
    return dict(pairs)


def _check_observables(value: dict[str, str | None]) -> dict[str, str | None]:
    known = [name.value for name in ObservableName]
    for name, text in value.items():
        if text is None and name not in known:
            raise ValueError(
                f"{name[:40]!r} is no known operator: give {', '.join(known)}, or NAME=FILE with a Pauli sum"
            )
        if text is not None and (not name or len(name) > MAX_NAME or not name.isprintable() or name in known):
            raise ValueError(f"{name[:40]!r} can't name an operator of yours")
    return dict(sorted(value.items()))  # a run that is resumed has them in the order of its stored text


MAX_NAME = 40  # characters of an own operator's name
OBSERVABLE_PRECISION = 0.01  # of those that the settings leave open, but for occupations
Observables = Annotated[
    dict[str, str | None],
    Field(min_length=1, max_length=50),
    BeforeValidator(_parse_observables, json_schema_input_type=dict[str, str | None] | tuple[str, ...] | str),
    AfterValidator(_check_observables),
]


class MoleculeSettings(RunSettings):
    """Settings that all runs on a molecule have: its electrons and orbitals on qubits."""

    mapping: FermionMapping = Field(FermionMapping.PARITY, description="mapping of spin orbitals to qubits")
    orbitals: OrbitalsName = Field(
        OrbitalsName.AUTO,
        description="orbitals of the circuit: natural, of the exact ground state or of MP2, or given, those of the "
        "problem; auto: natural where these shorten the circuit, but given for sqd",
    )
    active_space: ActiveSpace | None = Field(
        None,
        description="active electrons and orbitals, the others are frozen or empty; or auto, by the occupations of "
        "MP2, or auto:4,4, this many of MP2's natural orbitals; orbitals=3,4,7, counted from 1, or symmetry=A1:2,B2:1, "
        "of a geometry's symmetry those nearest to the gap, with the electrons that they have",
        examples=["4,4"],
    )
    frozen_core: int = Field(0, ge=0, le=100, description="number of lowest orbitals that stay doubly occupied")
    multiplicity: int | None = Field(
        None,
        ge=1,
        le=100,
        description="spin multiplicity 2S + 1 of the molecule, in the same orbitals; left out: MS2 + 1 of its file, "
        "or the lowest of a geometry",
        examples=[3],
    )

    @model_validator(mode="after")
    def _check_active_space(self) -> Self:
        if self.active_space is not None and self.frozen_core:
            raise ValueError("the active space and the frozen core both choose the occupied orbitals: give one of them")
        return self


PART_OF_MOLECULE = ("multiplicity", "active_space", "frozen_core")  # settings that integrals are made for


class EnergySettings(MoleculeSettings):
    """Settings that all runs have which measure energies of a molecule."""

    search: SearchName = Field(
        SearchName.AUTO,
        description="search of the angles: measured (jobs alone), or simulated (a classical simulation, which jobs "
        "test); auto: simulated where that is affordable",
    )
    # hartree: 0.8 would meet chemical accuracy, 1.6 mHa, at the 95th percentile only by luck
    default_precision: ClassVar[float] = 0.7e-3
    default_shots: ClassVar[int] = 4000
    takes_mitigation: ClassVar[bool] = False

    shots: int | None = Field(
        None,
        ge=1,
        le=10_000_000,
        description="shots per circuit during the search, or with trust-region of a point in its first round, over all "
        "circuits; left out: 4000, with trust-region 1000 far from the minimum, or more where they cost little",
        examples=[2000],
    )
    precision: Annotated[Precision | None, Goal] = Field(
        None,
        description="standard error of the final measurement in hartree, or with a unit; left out: 0.7 mHa for a "
        "molecule, a thousandth of the sum of the coefficients' sizes for a Pauli sum",
        examples=["1kcal/mol"],
    )
    max_rounds: Annotated[int, Goal] = Field(
        200, ge=1, le=100_000, description="maximum number of rounds of the search"
    )
    grouping: GroupingName = Field(
        GroupingName.AUTO,
        description="grouping of terms into circuits; auto chooses by their cost and noise on the target",
    )
    observables: Annotated[Observables | None, Goal] = Field(
        None,
        description="operators measured beside the energy, separated by commas: dipole, occupations, spin of a "
        "molecule; magnetization, correlations of a Pauli sum; NAME=FILE, a Pauli sum on the circuit's qubits",
        examples=["dipole,occupations"],
    )
    observable_precision: Annotated[float | None, Goal] = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="standard error of each of the observables; left out: 0.01 (of occupations 0.005)",
        examples=[0.01],
    )
