"""Keyword arguments that several public functions share, for editors and type checkers; models check the values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from hybridloop.results.live import RoundUpdate

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
    priority: str | None
    tags: str | Sequence[str] | None
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
    wait_for_limit: bool | None
    session_slots: str | None


class RunOptions(SettingOptions, total=False):
    """Keyword arguments of every run: its settings, and eight more; see `hybridloop.vqe`."""

    format: str | None
    run_key: str | None
    on: str | None
    host: str
    require_prefect: bool
    workspace: Any
    on_progress: Callable[[RoundUpdate], None] | None
    callback: Callback | None


class GeometryKeywords(TypedDict, total=False):
    """Keyword arguments of a geometry: for its integrals, and the part of the molecule that is taken."""

    basis: str | None
    ecp: str | None
    charge: int | None
    geometry_unit: str | None
    active_space: str | tuple[int, int] | None
    frozen_core: int
    multiplicity: int | None


class MoleculeOptions(RunOptions, GeometryKeywords, total=False):
    """Keyword arguments of every run on a molecule."""

    mapping: str
    orbitals: str


class EnergyOptions(MoleculeOptions, total=False):
    """Keyword arguments of every search for energies."""

    search: str
    shots: int
    precision: str | float | None
    max_rounds: int
    grouping: str
    observables: str | Sequence[str] | Mapping[str, Any] | None  # by name: None, a file, a text, or an operator
    observable_precision: float | None
