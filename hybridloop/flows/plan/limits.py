"""How many rounds a run may take at most, by its settings; jobs that are lost and asked again come on top."""

from __future__ import annotations

from dataclasses import dataclass

from hybridloop.algorithms.final import MAX_ROUNDS
from hybridloop.flows.plan.rehearsal import FINAL, OTHER, SEARCH
from hybridloop.flows.problems import Prepared
from hybridloop.flows.scanning import PreparedScan
from hybridloop.flows.settings import (
    AdaptSettings,
    EnergySettings,
    QaoaSettings,
    RqaoaSettings,
    RunSettings,
    VqdSettings,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """The most rounds of each phase; None: as many as were seen, because their number is fixed."""

    search: int
    final: int
    other: int | None = None

    def of(self, phase: str) -> int | None:
        """The phase's limit."""
        return {SEARCH: self.search, FINAL: self.final, OTHER: self.other}[phase]


def limits_of(prepared: Prepared, settings: RunSettings, *, samples: bool) -> Limits:
    """The limits of a run. A target that does not sample is asked once for the answer."""
    final = MAX_ROUNDS if samples else 1
    match settings:
        case AdaptSettings():
            return Limits(settings.max_operators * settings.max_rounds, final, settings.max_operators + 1)
        case VqdSettings():
            return Limits(settings.levels * settings.max_rounds, settings.levels * final)
        case EnergySettings():  # of a VQE, or of each point of a scan
            points = len(prepared.points) if isinstance(prepared, PreparedScan) else 1
            return Limits(points * settings.max_rounds, points * final)
        case QaoaSettings():
            return Limits(_qaoa_searches(settings), 1)
        case RqaoaSettings():
            return Limits(max(0, prepared.num_qubits - settings.stop_at), 0)
    raise TypeError(f"settings of no algorithm: {type(settings).__name__}")


def _qaoa_searches(settings: QaoaSettings) -> int:
    """Two rounds a step, one for each number of layers that is tried; without steps one round tries all of them."""
    steps = 2 * settings.refine
    if settings.extend_to is None:
        return steps
    return (settings.extend_to - settings.layers) * (1 + steps) + steps if steps else 1
