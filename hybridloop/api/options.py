"""Keyword arguments of the public functions, for editors and type checkers; the models of `settings` check values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from hybridloop.runs.live import RoundUpdate

# Called after each round with its number from 1, the point in radians, its value and standard error.
Callback = Callable[[int, tuple[float, ...], float, float], None]


class SessionKeywords(TypedDict, total=False):
    """Options of a session; see `hybridloop.RunSettings`."""

    failure: Any
    keep_alive: str
    idle_rule: str
    exclusive_access_budget: str | Mapping[str, float] | None
    cancel_in_flight: bool
    debias: bool
    provider_options: Mapping[str, Any] | None
    batching: str
    requests_in_flight: int | None
    requests_per_second: float | None
    max_jobs: int | None
    max_shots: int | None
    max_cost: str | Mapping[str, float] | None
    max_cost_per_job: str | Mapping[str, float] | None
    deadline: str | float | None
    detach_after: str | float | None


class SettingOptions(SessionKeywords, total=False):
    """Settings of every run; see `hybridloop.RunSettings`."""

    seed: int | None
    target: str
    resume_automatically: str | None
    session_slots: str | None


class RunOptions(TypedDict, total=False):
    """Keyword arguments of a run that are no settings; see `hybridloop.vqe`."""

    run_key: str | None
    workspace: Any
    on_progress: Callable[[RoundUpdate], None] | None
    callback: Callback | None


class MoleculeSettingOptions(SettingOptions, total=False):
    """Settings of every run on a molecule; see `hybridloop.VqeSettings`."""

    basis: str
    charge: int
    mapping: str
    active_space: str | tuple[int, int] | None
    frozen_core: int
    multiplicity: int | None


class EnergySettingOptions(MoleculeSettingOptions, total=False):
    """Settings of every search for energies; see `hybridloop.VqeSettings`."""

    shots: int
    precision: str | float
    max_rounds: int


class HardwareEfficientSettingOptions(EnergySettingOptions, total=False):
    """Settings of every algorithm that can take a hardware-efficient circuit."""

    rotations: str | None
    entanglement: str | None


class VqeSettingOptions(HardwareEfficientSettingOptions, total=False):
    """Settings of `vqe` and `scan`; see `hybridloop.VqeSettings`."""

    ansatz: Any  # a name, a file, a circuit of Qiskit or Cirq, or hybridloop.ansatz(…)
    layers: int | None
    initial_point: str | Sequence[float]
    optimizer: str | object  # a name, minimize(fun, x0), or an object with ask and tell or minimize
    tolerance: str | float | None
    patience: int | None
    gradient_norm: float | None
    grouping: str
    allocation: str
    mitigation: str | Sequence[str] | None


class LevelsSettingOptions(VqeSettingOptions, total=False):
    """Settings of `levels`; see `hybridloop.LevelsSettings`."""

    levels: int


class AdaptSettingOptions(EnergySettingOptions, total=False):
    """Settings of `adapt`; see `hybridloop.AdaptSettings`."""

    pool: str
    tolerance: str | float
    max_operators: int
    grouping: str


class SqdSettingOptions(MoleculeSettingOptions, total=False):
    """Settings of `sqd`; see `hybridloop.SqdSettings`."""

    ansatz: Any  # as for `vqe`, with its angles as initial_point
    initial_point: str | Sequence[float]
    shots: int
    max_subspace: int | None
    batches: int
    iterations: int
    tolerance: str | float


class QaoaSettingOptions(SettingOptions, total=False):
    """Settings of `qaoa`; see `hybridloop.QaoaSettings`."""

    objective: str
    layers: int
    mixer: str
    shots: int
    refine: int
    extend_to: int | None
    cvar: float


class RqaoaSettingOptions(SettingOptions, total=False):
    """Settings of `rqaoa`; see `hybridloop.RqaoaSettings`."""

    objective: str
    layers: int
    shots: int
    brute_force_below: int


class SweepOptions(TypedDict, total=False):
    """Fields of a sweep that replace those of its file; see `hybridloop.SweepSpec`."""

    name: str
    algorithm: str
    problems: Any  # one or a list, each as for the algorithm
    settings: Mapping[str, Any]
    grid: Mapping[str, Sequence[Any]]
    points: Sequence[Mapping[str, Any]]
    max_sessions: int | None
    in_flight: int | None
    attempts: int
    deployment: str | None
    axis: str


class VqeOptions(VqeSettingOptions, RunOptions, total=False):
    """Keyword arguments of `vqe` and `scan`."""


class LevelsOptions(LevelsSettingOptions, RunOptions, total=False):
    """Keyword arguments of `levels`."""


class AdaptOptions(AdaptSettingOptions, RunOptions, total=False):
    """Keyword arguments of `adapt`."""


class SqdOptions(SqdSettingOptions, RunOptions, total=False):
    """Keyword arguments of `sqd`."""


class QaoaOptions(QaoaSettingOptions, RunOptions, total=False):
    """Keyword arguments of `qaoa`."""


class RqaoaOptions(RqaoaSettingOptions, RunOptions, total=False):
    """Keyword arguments of `rqaoa`."""
