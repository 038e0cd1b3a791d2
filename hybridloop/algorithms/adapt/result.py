"""Result of ADAPT-VQE: the operators that were added, and what is claimed of the state that they make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hybridloop.algorithms.adapt.operator_pool import OperatorPool
from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.diagnostics import QuantumNumbers
from hybridloop.algorithms.doubt import Doubt
from hybridloop.algorithms.estimation.final import FinalMeasurement
from hybridloop.algorithms.facts import another_symmetry, examine, ground_tolerance, known_residue, lowest_of
from hybridloop.algorithms.optimizers.base import Stop
from hybridloop.algorithms.outcome import Outcome, measured_value
from hybridloop.algorithms.problems.energy_units import CHEMICAL_ACCURACY
from hybridloop.algorithms.vqe.simulated_energy import SimulatedEnergy

# hartree: half of chemical accuracy, as the estimated remaining gain is of second order only
DEFAULT_TOLERANCE = 0.8e-3
REMEDY = "Lower the tolerance, raise max_operators, or compare with vqe."


@dataclass(frozen=True, slots=True)
class AdaptStep:
    """An operator added by ADAPT-VQE and the search that followed.

    `index` is its place in the pool. `gradient` and `gradient_error` (hartree per radian) and `remaining_gain`
    (hartree, of the whole pool, by gradients) are those measured before the operator was added. `curvature` (hartree
    per square radian) is given if the operator was selected by it. `is_simulated` is true if it was selected by the
    gradients of a simulation. `parameters` (radians) are the angles of the whole circuit after the search. `value`
    (hartree) is the energy that the search found there, with `standard_error`, which is 0 for a simulated one. It was
    selected for being low, so it is biased: only the final measurement is reported. Two operators that were added
    together have the same value and parameters.
    """

    index: int
    gradient: float
    gradient_error: float
    remaining_gain: float
    value: float
    standard_error: float
    parameters: tuple[float, ...]
    curvature: float | None = None
    is_simulated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptResult(Outcome):
    """Result of ADAPT-VQE: the operators in the order of their addition, the final measurement, the resources used.

    `table` has a row for each operator.
    """

    final: FinalMeasurement
    operators: tuple[AdaptStep, ...]
    ansatz: Ansatz
    circuits: int
    shots: int


def judged(
    result: AdaptResult, pool: OperatorPool, state: QuantumNumbers, exact: Callable[[], float | None], precision: float
) -> AdaptResult:
    """Return a result with its quantum numbers, its facts, its value's known residue, and its doubts.

    How far the state is above the exact energy is known where its circuit can be simulated.
    """
    circuit = pool.simulation([step.index for step in result.operators])
    doubts, excess, symmetry = list(state.doubts), None, None
    if circuit is not None:
        energy, lowest = circuit.energy(np.array(result.parameters)), lowest_of(exact(), circuit)
        excess, symmetry = None if lowest is None else energy - lowest, another_symmetry(circuit, energy)
        tested = SimulatedEnergy(energy, CHEMICAL_ACCURACY).test(result.final.estimate)
        if tested.passed is False:
            doubts.append(Doubt("unlike the simulation", f"{tested.reason}. Run again with search=measured."))
    stop, tolerance = Stop(result.converged, result.reason), ground_tolerance(precision, DEFAULT_TOLERANCE)
    facts, shortfall = examine(stop, excess, tolerance, unit="hartree", remedy=lambda: symmetry or REMEDY)
    taken = f"{len(result.operators)} operators taken from a pool of {len(pool)}"
    values = measured_value(result.final, *(known_residue(excess) or (result.residue, None)))
    return replace(
        result,
        **values,
        **state.columns,
        reason=f"{result.reason} ({taken})",
        facts=facts,
        table=tuple(pool.row(step.index) | _row(step) for step in result.operators),
    ).doubted(*doubts, *shortfall)


def _row(step: AdaptStep) -> dict[str, Any]:
    return {
        "gradient": step.gradient,
        "gradient_error": step.gradient_error,
        "curvature": step.curvature,
        "selected_by_simulation": step.is_simulated,
        "expected_left": step.remaining_gain,
        "energy": step.value,
        "standard_error": step.standard_error,
    }
